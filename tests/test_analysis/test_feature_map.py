"""Features of labelled images in two dimensions."""
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from commands import run_tool
from PIL import Image

from multissl_mm.analysis import feature_map
from multissl_mm.apis import load_encoder
from multissl_mm.errors import MultiSSLError


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """Two classes of pictures, red and blue, 10 of each, and a file that is no picture."""
    root, rng = tmp_path_factory.mktemp('labelled'), np.random.default_rng(0)
    for name, channel in (('blue', 2), ('red', 0)):
        (root / name).mkdir()
        for i in range(10):
            image = rng.integers(0, 20, (32, 32, 3), dtype=np.uint8)
            image[..., channel] += 150
            Image.fromarray(image).save(root / name / f'{i}.png')
    (root / 'red' / 'notes.txt').touch()
    return root


def separated(points, labels):
    """Whether every point is nearer to the mean of its class than to that of the other."""
    labels = np.array(labels)
    means = {name: points[labels == name].mean(0) for name in set(labels)}
    return all(min(means, key=lambda n: np.linalg.norm(p - means[n])) == name
               for p, name in zip(points, labels))


def test_images_of_class_folders(labelled):
    paths, names = feature_map.labelled_images(str(labelled), 100)
    assert len(paths) == 20 and names == ['blue'] * 10 + ['red'] * 10
    assert all(Path(path).parent.name == name for path, name in zip(paths, names))
    assert feature_map.labelled_images(str(labelled), 6)[1] == ['blue'] * 3 + ['red'] * 3
    assert set(feature_map.labelled_images(str(labelled), 9, ['red'])[1]) == {'red'}
    with pytest.raises(MultiSSLError, match='green not in .*; there are blue, red'):
        feature_map.labelled_images(str(labelled), 9, ['green'])
    with pytest.raises(MultiSSLError, match='0 images in folders of their classes'):
        feature_map.labelled_images(str(labelled / 'red'), 9)
    with pytest.raises(MultiSSLError, match='no such folder'):
        feature_map.labelled_images(str(labelled / 'green'), 9)


def test_images_of_voc_with_one_class(tmp_path):
    rows = dict(a=(1, -1), b=(-1, 1), c=(1, 1), d=(1, 0), e=(-1, -1), f=(1, -1), g=(-1, 1))
    (tmp_path / 'ImageSets' / 'Main').mkdir(parents=True)
    (tmp_path / 'JPEGImages').mkdir()
    for image in rows:
        (tmp_path / 'JPEGImages' / f'{image}.jpg').touch()
    for split in ('trainval', 'test'):
        for i, name in enumerate(('bus', 'car')):
            (tmp_path / 'ImageSets' / 'Main' / f'{name}_{split}.txt').write_text(
                ''.join(f'{image} {labels[i]}\n' for image, labels in rows.items()))
    paths, names = feature_map.labelled_images(str(tmp_path), 100)
    assert [Path(path).stem for path in paths] == ['a', 'f', 'b', 'g']
    assert names == ['bus', 'bus', 'car', 'car']


@pytest.mark.parametrize('method', ['pca', 'tsne'])
def test_two_dimensions_keep_what_is_apart(method):
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(64)[:2], 25, axis=0)
    points, (x, y) = feature_map.to_two_dimensions(5 * (centres + .02 * rng.normal(size=(50, 64))),
                                                   method)
    assert points.shape == (50, 2) and separated(points, ['a'] * 25 + ['b'] * 25)
    if method == 'pca':  # 2 * 0.5 between the classes, 2 * 64 * 0.02^2 within them
        assert x == 'component 1 (95 % of the variance)' and y.startswith('component 2 (')


def test_feature_map(images, labelled, tmp_path, monkeypatch):
    cfg = tiny.tiny_config('mocov2', images, tmp_path)
    path = tmp_path / 'config.py'
    cfg.dump(path)
    backbone = load_encoder(cfg, 'random', seed=1).backbone
    torch.save({f'backbone.{k}': v for k, v in backbone.state_dict().items()}, tmp_path / 'x.pth')
    drawn, draw = [], feature_map.draw
    monkeypatch.setattr(feature_map, 'draw', lambda *args: drawn.append(args) or draw(*args))
    done = run_tool('analysis_tools/feature_map.py', path, 'random', tmp_path / 'x.pth', '--data',
                    labelled, '--image-size', 32, '--workers', 0, '--method', 'pca', '--out',
                    tmp_path / 'x.png')
    assert done.status == 0 and done.out.endswith('x.png\n'), done.err
    (maps, labels, title), = drawn
    assert title == 'PCA of feat5, config'
    assert list(maps) == ['random weights', f'{tmp_path.name}/x.pth']
    assert all(separated(points, labels) for points, _ in maps.values())  # by their colour
    assert not np.allclose(*(points for points, _ in maps.values()))
    with Image.open(tmp_path / 'x.png') as picture:
        assert picture.size[0] > 1200
    torch.save({'backbone.other': torch.ones(1)}, tmp_path / 'y.pth')
    with pytest.raises(MultiSSLError, match='y.pth: does not fit model.backbone'):
        feature_map.draw_feature_map(str(path), [str(tmp_path / 'y.pth')], str(labelled),
                                     tmp_path / 'y.png')


def test_checkpoints_whose_short_names_are_the_same(images, labelled, tmp_path):
    """Each has its panel; one that is given twice has one."""
    cfg = tiny.tiny_config('mocov2', images, tmp_path)
    cfg.dump(tmp_path / 'config.py')
    paths = []
    for seed in (1, 2):
        paths.append(str(tmp_path / f'seed{seed}' / 'mocov2' / 'final.pth'))
        Path(paths[-1]).parent.mkdir(parents=True)
        backbone = load_encoder(cfg, 'random', seed=seed).backbone
        torch.save({f'backbone.{k}': v for k, v in backbone.state_dict().items()}, paths[-1])
    maps = feature_map.draw_feature_map(
        str(tmp_path / 'config.py'), [*paths, 'random', paths[0], 'none'], str(labelled),
        tmp_path / 'x.png', method='pca', image_size=32, workers=0)
    assert list(maps) == [*paths, 'random weights']
    assert not np.allclose(*(maps[path][0] for path in paths))
