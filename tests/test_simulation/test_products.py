"""Pictures of real products, on a few photographs that are made here."""
import json

import numpy as np
import products as made
import pytest
from pycocotools.coco import COCO

from multissl_mm.datasets.classes import CLASSES
from multissl_mm.errors import MultiSSLError
from multissl_mm.simulation import products
from multissl_mm.simulation.writers import read_manifest, write_part

SIZE = 96


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return str(made.write(tmp_path_factory.mktemp('photographs')))


def test_items_of_training_and_test_pictures_are_others(folder):
    shown = {}
    for seed, test in ((0, False), (0, True), (1, True)):
        _, labels = products.photographs(folder, 't10k' if test else 'train')
        shown[seed, test] = products.items_for(labels, seed, test)
    assert len(shown[0, False]) == made.COUNTS['train']  # of another half of the data set
    assert not set(shown[0, True]) & set(shown[1, True])
    assert len(shown[0, True]) + len(shown[1, True]) == made.COUNTS['t10k']


def test_a_test_picture_shows_test_photographs(folder, monkeypatch):
    asked = []
    plain = products.photographs
    monkeypatch.setattr(products, 'photographs',
                        lambda f, split: asked.append(split) or plain(f, split))
    for test in (False, True):
        products.draw_products(folder, 0, 'voc', 3, SIZE, test)
    assert asked == ['train', 't10k']


def test_masks_are_where_products_are(folder):
    what = products.products(folder)
    found = 0
    for index in range(12):
        image, items = what.draw(0, 'imagenet', index, SIZE, False)
        again, _ = what.draw(0, 'imagenet', index, SIZE, False)
        assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
        assert (image == again).all()
        for item in items:
            assert item.kind in what.classes
            x, y, w, h = item.box
            assert 0 <= x and 0 <= y and x + w <= SIZE and y + h <= SIZE
            assert item.area <= w * h
            found += 1
    assert found >= 12
    # A box of 12 x 20 of 28 x 28, turned by up to 25 degrees.
    shade, cover = products.placed(np.random.default_rng(0), products.photographs(
        folder, 'train')[0][0], 56., np.array([48., 48.]), SIZE)
    y, x = np.nonzero(cover > .5)
    assert abs(x.mean() - 48) < 1.5 and abs(y.mean() - 48) < 1.5
    assert (cover > .5).sum() == pytest.approx(12 * 20 * 4, rel=.05)
    assert shade[48, 48] == pytest.approx(60, abs=1)


def test_crumbs_are_no_part_of_a_product():
    photograph = np.zeros((28, 28), np.uint8)
    photograph[5:25, 8:20] = 150
    photograph[10:14, 12:16] = 5  # dark, but surrounded
    photograph[2, ::3] = 6  # crumbs
    photograph[26:28, 0:5] = 3
    there = products.silhouette(photograph)
    assert there.sum() == 20 * 12 and there[5:25, 8:20].all()


def test_the_layouts_say_products(folder, tmp_path):
    what = products.products(folder)
    for part in ('voc', 'coco_val'):
        assert write_part(tmp_path, part, 0, 4, SIZE, 1, what)
        assert not write_part(tmp_path, part, 0, 4, SIZE, 1, what)
    coco = COCO(str(tmp_path / 'coco/annotations/instances_val2017.json'))
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(products.PRODUCTS)
    assert {c['supercategory'] for c in coco.loadCats(coco.getCatIds())} == {'product'}
    main = tmp_path / 'VOCdevkit/VOC2007/ImageSets/Main'
    assert (main / 'ankle_boot_test.txt').is_file() and not (main / 'car_test.txt').exists()
    # Streets do not go into the same folder, and the other way round.
    with pytest.raises(MultiSSLError, match=r'scenes=products, not None|version=1, not 2'):
        write_part(tmp_path, 'voc', 0, 4, SIZE, 1)


def test_a_manifest_of_before_is_understood(tmp_path):
    path = tmp_path / 'manifest.json'
    path.write_text(json.dumps(dict(part='voc', seed=0, done=True)))
    assert read_manifest(path, dict(part='voc', seed=0))
    with pytest.raises(MultiSSLError, match='scenes=None, not products'):
        read_manifest(path, dict(part='voc', seed=0, scenes='products'))


def test_what_is_no_fashion_mnist_is_refused(tmp_path):
    with pytest.raises(MultiSSLError, match='fetch.sh products'):
        products.products(str(tmp_path / 'none'))
    made.write(tmp_path)
    damaged = tmp_path / 't10k-labels-idx1-ubyte.gz'
    damaged.write_bytes((tmp_path / 't10k-images-idx3-ubyte.gz').read_bytes())
    products.photographs.cache_clear()
    with pytest.raises(MultiSSLError, match='t10k-labels.*no file of Fashion-MNIST'):
        products.products(str(tmp_path))


def test_classes_of_the_config_are_those_of_the_pictures():
    import tiny
    from mmengine.config import Config
    cfg = Config.fromfile(tiny.CONFIGS / 'demo' / 'mask-rcnn_r18_fpn_products.py')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert tuple(loader.dataset.metainfo.classes) == products.PRODUCTS
    heads = cfg.model.roi_head
    assert heads.bbox_head.num_classes == heads.mask_head.num_classes == len(products.PRODUCTS)
    assert set(CLASSES).isdisjoint(products.PRODUCTS)
