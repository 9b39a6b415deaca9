"""Linear segmentation: coverage, the fit, what chooses its penalty, and the whole on tiny data."""
import json
import shutil

import numpy as np
import pytest
import torch
from commands import run_tool
from mmengine.config import Config
from pictures import COLOURS, encoder_config
from PIL import Image
from pycocotools import mask as coco_mask
from sklearn.linear_model import LogisticRegression
from torch import nn

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation import linear_segmentation as linear
from multissl_mm.registry import MODELS

SIDE, GRID = 32, 4  # px, cells


class MeanPixels(nn.Module):
    """The mean colour of each cell: what a cell shows is its feature."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def init_weights(self):
        pass

    def forward(self, images):
        return (nn.functional.adaptive_avg_pool2d(images * self.scale, GRID), )


@pytest.fixture
def mean_pixels(registers):
    MODELS.register_module(module=MeanPixels)
    return Config(dict(
        default_scope='multissl_mm',
        data_preprocessor=dict(mean=[0.] * 3, std=[255.] * 3, to_rgb=True),
        model=dict(type='None', backbone=dict(type='MeanPixels'))))


def write_split(root, split, count, seed, shuffled=False):
    """Cells of noise, some of them in the colour of a class; ``shuffled`` masks mean nothing."""
    rng = np.random.default_rng(seed)
    (root / split).mkdir(parents=True)
    (root / 'annotations').mkdir(exist_ok=True)
    images, annotations, cell = [], [], SIDE // GRID
    for i in range(1, count + 1):
        picture = rng.integers(90, 130, (SIDE, SIDE, 3), dtype=np.uint8)
        images.append(dict(id=i, file_name=f'{i}.png', width=SIDE, height=SIDE))
        places = rng.permutation(GRID**2)  # one for each class
        for k, colour in enumerate(COLOURS.values()):
            y, x = np.array(divmod(places[k], GRID)) * cell
            picture[y:y + cell, x:x + cell] = colour
            if shuffled:
                y, x = rng.integers(GRID, size=2) * cell
            box = [float(v) for v in (x, y, x + cell, y, x + cell, y + cell, x, y + cell)]
            annotations.append(dict(id=len(annotations) + 1, image_id=i, category_id=k + 1,
                                    segmentation=[box], area=cell**2, iscrowd=0,
                                    bbox=[int(x), int(y), cell, cell]))
        Image.fromarray(picture).save(root / split / f'{i}.png')
    (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(dict(
        images=images, annotations=annotations,
        categories=[dict(id=k + 1, name=name) for k, name in enumerate(COLOURS)])))
    return root


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    root = tmp_path_factory.mktemp('coco')
    write_split(root, 'train2017', 24, 0)
    return write_split(root, 'val2017', 24, 1)


OPTIONS = dict(image_size=SIDE, workers=0, device='cpu', batch_size=8)


def test_features_that_show_the_class_find_it(coco, mean_pixels, tmp_path, capsys):
    out = tmp_path / 'x' / 'a.json'
    result = linear.run_linear_segmentation(mean_pixels, 'random', str(coco), out=str(out),
                                            **OPTIONS)
    assert result['mAP'] > 99 and list(result['classes']) == list(COLOURS)
    assert result['map'] == [GRID, GRID] and result['dimensions'] == 3
    assert result['images'] == dict(train2017=24, val2017=24)
    assert result['cells'] == dict(train=24 * 16, held_out=24 * 16)
    assert 4 < result['classes']['red']['base_rate'] < 7
    saved = json.loads(out.read_text())
    assert saved == json.loads(json.dumps(result)) and saved['versions']['sklearn']
    printed = capsys.readouterr().out
    assert 'green' in printed and 'in cross-validation by penalty' in printed
    again = linear.run_linear_segmentation(mean_pixels, 'random', str(coco), verbose=False,
                                           out=str(tmp_path / 'b.json'), seed=3, **OPTIONS)
    assert again['classes'] == result['classes']  # nothing is drawn


def test_masks_that_mean_nothing_get_the_base_rate(mean_pixels, tmp_path):
    for split, seed in (('train2017', 0), ('val2017', 1)):
        write_split(tmp_path, split, 60, seed, shuffled=True)
    result = linear.run_linear_segmentation(mean_pixels, 'random', str(tmp_path), verbose=False,
                                            out=str(tmp_path / 'a.json'), **OPTIONS)
    assert 4 < result['mAP'] < 11
    for row in result['classes'].values():
        assert row['base_rate'] == pytest.approx(6.25)


def test_the_tool(coco, tmp_path, monkeypatch):
    """A ResNet by its command line, on fewer training pictures."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tiny.json').write_text(json.dumps(encoder_config().to_dict()))
    done = run_tool('benchmarks/linear_segmentation.py', 'tiny.json', 'random', '--data-root',
                    coco, '--image-size', 128, '--workers', 0, '--device', 'cpu', '--penalties',
                    .1, .01, '--train-pictures', 12)
    assert done.status == 0, done.err
    file, = (tmp_path / 'work_dirs/linear_segmentation/tiny').glob('random_*.json')
    result = json.loads(file.read_text())
    assert result['images'] == dict(train2017=12, val2017=24) and result['map'] == [4, 4]
    assert list(result['cv_mAP']) == ['0.1', '0.01'] and result['mAP'] > 30
    done = run_tool('benchmarks/linear_segmentation.py', 'tiny.json', 'random', '--data-root', 'x')
    assert done.status == 1 and 'x/annotations/instances_train2017.json: no such annot' in done.err


