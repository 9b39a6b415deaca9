"""Views of which workers draw the numbers, and a device makes the rest."""
import pickle
import random
from io import BytesIO

import numpy as np
import pytest
import tiny
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DATA_SAMPLERS, DATASETS, MODELS
from PIL import Image
from scipy.stats import ks_2samp
from torch.utils.data import DataLoader

from multissl_mm.datasets import CropViews, KeyedDataset, ViewKey
from multissl_mm.datasets.pictures import Memory, Picture
from multissl_mm.datasets.some_views import SomeViews
from multissl_mm.datasets.view_transforms import Crop
from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.keyed_random import keyed_randomness
from multissl_mm.utils.views import ORDERS, CroppedView, ViewParams


def recipe(size=32, **crop):
    """MMPretrain's own pipeline of a MoCo v2 view, of another size."""
    cfg = Config.fromfile(tiny.CONFIGS / '_base_' / 'imagenet_two_views.py')
    first, *others = cfg.view_pipeline
    return [dict(first, scale=size, **crop), *others]


def pipelines(view, **opened):
    ours = [dict(type='multissl_mm.OpenPicture', **opened),
            dict(type='multissl_mm.CropViews', num_views=2, transforms=[view]),
            dict(type='multissl_mm.PackViews')]
    theirs = [dict(type='LoadImageFromFile', imdecode_backend='pillow'),
              dict(type='MultiView', num_views=2, transforms=[view]), dict(type='PackInputs')]
    return ours, theirs


def picture(path, size=(160, 120), seed=0, **save):
    """Colourful, smooth and with noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(float)
    pixels += rng.normal(0, 6, pixels.shape)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, **save)
    return str(path)


def keyed(pipeline, path, key):
    with keyed_randomness(*key):
        return pipeline(dict(img_path=path))['inputs']


class Witness:
    """Notes what MMPretrain's transforms draw while they run."""

    METHODS = dict(RandomResizedCrop=['rand_crop_params'], RandomApply=['random_apply'],
                   ColorJitter=['_rand_params'], RandomGrayscale=['_random_prob'],
                   GaussianBlur=['random_disable', 'random_magnitude'],
                   RandomFlip=['_choose_direction'])

    def __init__(self, pipeline, monkeypatch):
        self.drawn = []
        for transform in pipeline:
            inner = list(getattr(transform, 'transforms', []))
            for t in (transform, *inner):
                for name in self.METHODS[type(t).__name__]:
                    monkeypatch.setattr(t, name, self.noting(getattr(t, name), name))

    def noting(self, method, name):
        def noted(*args):
            value = method(*args)
            self.drawn.append((name, value))
            return value
        return noted

    def params(self):
        """Of one view, as ours are."""
        found, self.drawn = dict(self.drawn), []
        params = {}
        if found['random_apply']:
            order, *factors = found['_rand_params']
            params.update(zip(('brightness', 'contrast', 'saturation', 'hue'), factors),
                          order=ORDERS.index(tuple(order)))
        if not found['random_disable']:
            params['sigma'] = found['random_magnitude']
        return found['rand_crop_params'], ViewParams(
            **params, gray=float(found['_random_prob'] < .2),
            flip=float(found['_choose_direction'] is not None))


def test_parameters_have_the_distributions_of_mmpretrain(scope, monkeypatch):
    """Kolmogorov-Smirnov over 2,000 views each; with the same keys they are the very same."""
    ours = CropViews([recipe()], 1).recipes[0]
    transforms = Compose(recipe()).transforms
    drawn = []
    for key in range(2000):
        with keyed_randomness(0, key):
            crop = ours.draw_crop(50, 37)
            drawn.append(((crop.top, crop.left, crop.height, crop.width), ours.draw_params()))
    witness = Witness(transforms, monkeypatch)
    image = np.zeros((37, 50, 3), np.uint8)
    theirs = []
    for key in range(2000):
        with keyed_randomness(1, key):
            Compose(transforms)(dict(img=image))
        theirs.append(witness.params())
    columns = [np.array([[*crop, *params] for crop, params in both]) for both in (drawn, theirs)]
    for a, b in zip(*(c.T for c in columns)):
        assert ks_2samp(a, b).pvalue > .01
    for key in range(50):
        with keyed_randomness(0, key):
            Compose(transforms)(dict(img=image))
        assert witness.params() == drawn[key]


def test_crops_are_those_of_mmpretrain_to_the_last_bit(scope, tmp_path):
    crop_alone = recipe()[:1]
    path = picture(tmp_path / 'a.jpg', (50, 37))
    ours, theirs = map(Compose, pipelines(crop_alone))
    for key in range(8):
        for a, b in zip(keyed(ours, path, (key, )), keyed(theirs, path, (key, ))):
            assert torch.equal(a.pixels.flip(0), b)  # ours are RGB
            assert torch.equal(a.params, torch.tensor(ViewParams()))


@pytest.mark.parametrize('size, pixels, save', [
    ((160, 120), 96, dict(format='JPEG', quality=92)), ((160, 120), 96, dict(format='PNG')),
    ((1200, 900), 224, dict(format='JPEG', quality=92))])  # decoded at a reduced size
