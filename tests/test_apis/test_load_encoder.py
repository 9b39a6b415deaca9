"""The one way to a filled backbone."""
import logging
from pathlib import Path

import pytest
import sounds
import tiny
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from pictures import encoder_config
from PIL import Image

from multissl_mm.apis import (
    ImageInferencer,
    NormalisePixels,
    ToSpectrograms,
    load_encoder,
    load_model,
)
from multissl_mm.apis.encoder import IMAGENET
from multissl_mm.apis.loading import _building
from multissl_mm.converters import export_backbone
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import RunOptions

CONFIGS = tiny.CONFIGS


def test_random_weights_depend_on_the_seed_alone():
    weights = [load_encoder(encoder_config(), 'random', seed=seed).backbone.conv1.weight
               for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_loggers_are_silent_while_it_is_built_and_no_longer():
    """They remembered: a run went on without a line after an encoder had been loaded beside it."""
    heard, unheard = (MMLogger.get_instance(f'{name}_beside', log_level='INFO')
                      for name in ('heard', 'unheard'))
    assert heard.isEnabledFor(logging.INFO)
    with _building(Config(), 0):
        assert not heard.isEnabledFor(logging.INFO) and not unheard.isEnabledFor(logging.INFO)
        assert heard.isEnabledFor(logging.WARNING)
    assert heard.isEnabledFor(logging.INFO) and unheard.isEnabledFor(logging.INFO)


def settings(cfg):
    return load_encoder(cfg, 'random').prepare.settings


def test_normalisation_is_the_configs():
    backbone = tiny.backbone()
    assert settings(encoder_config()) == dict(mean=(0, 0, 0), std=(255, 255, 255), to_rgb=True)
    assert settings(Config(dict(model=dict(backbone=backbone)))) == IMAGENET
    cfg = Config(dict(
        model=dict(backbone=backbone,
                   data_preprocessor=dict(mean=[1, 2, 3], std=[1, 1, 1], bgr_to_rgb=False)),
        data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1], to_rgb=True)))
    assert settings(cfg) == dict(mean=(1, 2, 3), std=(1, 1, 1), to_rgb=False)
    raw = dict(type='mmdet.DetDataPreprocessor', pad_size_divisor=32)  # as of YOLOX
    assert settings(Config(dict(model=dict(backbone=backbone, data_preprocessor=raw)))) == dict(
        mean=(0, 0, 0), std=(1, 1, 1), to_rgb=False)
    pixels = torch.randint(256, (2, 3, 5, 4), dtype=torch.uint8)
    expected = pixels.flip(1).float() - torch.tensor([1., 2., 3.]).view(3, 1, 1)  # BGR
    assert torch.equal(load_encoder(cfg, 'random').prepare(pixels), expected)


# ---------------------------------------------------------------------- checkpoints

@pytest.fixture
def weights():
    state_dict = load_encoder(encoder_config(), 'random').backbone.state_dict()
    return {k: v + 1 for k, v in state_dict.items()}


@pytest.mark.parametrize('before', ['backbone.', 'module.backbone.', ''])
def test_every_weight_is_loaded(before, weights, tmp_path):
    saved = {before + k: v for k, v in weights.items() if not k.endswith('num_batches_tracked')}
    saved['fc.weight'] = torch.zeros(2)
    torch.save(dict(state_dict=saved), tmp_path / 'a.pth')
    loaded = load_encoder(encoder_config(), str(tmp_path / 'a.pth')).backbone.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in weights.items()
               if not k.endswith('num_batches_tracked'))