def test_coverage_is_what_one_counts(tmp_path):
    """Two overlapping boxes, a crowd, and a border between cells within a pixel."""
    (tmp_path / 'annotations').mkdir()
    (tmp_path / 'a').mkdir()
    Image.new('RGB', (10, 8)).save(tmp_path / 'a' / '1.png')
    crowd = np.zeros((8, 10), np.uint8, order='F')
    crowd[4:, 9] = 1
    rle = coco_mask.encode(crowd)
    rle['counts'] = rle['counts'].decode()

    def box(x0, y0, x1, y1):
        return [[float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]]

    masks = [(7, box(0, 0, 2, 2), 0), (7, box(1, 0, 3, 2), 0), (3, rle, 1), (3, box(4, 0, 6, 8), 0)]
    (tmp_path / 'annotations' / 'instances_a.json').write_text(json.dumps(dict(
        images=[dict(id=5, file_name='1.png', width=10, height=8)],
        annotations=[dict(id=i + 1, image_id=5, category_id=c, segmentation=s, area=1, iscrowd=f,
                          bbox=[0, 0, 1, 1]) for i, (c, s, f) in enumerate(masks)],
        categories=[dict(id=7, name='late'), dict(id=3, name='early')])))
    split = linear.load_coco(str(tmp_path), 'a')
    assert split.classes == ['early', 'late'] and split.paths == [str(tmp_path / 'a' / '1.png')]
    early, late = linear.coverage(split, (2, 4))[0]  # cells of 2.5 x 4 px
    np.testing.assert_allclose(late, [[5 / 10, 1 / 10, 0, 0], [0] * 4], atol=1e-6)
    np.testing.assert_allclose(early, [[0, 4 / 10, 4 / 10, 0], [0, 4 / 10, 4 / 10, 4 / 10]],
                               atol=1e-6)
    with pytest.raises(MultiSSLError, match='1.png: 10 x 8 pixels are too few for 12 x 2 cells'):
        linear.coverage(split, (2, 12))
    exif = Image.Exif()
    exif[0x0112] = 6  # held upright: what is shown has 8 x 10 pixels
    Image.new('RGB', (10, 8)).save(tmp_path / 'a' / '1.png', exif=exif)
    with pytest.raises(MultiSSLError, match='1.png: its EXIF turns it by 90 degrees'):
        linear.coverage(split, (2, 4))