def test_whole_views_are_within_two_of_mmpretrain(scope, tmp_path, monkeypatch, size, pixels, save):
    """The mean over pixels, of 0..255, for the same parameters."""
    seen, decode = set(), Picture.decode
    monkeypatch.setattr(Picture, 'decode', lambda self, reduction: seen.add(reduction) or
                        decode(self, reduction))
    path = picture(tmp_path / 'a', size, **save)
    ours, theirs = map(Compose, pipelines(recipe(pixels)))
    plain = MODELS.build(dict(type='multissl_mm.ViewPreprocessor', mean=[0.] * 3, std=[1.] * 3))
    errors = []
    for key in range(24 if pixels < 224 else 8):
        views = plain(default_collate([dict(inputs=keyed(ours, path, (key, )))]))['inputs']
        errors += [(a[0] - b.flip(0)).abs().mean().item()
                   for a, b in zip(views, keyed(theirs, path, (key, )))]
    assert np.mean(errors) < 1 and max(errors) < 2
    assert seen == {1} if pixels < 224 else min(seen) > 1


@pytest.mark.parametrize('orientation', range(1, 9))
def test_pictures_on_their_side(scope, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = picture(tmp_path / 'a.jpg', (50, 37), exif=exif)
    ours, theirs = map(Compose, pipelines(recipe()[:1]))
    a, b = keyed(ours, path, (0, )), keyed(theirs, path, (0, ))
    assert all(torch.equal(x.pixels.flip(0), y) for x, y in zip(a, b))


@pytest.mark.parametrize('mode', ['L', 'P', 'CMYK'])
def test_pictures_of_other_modes(scope, tmp_path, mode):
    path = str(tmp_path / 'a.tif')
    Image.open(picture(tmp_path / 'a.png')).convert(mode).save(path)
    ours, theirs = map(Compose, pipelines(recipe()[:1]))
    a, b = keyed(ours, path, (0, )), keyed(theirs, path, (0, ))
    assert all(torch.equal(x.pixels.flip(0), y) for x, y in zip(a, b))


def test_jpeg_is_reduced_where_all_crops_of_a_sample_allow_it(scope, tmp_path):
    path = picture(tmp_path / 'a.jpg', (400, 300), quality=95)
    seen = []
    view = recipe(48)[:1]
    ours, theirs = map(Compose, pipelines(view))
    decode = Picture.decode
    for key in range(12):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Picture, 'decode', lambda self, reduction: seen.append(reduction) or
                          decode(self, reduction))
            a = keyed(ours, path, (key, ))
        for x, y in zip(a, keyed(theirs, path, (key, ))):
            assert (x.pixels.flip(0).float() - y.float()).abs().mean() < 4
        with keyed_randomness(key):
            crops = [CropViews([view], 1).recipes[0].draw_crop(400, 300) for _ in range(2)]
        assert all(min(c.width, c.height) >= 48 * seen[-1] for c in crops)
    assert {2, 4} <= set(seen)
    path = picture(tmp_path / 'a.png', (400, 300))
    assert Picture(open(path, 'rb').read()).reductions() == (1, )


def test_reduced_crops_are_where_they_belong():
    """A ramp tells by how many pixels a crop is off: less than a tenth of one."""
    ramp = np.linspace(0, 250, 401, dtype=np.float32)
    pixels = np.broadcast_to(ramp[None, :, None], (300, 401, 3)).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, 'JPEG', quality=100, subsampling=0)
    crop = Crop(101, 53, 210, 201, (24, 24))
    full, half, eighth = (crop.cut(Picture(file.getvalue()).decode(r), r,
                                   Image.Resampling.BILINEAR).float() for r in (1, 2, 8))
    slope = 250 / 400  # per pixel
    assert (half - full).mean().abs() < slope / 2 and (eighth - full).mean().abs() < slope


def test_memory_changes_nothing_and_ends(scope, tmp_path):
    paths = [picture(tmp_path / f'{i}.jpg', seed=i) for i in range(3)]
    without = Compose(pipelines(recipe())[0])
    small = Compose(pipelines(recipe(), cache_mb=.1)[0])  # one picture has 75 KB
    for replica in range(2):
        for path in paths:
            a, b = (keyed(p, path, (replica, path[-5])) for p in (without, small))
            assert all(torch.equal(x, y) for v, w in zip(a, b) for x, y in zip(v, w))
    opened = small.transforms[0]
    assert 0 <= opened.memory.left < .1 * 2 ** 20 and len(opened.kept) == 3
    assert sum(len(p._decoded) for p in opened.kept.values()) == 1
    assert pickle.loads(pickle.dumps(small.transforms[1])).wanted == range(2)
    memory = Memory(10)
    assert [memory.take(n) for n in (6, 6, 4, 1)] == [True, False, True, False]


def test_some_views_without_the_others(scope, tmp_path):
    """Their bits do not change: all is drawn, and decoded as if all were wanted."""
    path = picture(tmp_path / 'a.jpg', (400, 300))
    ours = pipelines(recipe(48))[0]
    both, second = Compose(ours), Compose(ours)
    second.transforms[1] = second.transforms[1].only([1])
    for key in range(4):
        view, = keyed(second, path, (key, ))
        assert all(torch.equal(a, b) for a, b in zip(view, keyed(both, path, (key, ))[1]))