@pytest.mark.parametrize('change, message', [
    (lambda w: {f'backbone.{k}': v for k, v in w.items() if k != 'bn1.bias'}, 'missing: bn1.bias'),
    (lambda w: {f'backbone.{k}': v for k, v in [*w.items(), ('x.y', w['bn1.bias'])]},
     'unexpected: x.y'),
    (lambda w: {f'backbone.{k}': v[:4] if k == 'bn1.bias' else v for k, v in w.items()},
     r'another shape: bn1.bias \(4,\)'),
    (lambda w: {f'backbon.{k}': v for k, v in w.items()},
     "no key starts with 'backbone.'; its keys start with backbon."),
    (lambda w: {k: v for k, v in w.items() if k != 'bn1.bias'}, 'missing: bn1.bias'),
])
def test_weights_that_do_not_fit_are_refused(change, message, weights, tmp_path):
    torch.save(dict(state_dict=change(weights)), tmp_path / 'a.pth')
    with pytest.raises(MultiSSLError, match='a.pth: .*' + message):
        load_encoder(encoder_config(), str(tmp_path / 'a.pth'))


def test_prefixes_of_others(weights, tmp_path):
    torch.save({f'encoder_q.{k}': v for k, v in weights.items()}, tmp_path / 'a.pth')
    loaded = load_encoder(encoder_config(), str(tmp_path / 'a.pth'), prefix='encoder_q')
    assert torch.equal(loaded.backbone.conv1.weight, weights['conv1.weight'])
    with pytest.raises(MultiSSLError, match=r"no key starts with 'backbone\.'.*encoder_q\."):
        load_encoder(encoder_config(), str(tmp_path / 'a.pth'))


def several(kind):
    one = tiny.backbone()
    return dict(concat=dict(type='multissl_mm.ConcatBackbone', encoders=[one, one]),
                progressive=dict(type='multissl_mm.ProgressiveColumns', columns=[one, one]))[kind]


@pytest.mark.parametrize('before', ['backbone.', ''])
@pytest.mark.parametrize('kind', ['concat', 'progressive'])
def test_backbones_of_several(kind, before, tmp_path):
    """Also if their parts name weights of their own, which may be gone."""
    cfg = Config(dict(model=dict(backbone=several(kind))))
    source = load_encoder(cfg, 'random', seed=1).backbone
    if kind == 'progressive':
        source.set_column(0)  # of a run's first stage
    torch.save({before + k: v for k, v in source.state_dict().items()}, tmp_path / 'a.pth')
    for part in cfg.model.backbone.get('encoders', cfg.model.backbone.get('columns')):
        part.init_cfg = dict(type='Pretrained', checkpoint='gone.pth')
    encoder = load_encoder(cfg, str(tmp_path / 'a.pth'))
    images = torch.randint(256, (2, 3, 64, 64))
    torch.testing.assert_close(encoder.backbone(encoder.prepare(images))[-1],
                               source(encoder.prepare(images))[-1])
    assert encoder.embed(images).shape == (2, 64 * (1 + (kind == 'concat')))
    assert load_encoder(cfg, 'random').embed(images).isfinite().all()  # nor are they looked for
    assert cfg.model.backbone.get('encoders', cfg.model.backbone.get('columns'))[0].init_cfg


def test_an_encoder_does_not_change():
    encoder = load_encoder(encoder_config(), 'random').train()
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    maps = encoder(images)
    assert [tuple(m.shape) for m in maps] == [(2, 64, 2, 2)] and not maps[0].requires_grad
    torch.testing.assert_close(encoder.embed(images), maps[0].mean((2, 3)))
    assert not encoder.backbone.training and isinstance(encoder.prepare, NormalisePixels)
    assert encoder.device.type == 'cpu' and not encoder.state_dict().keys() - {
        f'backbone.{k}' for k in encoder.backbone.state_dict()}
    with pytest.raises(MultiSSLError, match=r'takes pictures \(N, 3, H, W\).*\(2, 2, 800\)'):
        encoder(torch.randn(2, 2, 800))


def test_encoders_of_sound(tmp_path):
    cfg = sounds.sound_config('b', tmp_path, tmp_path)
    encoder = load_encoder(cfg, 'random')
    waves = torch.randn(2, 2, 8000)
    assert isinstance(encoder.prepare, ToSpectrograms)
    assert encoder.embed(waves).shape == (2, 16) and encoder.prepare(waves).shape[:3] == (2, 2, 32)
    with pytest.raises(MultiSSLError, match='not finite in clip of sample 1'):
        encoder(torch.stack([waves[0], waves[1] * float('nan')]))