def cells(seed, count=30):
    """Features of which one tells class 0, and many mean nothing."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((count, 2, 2, 20)).astype(np.float32)
    present = np.stack([features[..., 0] + rng.standard_normal((count, 2, 2)) > .8,
                        rng.random((count, 2, 2)) > .7], 1)
    return features, present


def test_the_fit_is_scikit_learns():
    features, present = cells(0, 100)
    x, y = features.reshape(-1, 20), present.transpose(0, 2, 3, 1).reshape(-1, 2)
    for penalty in (1., .01):
        layer = linear.fit_linear(torch.from_numpy(x), torch.from_numpy(y).float(), penalty)
        assert layer.converged
        for k in range(2):
            theirs = LogisticRegression(C=1 / (penalty * len(x)), tol=1e-8).fit(x, y[:, k])
            np.testing.assert_allclose(layer.weight[:, k], theirs.coef_[0], atol=2e-4)
            np.testing.assert_allclose(layer.bias[k], theirs.intercept_[0], atol=2e-4)


def test_held_out_pictures_choose_nothing():
    """Other held-out data: the same penalty and cross-validation; training pictures alone count."""
    train, names = cells(0), ['a', 'b']
    one, two = (linear.evaluate_cells(*train, *cells(seed), names, progress=False)
                for seed in (1, 2))
    features, present = cells(1)
    wrong = linear.evaluate_cells(*train, features, ~present, names, progress=False)
    assert one['mAP'] != two['mAP'] != wrong['mAP']
    assert one['cv_mAP'] == two['cv_mAP'] == wrong['cv_mAP']
    assert one['penalty'] == two['penalty'] == wrong['penalty']
    assert one['penalty'] == float(max(one['cv_mAP'], key=one['cv_mAP'].get))


def test_cells_of_a_picture_stay_together():
    """All cells of a picture alike, labels at random: a split within pictures would know them."""
    rng = np.random.default_rng(0)
    features = np.repeat(rng.standard_normal((30, 1, 1, 200)).astype(np.float32), 16, 1)
    present = np.repeat(rng.random((30, 1, 1, 1)) > .5, 16, 2)
    found = linear.evaluate_cells(features, present, features, present, ['a'], (1e-3, ),
                                  progress=False)
    assert found['cv_mAP']['0.001'] < 85 and found['mAP'] > 99.9


def test_classes_without_positives_are_left_out():
    train, held_out = cells(0), cells(1)
    train[1][:, 0] = False
    found = linear.evaluate_cells(*train, *held_out, ['a', 'b'], progress=False)
    assert list(found['classes']) == ['b']
    assert found['excluded'] == dict(a='no positive cell in the training part')
    held_out[1][:, 1] = False
    with pytest.raises(MultiSSLError, match='no class is left'):
        linear.evaluate_cells(*train, *held_out, ['a', 'b'], progress=False)
    with pytest.raises(MultiSSLError, match='2 training pictures: cross-validation needs'):
        linear.evaluate_cells(*cells(0, 2), *held_out, ['a', 'b'], progress=False)


def change(edit):
    def damage(root):
        path = root / 'annotations' / 'instances_train2017.json'
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))
    return damage


@pytest.mark.parametrize('damage, message', [
    (change(lambda c: c['annotations'].clear()),
     'train2017.json: has no pictures or no annotations'),
    (change(lambda c: c['annotations'][3].pop('segmentation')),
     r'annotation 4 of 2.png has no mask .*\(1 of 72 annotations'),
    (change(lambda c: c['images'][0].pop('file_name')),
     r'cannot be read as COCO instances \(KeyError'),
    (lambda r: (r / 'annotations/instances_train2017.json').write_text('{"ima'),
     r'cannot be read as COCO instances \(JSONDecodeError'),
    (lambda r: (r / 'train2017/2.png').unlink(), r'2.png: no such image.*\(1 of 24'),
    (change(lambda c: c['categories'][0].update(name='pink')),
     'different categories, among them blue, pink'),
    (change(lambda c: c['annotations'][0].update(
        segmentation=dict(counts=[-1], size='ab'))),
     'annotation 1 of .*1.png has a segmentation without counts or size'),
])
def test_errors_are_for_people(damage, message, coco, mean_pixels, tmp_path):
    root = tmp_path / 'coco'
    shutil.copytree(coco, root)
    damage(root)
    with pytest.raises(MultiSSLError, match=message):
        linear.run_linear_segmentation(mean_pixels, 'random', str(root), verbose=False,
                                       out=str(tmp_path / 'a.json'), **OPTIONS)
    assert not (tmp_path / 'a.json').exists()


@pytest.mark.parametrize('size, backbone, message', [
    (32, {}, 'pictures of 32x32 px have a last map of a single cell'),
    (32, dict(type='mmpretrain.VisionTransformer', arch=dict(
        embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8), img_size=32),
     r"is no map \(N, C, H, W\).*out_type='featmap'"),
])
def test_encoders_without_cells_are_refused(size, backbone, message, coco, tmp_path):
    cfg = encoder_config()
    cfg.model.backbone = backbone or cfg.model.backbone
    with pytest.raises(MultiSSLError, match=message):
        linear.run_linear_segmentation(cfg, 'random', str(coco), verbose=False,
                                       out=str(tmp_path / 'a.json'), **dict(OPTIONS,
                                                                            image_size=size))
