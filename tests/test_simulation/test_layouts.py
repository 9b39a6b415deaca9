import json
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from multissl_mm.errors import MultiSSLError
from multissl_mm.simulation import CLASSES, Scene, Vehicle, render
from multissl_mm.simulation.writers import PARTS, write_part

COUNTS = dict(imagenet=6, voc=24, coco_train=10, coco_val=6)


def write(root, seed=0, workers=1, **counts):
    for part, count in (counts or COUNTS).items():
        write_part(root, part, seed, count, 96, workers)
    return root


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write(tmp_path_factory.mktemp('street'))


def contents(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob('*') if p.is_file()}


def test_bytes_depend_on_the_seed_and_not_on_the_workers(data, tmp_path):
    assert contents(write(tmp_path / 'two', workers=2)) == contents(data)
    other = contents(write(tmp_path / 'seed', seed=1, imagenet=6))
    assert all(other[k] != v for k, v in contents(data).items()
               if k.startswith('imagenet') and k.endswith('.JPEG'))


def test_imagenet_layout_opens(data):
    files = sorted((data / 'imagenet' / 'train').glob('n*/*.JPEG'))
    assert len(files) == 6 and all(Image.open(f).size == (96, 96) for f in files)


def test_voc_layout_agrees_with_itself(data):
    root = data / 'VOCdevkit' / 'VOC2007'
    main = root / 'ImageSets' / 'Main'
    ids = {s: (main / f'{s}.txt').read_text().split() for s in ('train', 'val', 'trainval', 'test')}
    assert ids['train'] + ids['val'] == ids['trainval'] and len(ids['test']) == 12
    assert not set(ids['trainval']) & set(ids['test'])
    seen = set()
    for split in ('trainval', 'test'):
        for kind in CLASSES:
            lines = (main / f'{kind}_{split}.txt').read_text().splitlines()
            assert [line.split()[0] for line in lines] == ids[split]
            for line in lines:
                name, label = line.split()
                xml = ET.parse(root / 'Annotations' / f'{name}.xml')
                flags = [o.find('difficult').text for o in xml.iter('object')
                         if o.find('name').text == kind]
                expected = -1 if not flags else 0 if '0' not in flags else 1
                assert int(label) == expected
                seen.add(expected)
                for box in xml.iter('bndbox'):
                    x0, y0, x1, y1 = (int(box.find(key).text)
                                      for key in ('xmin', 'ymin', 'xmax', 'ymax'))
                    assert 1 <= x0 <= x1 <= 96 and 1 <= y0 <= y1 <= 96
    assert {-1, 1} <= seen


def test_coco_layout_agrees_with_itself(data):
    coco = COCO(data / 'coco' / 'annotations' / 'instances_train2017.json')
    assert [c['name'] for c in coco.cats.values()] == list(CLASSES)
    assert len(coco.imgs) == 10 and len(coco.anns) >= 10
    for ann in coco.anns.values():
        mask = coco.annToMask(ann)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        x, y, w, h = ann['bbox']
        assert 0 <= x and 0 <= y and x + w <= 96 and y + h <= 96
        assert (columns[0], columns[-1] + 1, rows[0], rows[-1] + 1) == (x, x + w, y, y + h)
        assert mask.sum() == ann['area']
    for image in coco.imgs.values():
        assert (data / 'coco' / 'train2017' / image['file_name']).is_file()


def test_what_is_there_is_left_alone_and_never_mixed(data, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in data.rglob('*')}
    for part, count in COUNTS.items():
        assert write_part(data, part, 0, count, 96, 1) is False
    with pytest.raises(MultiSSLError, match='manifest_voc.json.*seed=0, not 5'):
        write_part(data, 'voc', 5, 24, 96, 1)
    assert before == {p: p.stat().st_mtime_ns for p in data.rglob('*')}
    # An interrupted part: goes on with the same arguments, refuses others.
    folder = tmp_path / PARTS['voc'][0]
    folder.mkdir(parents=True)
    manifest = json.loads((data / PARTS['voc'][0] / 'manifest_voc.json').read_text())
    (folder / 'manifest_voc.json').write_text(json.dumps(dict(manifest, done=False)))
    with pytest.raises(MultiSSLError, match='count=24, not 8'):
        write_part(tmp_path, 'voc', 0, 8, 96, 1)
    assert write_part(tmp_path, 'voc', 0, 24, 96, 1) is True


def vehicle(start, velocity=(0., 0.), heading=np.pi / 2):
    return Vehicle('bus', (11., 2.5, 3.1), start, velocity, heading, 3)


def test_states_follow_from_the_track():
    car = vehicle((20., -10.), velocity=(0., 10.))  # from the right to the left
    states = [car.state(t) for t in (0., 1., 2.)]
    assert states[0].azimuth < 0 and states[1].azimuth == 0 and states[2].azimuth > 0
    assert states[0].distance == pytest.approx(np.hypot(20, 10))
    assert states[1].distance == pytest.approx(20)
    assert states[1].angular_width > states[0].angular_width
    near = vehicle((10., 0.)).state(0.)
    assert near.angular_width > states[1].angular_width


def test_pictures_show_what_states_say():
    scene = Scene(0, (vehicle((25., -4.), velocity=(0., 8.)), ))
    centres = [np.argwhere(render(scene, t).masks[0])[:, 1].mean() for t in (0., .5, 1.)]
    assert centres[0] > centres[1] > centres[2]  # to the left, where azimuth grows
    turned = np.argwhere(render(scene, 0., azimuth=-10.).masks[0])[:, 1].mean()
    assert turned < centres[0]  # the camera turned right, towards it


def test_the_nearer_vehicle_hides_the_farther():
    far, near = vehicle((30., 0.)), vehicle((14., 0.))
    both, alone = render(Scene(0, (far, near))), render(Scene(0, (far, )))
    assert not (both.masks[0] & both.masks[1]).any()
    assert both.masks[0].sum() < alone.masks[0].sum()
    assert both.areas[0] == alone.areas[0] > 0  # as if nothing stood before it
