"""Views finished in batches, against MMPretrain's transforms one by one."""
import mmcv
import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from mmpretrain.datasets.transforms import GaussianBlur
from mmpretrain.models import SelfSupDataPreprocessor
from PIL import Image

from multissl_mm.errors import MultiSSLError
from multissl_mm.models import view_ops, view_preprocessor
from multissl_mm.models.view_preprocessor import ViewPreprocessor
from multissl_mm.utils.views import ORDERS, CroppedView, ViewParams, normalisation_of

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])


def pictures(count=4, size=(48, 64), seed=0):
    """(N, 3, H, W), uint8, RGB: smooth, colourful, with noise, with gray and black parts."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 255, (4, 5, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize(size[::-1], Image.Resampling.BICUBIC)).astype(float)
        pixels += rng.normal(0, 5, pixels.shape)
        pixels[:4], pixels[4:8], pixels[8:10] = 0, 255, pixels[8:10, :, :1]
        found.append(pixels.clip(0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous()


def params(count, seed=0):
    """(N, 8): every combination of what is done and what is not comes up."""
    rng = np.random.default_rng(seed)
    return torch.tensor([ViewParams(
        order=rng.integers(-4, len(ORDERS)), brightness=rng.uniform(.6, 1.4),
        contrast=rng.uniform(.6, 1.4), saturation=rng.uniform(.6, 1.4), hue=rng.uniform(-.1, .1),
        gray=rng.integers(2), sigma=rng.integers(2) * rng.uniform(.1, 2),
        flip=rng.integers(2)) for _ in range(count)], dtype=torch.float32).clamp_min(-1)


def bgr(picture):
    return np.ascontiguousarray(picture.permute(1, 2, 0).flip(-1).numpy())


def blurred(image, sigma):
    return GaussianBlur(radius=sigma, prob=1.).transform(dict(img=image))['img']


REFERENCES = dict(
    brightness=(lambda x, v: mmcv.adjust_brightness(x, v, backend='pillow'), (.6, .93, 1.4)),
    contrast=(lambda x, v: mmcv.adjust_contrast(x, v, backend='pillow'), (.6, .93, 1.4)),
    saturation=(lambda x, v: mmcv.adjust_color(x, v, backend='pillow'), (.6, .93, 1.4)),
    hue=(lambda x, v: mmcv.adjust_hue(x, v, backend='pillow'), (-.1, -.03, .02, .1)),
    sigma=(blurred, (.1, .5, 1.2, 2.)),
    gray=(lambda x, _: np.repeat((x @ np.array([.114, .587, .2989]) / .9999)[..., None], 3, 2)
          .astype(np.uint8), (1., )),
    flip=(lambda x, _: mmcv.imflip(x), (1., )))


@pytest.mark.parametrize('name', REFERENCES)
def test_each_operation_is_that_of_mmpretrain(name):
    """Within 1 of 255 in the mean over pixels, channels in their order, each sample its own."""
    reference, values = REFERENCES[name]
    crops = pictures(len(values))
    order = 0. if name in ('brightness', 'contrast', 'saturation', 'hue') else -1.
    found = view_ops.augment(crops, torch.tensor([
        ViewParams(**{'order': order, name: value}) for value in values]))
    for crop, value, view in zip(crops, values, found):
        expected = torch.from_numpy(reference(bgr(crop), value).copy()).permute(2, 0, 1).flip(0)
        assert (view - expected).abs().mean() < 1
        assert (view - expected).mean().abs() < .3  # no bias either


def test_jitters_follow_the_order_of_each_sample():
    crops = pictures(1).expand(len(ORDERS), -1, -1, -1)
    factors = dict(brightness=1.4, contrast=1.3, saturation=.6, hue=.1)
    found = view_ops.augment(crops, torch.tensor([
        ViewParams(order=number, **factors) for number in range(len(ORDERS))], dtype=torch.float))
    references = [REFERENCES[name][0] for name in factors]
    for order, view in zip(ORDERS, found):
        expected = bgr(crops[0])
        for number in order:
            expected = references[number](expected, list(factors.values())[number])
        difference = view - torch.from_numpy(expected.copy()).permute(2, 0, 1).flip(0)
        assert difference.abs().mean() < 2


@pytest.mark.parametrize('size', [(24, 24), (33, 35), (224, 224)])
def test_a_view_does_not_depend_on_its_batch(size, monkeypatch):
    """To the last bit: alone, in any batch, in chunks, with any number of threads."""
    crops, drawn = pictures(7, size), params(7)
    together = view_ops.augment(crops, drawn)
    for i in range(7):
        assert torch.equal(together[i:i + 1], view_ops.augment(crops[i:i + 1], drawn[i:i + 1]))
    mixed = torch.tensor([5, 0, 3, 3, 6])
    assert torch.equal(together[mixed], view_ops.augment(crops[mixed], drawn[mixed]))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    assert torch.equal(together, view_ops.augment(crops, drawn))
    torch.set_num_threads(threads)
    preprocessor = ViewPreprocessor(**IMAGENET)
    data = dict(inputs=[CroppedView(crops, drawn)])
    whole = preprocessor(data)['inputs'][0]
    for name, limit in (('CPU_LARGE', 2 ** 20), ('CPU_CHUNK', 3 * size[0] * size[1]),
                        ('CPU_LARGE', 1)):
        monkeypatch.setattr(view_preprocessor, name, limit)
        assert torch.equal(whole, preprocessor(data)['inputs'][0])


def test_what_is_not_drawn_is_not_done():
    crops = pictures()
    neutral = torch.tensor(ViewParams()).expand(len(crops), -1)
    assert torch.equal(view_ops.augment(crops, neutral), crops.float())
    preprocessor = ViewPreprocessor(**IMAGENET)
    theirs = SelfSupDataPreprocessor(**IMAGENET)
    a = preprocessor(dict(inputs=[CroppedView(crops, neutral)]))['inputs'][0]
    assert torch.equal(a, theirs(dict(inputs=[crops], data_samples=None))['inputs'][0])


def test_pictures_without_parameters_are_normalised_as_by_mmpretrain():
    pictures_bgr = pictures()
    cfg = dict(IMAGENET, to_rgb=True)
    theirs = SelfSupDataPreprocessor(**cfg)
    ours = MODELS.build(dict(cfg, type='multissl_mm.ViewPreprocessor'))
    for inputs in (pictures_bgr, [pictures_bgr, pictures_bgr.flip(0)]):
        a, b = (p(dict(inputs=inputs, data_samples=None))['inputs'] for p in (ours, theirs))
        assert all(torch.equal(x, y) for x, y in zip(a, b))


def test_pixels_are_read_off_views_to_the_last_bit():
    """As they travel between ranks; what is made of a view, and views of fractions, are no such."""
    preprocessor = ViewPreprocessor(**IMAGENET)
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(2, 3, 1, 1)
    crops = CroppedView(pictures(), params(4))
    made = preprocessor(dict(inputs=[levels, crops, CroppedView(levels, params(2))]))['inputs']
    for view in made:
        scale = normalisation_of(view)
        pixels = scale.pixels(view)
        assert pixels.dtype == torch.uint8 and torch.equal(scale.view(pixels), view)
    assert torch.equal(scale.pixels(made[0]), levels)
    assert normalisation_of(view + 0) is None and normalisation_of(view[:1]) is None
    assert normalisation_of(preprocessor(dict(inputs=levels / 2))['inputs']) is None


def test_views_of_any_size_by_name_or_in_a_list_and_some_of_them():
    preprocessor = ViewPreprocessor(**IMAGENET)
    large, small = (CroppedView(pictures(3, size, seed), params(3, seed))
                    for seed, size in enumerate(((40, 40), (16, 16))))
    listed = preprocessor(dict(inputs=[large, small, large]))['inputs']
    named = preprocessor(dict(inputs=dict(key=small)))['inputs']
    assert [tuple(x.shape) for x in listed] == [(3, 3, 40, 40), (3, 3, 16, 16), (3, 3, 40, 40)]
    assert torch.equal(named['key'], listed[1]) and torch.equal(listed[0], listed[2])
    with pytest.raises(MultiSSLError, match='default_collate'):
        preprocessor(dict(inputs=[[large]]))


def test_mixed_precision_makes_no_difference():
    preprocessor = ViewPreprocessor(**IMAGENET)
    data = dict(inputs=[CroppedView(pictures(), params(4))])
    expected = preprocessor(data)['inputs'][0]
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = preprocessor(data)['inputs'][0]
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_a_device_is_never_waited_for():
    """On the meta device nothing has a value, so that asking for one is an error."""
    preprocessor = ViewPreprocessor(**IMAGENET).to('meta')
    preprocessor._device = torch.device('meta')
    made = preprocessor(dict(inputs=[CroppedView(pictures(8), params(8))]))['inputs'][0]
    assert made.is_meta and made.shape == (8, 3, 48, 64) and made.dtype == torch.float32


def test_its_text_says_all_that_views_depend_on():
    texts = {repr(ViewPreprocessor(**dict(dict(IMAGENET, to_rgb=False), **change)))
             for change in ({}, dict(to_rgb=True), dict(mean=[1.] * 3), dict(std=[1.] * 3))}
    assert len(texts) == 4 and all('version=2' in text for text in texts)
