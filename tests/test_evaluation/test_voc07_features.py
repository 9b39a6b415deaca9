"""Features of the VOC07 protocol: layers, pooling and pictures."""
import numpy as np
import pytest
import sounds
import torch
from mmengine.config import Config
from pictures import encoder_config
from PIL import Image

from multissl_mm.apis import load_encoder
from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation import voc07 as voc


@pytest.fixture(scope='module')
def resnet50():
    cfg = Config(dict(model=dict(backbone=dict(type='mmpretrain.ResNet', depth=50))))
    return load_encoder(cfg, 'random')


@pytest.mark.parametrize('layer, dimensions', zip(voc.LAYERS, (9216, 9216, 8192, 9216, 8192)))
def test_dimensions_of_resnet50(layer, dimensions, resnet50):
    model = voc.PooledFeatures(resnet50, layer)
    with torch.inference_mode():
        assert model(torch.rand(1, 3, 224, 224)).shape == (1, dimensions)
    assert model.pooling.startswith('as specified')


def test_layers_are_the_stages_and_small_pictures_are_pooled_adaptively():
    encoder = load_encoder(encoder_config(), 'random')
    backbone, images = encoder.backbone, torch.rand(2, 3, 64, 64)
    stem = backbone.relu(backbone.bn1(backbone.conv1(images)))
    maps = [stem]
    x = backbone.maxpool(stem)
    for i in range(1, 5):
        x = getattr(backbone, f'layer{i}')(x)
        maps.append(x)
    for layer, feature in zip(voc.LAYERS, maps):
        model = voc.PooledFeatures(encoder, layer)
        grid = voc.LAYERS[layer].grid
        expected = torch.nn.functional.adaptive_avg_pool2d(feature, grid).flatten(1)
        torch.testing.assert_close(model(255 * images), expected)
        assert model.pooling.startswith(f'adaptive, {feature.size(-1)}x')


def test_other_backbones_offer_their_last_output():
    vit = dict(type='mmpretrain.VisionTransformer', img_size=32, patch_size=16,
               arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16))
    encoder = load_encoder(Config(dict(model=dict(backbone=vit))), 'random')
    model = voc.PooledFeatures(encoder, 'feat5')
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 8) and 'vectors' in model.pooling
    with pytest.raises(MultiSSLError, match='feat3 .*VisionTransformer use feat5'):
        voc.PooledFeatures(encoder, 'feat3')


def test_pictures_are_resized_as_mmpretrain_does(tmp_path, scope):
    from mmpretrain.registry import TRANSFORMS
    noise = np.random.default_rng(0).integers(0, 255, (75, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / 'a.png')
    data = dict(img_path=str(tmp_path / 'a.png'))
    for transform in (dict(type='LoadImageFromFile'), dict(type='ResizeEdge', scale=256),
                      dict(type='Resize', scale=(224, 224))):
        data = TRANSFORMS.build(transform)(data)
    assert np.array_equal(voc.load_image(tmp_path / 'a.png'), data['img'][..., ::-1])
    assert voc.load_image(tmp_path / 'a.png', 32).shape == (32, 32, 3)


def test_encoders_of_sound_have_no_pictures(tmp_path):
    encoder = load_encoder(sounds.sound_config('b', tmp_path, tmp_path), 'random')
    with pytest.raises(MultiSSLError, match='its encoder takes sounds'):
        voc.PooledFeatures(encoder)