def test_truncated_pictures_are_refused(scope, tmp_path):
    path = picture(tmp_path / 'a.jpg')
    content = open(path, 'rb').read()
    open(path, 'wb').write(content[:len(content) // 2])
    with pytest.raises(MultiSSLError, match='truncated'):
        keyed(Compose(pipelines(recipe())[0]), path, (0, ))


@pytest.mark.parametrize('change, message', [
    (lambda view: view[1:], 'RandomApply|ColorJitter'),
    (lambda view: view[::-1], 'in this order'),
    (lambda view: [*view, dict(type='Solarize', thr=128, prob=.2)], 'Solarize'),
    (lambda view: [dict(view[0], backend='cv2'), *view[1:]], "backend is 'cv2'"),
    (lambda view: [view[0], dict(type='ColorJitter', hue=.1, backend='cv2')],
     "ColorJitter.backend is 'cv2'"),
    (lambda view: [view[0], dict(type='RandomGrayscale', prob=.2)], 'keep_channels is False')])
def test_recipes_that_cannot_be_followed_are_named(scope, change, message):
    with pytest.raises(MultiSSLError, match=message):
        CropViews([change(recipe())], 2)


@pytest.mark.parametrize('folder', ['', 'demo'])
def test_every_pretraining_of_pictures_makes_its_views_in_batches(folder):
    seen = 0
    for path in sorted((tiny.CONFIGS / folder).glob('*.py')):
        loader = Config.fromfile(path).get('train_dataloader')
        if loader is None or 'rcnn' in path.name or path.stem == 'supervised':
            continue  # concatenated encoders are trained by nobody; the others are of labels
        types = [step.type.rpartition('.')[2] for step in loader.dataset.dataset.pipeline]
        assert types == ['OpenPicture', 'CropViews', 'PackViews'], path
        seen += 1
    assert seen > 7


def keyed_dataset(images, view):
    return KeyedDataset(DATASETS.build(dict(
        type='mmpretrain.CustomDataset', data_root=str(images), data_prefix='train',
        with_label=False, pipeline=pipelines(view)[0])))


def test_the_same_bits_for_any_workers_batches_and_ranks(scope, images):
    """Crops and finished views, of samples alone, in batches of 8 and of 5 in other order."""
    data = keyed_dataset(images, recipe(24))
    preprocessor = MODELS.build(dict(type='multissl_mm.ViewPreprocessor', mean=[120.] * 3,
                                     std=[60.] * 3))
    keys = [ViewKey(3, 1, i) for i in range(24)]

    def views(keys, batch_size, workers):
        found = {}
        for batch in DataLoader(data, batch_size, sampler=keys, num_workers=workers,
                                collate_fn=default_collate):
            made = preprocessor(batch)
            for i, sample in enumerate(made['data_samples']):
                found[sample.sample_idx] = torch.stack([view[i] for view in made['inputs']])
        return found

    def keys_of(rank):
        sampler = DATA_SAMPLERS.build(dict(type='multissl_mm.KeyedSampler', dataset=data, seed=3))
        sampler.set_epoch(1)
        sampler.rank, sampler.world_size, sampler.num_samples = rank, 2, len(data) // 2
        return list(sampler)
    alone, ranks = views(keys, 1, 0), [views(keys_of(rank), 4, 0) for rank in (0, 1)]
    assert not ranks[0].keys() & ranks[1].keys()
    for other in (views(keys, 8, 2), views(random.Random(0).sample(keys, 24), 5, 1),
                  {**ranks[0], **ranks[1]}):
        assert all(torch.equal(alone[i], other[i]) for i in range(24))


@pytest.mark.parametrize('wanted', [['query'], ['key'], ['key', 'query', 'of a task']])
def test_recordings_cut_out_the_views_that_they_need(scope, images, monkeypatch, wanted):
    data = keyed_dataset(images, recipe(24))
    whole = dict(zip(('query', 'key'), data[ViewKey(0, 0, 4)]['inputs']))
    cuts, cut = [], Crop.cut
    monkeypatch.setattr(Crop, 'cut', lambda *args: cuts.append(1) or cut(*args))
    some = SomeViews(data, ('query', 'key'), wanted)[ViewKey(0, 0, 4)]['inputs']
    expected = [view for name, view in whole.items() if name in wanted]
    assert len(cuts) == len(some) == len(expected)
    assert all(torch.equal(a, b) for v, w in zip(some, expected) for a, b in zip(v, w))


def test_views_pack_small_and_typed(scope, images):
    sample = keyed_dataset(images, recipe(24))[ViewKey(0, 0, 0)]
    for view in sample['inputs']:
        assert isinstance(view, CroppedView)
        assert view.pixels.dtype == torch.uint8 and view.pixels.shape == (3, 24, 24)
        assert view.params.dtype == torch.float32 and len(view.params) == len(ViewParams._fields)
    assert sample['data_samples'].replica == 0 and sample['data_samples'].img_path