def test_what_cannot_be_an_encoder(tmp_path):
    with pytest.raises(MultiSSLError, match='nowhere.py: no such config'):
        load_encoder('nowhere.py', 'random')
    with pytest.raises(MultiSSLError, match='the config: has no model.backbone'):
        load_encoder(Config(dict(model=dict(type='X'))), 'random')
    with pytest.raises(MultiSSLError, match='gone.pth: no such checkpoint'):
        load_encoder(encoder_config(), 'gone.pth')


def test_configs_of_other_packages():
    encoder = load_encoder('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'random')
    assert type(encoder.backbone).__module__.startswith('mmdet')
    assert encoder.prepare.settings == IMAGENET and len(encoder(torch.zeros(1, 3, 64, 64))) == 4
    # Without a default_scope of its own.
    encoder = load_encoder('mmpretrain::dinov2/vit-small-p14_dinov2-pre_headless.py', 'random')
    assert type(encoder.backbone).__module__.startswith('mmpretrain')


def test_an_output_that_is_no_representation(tmp_path):
    """The last of MAE's three is an order of patches, drawn anew each time."""
    backbone = dict(type='mmpretrain.MAEViT', arch='deit-tiny', img_size=32, patch_size=16)
    encoder = load_encoder(Config(dict(model=dict(backbone=backbone))), 'random')
    with pytest.raises(MultiSSLError, match=r'last output of this backbone, torch.int64 of shape'):
        encoder.embed(torch.zeros(2, 3, 32, 32))


# ---------------------------------------------------------------------- whole models

def test_a_whole_model_or_none(tmp_path):
    cfg = Config(dict(default_scope='mmpretrain', model=dict(
        type='mmpretrain.ImageClassifier', backbone=tiny.backbone(),
        head=dict(type='mmpretrain.LinearClsHead', num_classes=2, in_channels=64))))
    model = load_model(cfg, 'random')
    state_dict = {k: v + 1 for k, v in model.state_dict().items()}
    meta = dict(dataset_meta=dict(classes=('a', 'b')))
    torch.save(dict(state_dict=state_dict, meta=meta), tmp_path / 'a.pth')
    loaded = load_model(cfg, str(tmp_path / 'a.pth'))
    assert loaded.dataset_meta == meta['dataset_meta'] and not loaded.training
    assert all(torch.equal(v, state_dict[k]) for k, v in loaded.state_dict().items())
    torch.save(dict(state_dict={k: v for k, v in state_dict.items() if k != 'head.fc.bias'}),
               tmp_path / 'b.pth')
    with pytest.raises(MultiSSLError, match='b.pth: does not fit the ImageClassifier.*missing: '
                       'head.fc.bias'):
        load_model(cfg, str(tmp_path / 'b.pth'))
    with pytest.raises(MultiSSLError, match='has only a backbone'):
        load_model(str(CONFIGS / 'demo/concat_mocov2_densecl.py'), 'random')


def test_paths_work_wherever_texts_do(tmp_path, scope):
    """Bug 40."""
    config, weights = tmp_path / 'c.py', tmp_path / 'w.pth'
    encoder_config().dump(config)
    load_encoder(config, 'random')
    state = load_encoder(str(config), Path('random')).backbone.state_dict()
    torch.save(dict(state_dict={f'backbone.{k}': v for k, v in state.items()}), weights)
    assert load_encoder(config, weights).config.filename == str(config)
    infer = ImageInferencer(config, weights, 'cpu', image_size=64)
    Image.new('RGB', (64, 64)).save(tmp_path / 'a.png')
    assert infer(tmp_path / 'a.png', out_dir=tmp_path / 'out')['visualization']
    export_backbone(weights, tmp_path / 'b.pth', config=config)
    options = RunOptions(config, work_dir=tmp_path, resume=weights)
    assert (options.config, options.work_dir) == (str(config), str(tmp_path))
    (tmp_path / 'taken').write_text('a file')
    with pytest.raises(MultiSSLError, match='taken is a file, where a folder is to be written'):
        infer(tmp_path / 'a.png', out_dir=tmp_path / 'taken')
