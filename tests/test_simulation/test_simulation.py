"""What test_layouts.py leaves open: labels against the scenes, all masks of a picture, the CLI."""
import itertools
import subprocess
import sys
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from pycocotools.coco import COCO

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.voc07 import load_voc2007
from multissl_mm.simulation import CLASSES, Scene, Vehicle, random_scene, render
from multissl_mm.simulation.__main__ import main
from multissl_mm.simulation.streets import draw
from multissl_mm.simulation.writers import write_part
from multissl_mm.utils.cli import run_tool

SIZE = 96


def bus(start, velocity=(0., 0.), heading=np.pi / 2):
    return Vehicle('bus', (11., 2.5, 3.1), start, velocity, heading, look=3)


@pytest.fixture
def cli(monkeypatch, capsys):
    """Runs the command line in this process: exit status, standard output, lines of errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', ['simulation', *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            run_tool(main)
        except SystemExit as e:
            status = e.code
        out, err = capsys.readouterr()
        return status, out, err.splitlines()

    return run


@pytest.fixture(scope='module')
def voc(tmp_path_factory):
    """60 pictures: enough for a class that is only there as difficult."""
    root = tmp_path_factory.mktemp('voc')
    write_part(root, 'voc', 0, 60, SIZE, 1)
    return root / 'VOCdevkit' / 'VOC2007'


# ---------------------------------------------------------------------- labels and boxes

def test_every_class_file_follows_from_the_xml(voc):
    seen, ids = [], {}
    for split in ('train', 'val', 'trainval', 'test'):
        names = (voc / 'ImageSets' / 'Main' / f'{split}.txt').read_text().split()
        ids[split] = names
        for kind in CLASSES:
            flags = {n: [o.findtext('difficult') == '1'
                         for o in ET.parse(voc / 'Annotations' / f'{n}.xml').iter('object')
                         if o.findtext('name') == kind] for n in names}
            expected = {n: -1 if not f else 0 if all(f) else 1 for n, f in flags.items()}
            lines = (voc / 'ImageSets' / 'Main' / f'{kind}_{split}.txt').read_text().splitlines()
            assert {line.split()[0]: int(line.split()[1]) for line in lines} == expected
            seen += expected.values()
    assert ids['train'] + ids['val'] == ids['trainval'] and len(ids['train']) == 15
    assert ids['trainval'] + ids['test'] == [f'{i + 1:06d}' for i in range(60)]
    assert set(seen) == {-1, 0, 1}  # else a rule was not tried


def test_voc_is_read_by_the_svm_protocol(voc):
    names, train, test = load_voc2007(str(voc))
    assert names == sorted(CLASSES)
    assert (train.labels.shape, test.labels.shape) == ((30, 5), (30, 5))


def test_boxes_count_from_1_and_both_ends_belong(voc):
    boxes = 0
    for i in range(60):
        _, items = draw(0, 'voc', i, SIZE)
        objects = ET.parse(voc / 'Annotations' / f'{i + 1:06d}.xml').findall('object')
        for item, element in itertools.zip_longest(items, objects):
            x, y, w, h = item.box
            found = [int(element.findtext(f'bndbox/{k}')) for k in ('xmin', 'ymin', 'xmax', 'ymax')]
            assert found == [x + 1, y + 1, x + w, y + h]
            assert element.findtext('name') == item.kind
            boxes += 1
    assert boxes >= 60


def test_coco_masks_are_the_drawn_ones(tmp_path, monkeypatch):
    drawn = []  # (class, mask) of all vehicles, per picture

    def spy(scene, **kwargs):
        picture = render(scene, **kwargs)
        drawn.append(list(zip([v.kind for v in scene.vehicles], picture.masks)))
        return picture

    monkeypatch.setattr('multissl_mm.simulation.streets.render', spy)
    write_part(tmp_path, 'coco_val', 0, 12, SIZE, 1)
    coco = COCO(tmp_path / 'coco' / 'annotations' / 'instances_val2017.json')
    assert len(drawn) == 12 and len(coco.anns) >= 12
    large = 0
    for ann in coco.anns.values():
        mask = coco.annToMask(ann).astype(bool)
        kind, true = max(drawn[ann['image_id'] - 1], key=lambda pair: (pair[1] & mask).sum())
        assert coco.cats[ann['category_id']]['name'] == kind
        # Polygons run through the middle of the outermost pixels, which costs a small object much.
        if true.sum() >= 1000:
            large += 1
            assert (mask & true).sum() / (mask | true).sum() > .8
            assert ann['area'] == pytest.approx(true.sum(), rel=.2)
    assert large >= 5


# ---------------------------------------------------------------------- physics

@pytest.mark.parametrize('sign', [1, -1])
def test_azimuth_is_positive_to_the_left_and_follows_the_track(sign):
    passing = bus((20., -sign * 10.), velocity=(0., sign * 5.))  # sign 1: to the left
    azimuths = [passing.state(t).azimuth for t in range(5)]
    assert azimuths[0] == pytest.approx(-sign * np.degrees(np.arctan(.5)))
    assert azimuths[4] == pytest.approx(-azimuths[0])
    assert (np.diff(azimuths) * sign > 0).all()


def test_an_approaching_vehicle_gets_nearer_and_wider():
    states = [bus((40., 3.), velocity=(-8., 0.), heading=np.pi).state(t) for t in range(5)]
    assert [s.distance for s in states] == pytest.approx([np.hypot(40 - 8 * t, 3)
                                                          for t in range(5)])
    assert (np.diff([s.distance for s in states]) < 0).all()
    assert (np.diff([s.angular_width for s in states]) > 0).all()


def test_a_vehicle_seen_from_its_side_is_wider_than_from_its_end():
    side, end = bus((30., 0.), heading=np.pi / 2), bus((30., 0.), heading=0.)
    assert side.state(0.).angular_width > 2 * end.state(0.).angular_width


# ---------------------------------------------------------------------- pictures

@pytest.mark.parametrize('sign', [1, -1])
def test_a_later_picture_shows_the_vehicle_where_it_went(sign):
    scene = Scene(0, (bus((25., -sign * 4.), velocity=(0., sign * 8.), heading=sign * np.pi / 2), ))
    # Occluders stand still: without them the centre is the vehicle's own.
    for t in (0., .5, 1.):
        state, = scene.state(t)
        x = np.argwhere(render(scene, t).masks[0])[:, 1].mean()
        expected = 80 - 80 / np.tan(np.deg2rad(30)) * np.tan(np.deg2rad(state.azimuth))
        assert x == pytest.approx(expected, abs=6)  # of 160 px; it moves 22 px in half a second


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_the_nearer_mask_wins_in_either_order(order):
    far, near = bus((30., 0.)), bus((14., 0.))
    both = render(Scene(0, tuple((far, near)[i] for i in order)))
    masks = [both.masks[order.index(i)] for i in (0, 1)]  # far, near
    alone = [render(Scene(0, (v, ))).masks[0] for v in (far, near)]
    assert (masks[1] == alone[1]).all()
    assert (masks[0] == alone[0] & ~alone[1]).all() and masks[0].sum() < alone[0].sum()


def test_masks_of_a_picture_never_overlap():
    rng = np.random.default_rng(0)
    hidden = 0
    for _ in range(12):
        scene = random_scene(rng, 4)
        masks = render(scene, size=(SIZE, SIZE)).masks
        assert np.sum(masks, axis=0).max() == 1
        alone = [render(Scene(scene.seed, (v, )), size=(SIZE, SIZE)).masks[0]
                 for v in scene.vehicles]
        hidden += np.sum(alone, axis=0).max() > 1
    assert hidden >= 6  # they would have overlapped


# ---------------------------------------------------------------------- command line

def test_cli_writes_once_and_refuses_other_arguments(cli, tmp_path):
    call = (tmp_path, '--size', 64, '--workers', 1, '--voc', 4)
    first, again = cli(*call), cli(*call)
    assert (first[0], again[0]) == (0, 0), first[2] + again[2]
    assert 'there already' in again[1] and 'there already' not in first[1]
    # The last of two parts is refused; the first is not begun.
    status, _, errors = cli(*call[:-1], 8, '--imagenet', 3)
    assert status == 1 and len(errors) == 1
    assert 'manifest_voc.json' in errors[0] and 'count=4, not 8' in errors[0]
    assert not (tmp_path / 'imagenet').exists()


@pytest.mark.parametrize('arguments', [(), ('--voc', 0), ('--voc', -1), ('--voc', 2, '--size', 8)])
def test_cli_with_nothing_to_write_is_one_line_and_status_1(cli, tmp_path, arguments):
    status, _, errors = cli(tmp_path / 'out', *arguments)
    assert status == 1 and len(errors) == 1 and 'nothing to write' in errors[0]
    assert not (tmp_path / 'out').exists()


def test_the_module_runs_as_a_command(tmp_path):
    done = subprocess.run([sys.executable, '-m', 'multissl_mm.simulation', tmp_path],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and 'nothing to write' in done.stderr


@pytest.mark.parametrize('key, value', [('seed', 9), ('count', 5), ('size', 64)])
def test_a_manifest_names_the_key_that_differs(tmp_path, key, value):
    arguments = dict(seed=0, count=2, size=SIZE)
    write_part(tmp_path, 'imagenet', **arguments, workers=1)
    with pytest.raises(MultiSSLError, match=rf'manifest_imagenet\.json.*{key}='):
        write_part(tmp_path, 'imagenet', **dict(arguments, **{key: value}), workers=1)
