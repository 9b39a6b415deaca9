"""MMSelfSup's own configs build and train without MMSelfSup."""
import ast
import inspect
import subprocess
import sys
import textwrap
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiny
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import (
    DATASETS,
    HOOKS,
    MODELS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    TRANSFORMS,
    DefaultScope,
    init_default_scope,
)
from mmengine.runner import Runner

from multissl_mm.compat import mmselfsup
from multissl_mm.errors import MultiSSLError
from multissl_mm.runtime import load_config

PACKAGE = find_spec('mmselfsup')  # finds the files; importing them is what fails
if PACKAGE is None:
    pytest.skip('the distribution mmselfsup==1.0.0, which has the configs, is not installed '
                '(pip install --no-deps mmselfsup==1.0.0)', allow_module_level=True)
if not isinstance(MODELS.children.get('mmselfsup'), mmselfsup.DescendantRegistry):
    pytest.skip('mmselfsup can be imported here and answers for itself', allow_module_level=True)

FOLDER = Path(PACKAGE.submodule_search_locations[0], '.mim', 'configs')
# What MMSelfSup 1.0.0 ships, and so what the search below must find.
COUNTS = dict(mocov1=1, mocov2=1, mocov3=3, densecl=1, simclr=4, byol=7, simsiam=2, barlowtwins=3,
              swav=1)
SHIPPED = [str(path.relative_to(FOLDER)) for family in COUNTS
           for path in sorted(FOLDER.glob(f'selfsup/{family}/*_resnet50_*.py'))]
MOCO = 'selfsup/mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py'

# Every number of the shipped configs that costs time. Equal ones stay equal, so that layers fit; 64
# is the width of the last stage of the small backbone.
SMALL = {65536: 64, 8192: 64, 4096: 64, 3840: 8, 2048: 64, 512: 16, 256: 16, 128: 16,
         224: 32, 96: 16}


@pytest.fixture(autouse=True)
def scope():
    """Builds as under ``default_scope = 'mmselfsup'``."""
    init_default_scope('mmselfsup')
    yield
    DefaultScope._instance_dict.clear()


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """Eight pictures in ImageNet's layout, with the annotation file that the configs name."""
    root = tiny.write_images(tmp_path_factory.mktemp('imagenet'), 8)
    (root / 'meta').mkdir()
    (root / 'meta' / 'train.txt').write_text(
        ''.join(f'n00000000/{i:04d}.JPEG 0\n' for i in range(8)))
    return root


def smaller(node):
    if isinstance(node, dict):
        return {key: smaller(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [smaller(value) for value in node]
    return SMALL.get(node, node) if type(node) is int else node


def shrunk(name, data_root, work_dir, steps=1):
    """A shipped config that trains for ``steps`` steps of four pictures, in a second."""
    cfg = Config.fromfile(FOLDER / name)
    for key in ('model', 'custom_hooks', 'train_dataloader'):
        if key in cfg:
            cfg[key] = smaller(cfg[key])
    cfg.model.backbone.update(depth=18, base_channels=8)
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False,
                                pin_memory=False)
    cfg.train_dataloader.dataset.update(data_root=str(data_root), indices=4)
    for hook in cfg.get('custom_hooks', []):
        if hook.type == 'SwAVHook':
            hook.batch_size = 4
    if cfg.optim_wrapper.type == 'AmpOptimWrapper':  # which refuses to run without a GPU
        cfg.optim_wrapper.type = 'OptimWrapper'
        cfg.optim_wrapper.pop('loss_scale')
    cfg.merge_from_dict(dict(
        work_dir=str(work_dir), experiment_name=work_dir.name, log_level='WARNING',
        visualizer=dict(name=work_dir.name), randomness=dict(seed=0),
        train_cfg=dict(max_epochs=steps)))
    return cfg


def train(cfg):
    """Trains; returns the runner and, by parameter, the size of the backbone's gradients."""
    runner = Runner.from_cfg(cfg)
    grads = {}
    for name, param in runner.model.backbone.named_parameters():
        param.register_hook(lambda grad, name=name: grads.update({name: grad.abs().sum().item()}))
    runner.train()
    return runner, grads


def test_finds_all_shipped_configs():
    assert Counter(Path(name).parts[1] for name in SHIPPED) == COUNTS
    assert len(SHIPPED) == 23


def test_shipped_configs_have_names_and_heirs(tmp_path):
    (tmp_path / 'mine.py').write_text(f"_base_ = 'mmselfsup::{MOCO}'\nmodel = dict(feat_dim=64)\n")
    assert load_config(f'mmselfsup::{MOCO}').model.feat_dim == 128
    assert load_config(str(tmp_path / 'mine.py')).model.feat_dim == 64


@pytest.mark.parametrize('name', SHIPPED, ids=lambda name: Path(name).stem)
def test_shipped_config_trains(name, imagenet, tmp_path):
    runner, grads = train(shrunk(name, imagenet, tmp_path))
    assert type(runner.model).__module__.startswith('mmpretrain.models.selfsup.')
    assert runner.iter == 1
    assert torch.isfinite(torch.tensor(runner.message_hub.get_scalar('train/loss').current()))
    assert len(grads) == len(list(runner.model.backbone.parameters()))
    assert 0 < grads['conv1.weight'] < float('inf')


def test_trains_as_the_config_written_for_mmpretrain(imagenet, tmp_path):
    """Same weights after three steps, under the same keys."""
    old = shrunk(MOCO, imagenet, tmp_path / 'old', steps=3)
    new = Config(old.to_dict())
    new.merge_from_dict(dict(default_scope='mmpretrain', work_dir=str(tmp_path / 'new'),
                             experiment_name='new', visualizer=dict(name='new')))
    new.model = dict(
        type='MoCo', queue_len=64, feat_dim=16, momentum=0.001,
        data_preprocessor=dict(type='SelfSupDataPreprocessor', mean=(123.675, 116.28, 103.53),
                               std=(58.395, 57.12, 57.375), to_rgb=True),
        backbone=dict(type='ResNet', depth=18, base_channels=8, zero_init_residual=False),
        neck=dict(type='MoCoV2Neck', in_channels=64, hid_channels=64, out_channels=16),
        head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2))
    view = [
        dict(type='RandomResizedCrop', scale=32, crop_ratio_range=(0.2, 1.), backend='pillow'),
        dict(type='RandomApply', prob=0.8, transforms=[
            dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)]),
        dict(type='RandomGrayscale', prob=0.2, keep_channels=True,
             channel_weights=(0.114, 0.587, 0.2989)),
        dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
        dict(type='RandomFlip', prob=0.5)]
    new.train_dataloader.dataset.update(type='ImageNet', pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='MultiView', num_views=2, transforms=[view]),
        dict(type='PackInputs', meta_keys=['img_path'])])
    new.visualizer.type = 'UniversalVisualizer'
    ours, theirs = (train(cfg)[0].model.state_dict() for cfg in (old, new))
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


# ---------------------------------------------------------------------- arguments

def small_model(family, **kwargs):
    name = next(name for name in SHIPPED if f'/{family}/' in name)
    cfg = smaller(Config.fromfile(FOLDER / name).model)
    cfg['backbone'].update(depth=18, base_channels=8)
    return {**cfg, **kwargs}


@pytest.mark.parametrize('family, key, default', [
    ('mocov2', 'momentum', 0.001), ('densecl', 'momentum', 0.001), ('byol', 'base_momentum', 0.004),
    ('mocov3', 'base_momentum', 0.01)])
def test_momentum_is_the_share_of_the_new_weights(family, key, default):
    def momentum(cfg):
        average, = (m for m in MODELS.build(cfg).children()
                    if isinstance(m, ExponentialMovingAverage))
        assert getattr(average, 'end_momentum', 0) == 0  # MMSelfSup's cosine ends at 1
        return average.momentum

    cfg = small_model(family)
    assert momentum({**cfg, key: 0.999}) == 0.001
    assert momentum({**cfg, key: 0.996}) == 0.004
    del cfg[key]
    assert momentum(cfg) == default


def test_momentum_of_an_average_by_itself():
    average = MODELS.build(dict(type='CosineEMA', model=torch.nn.Linear(1, 1), momentum=0.9,
                                end_momentum=0.99))
    assert (average.momentum, average.end_momentum) == (0.1, 0.01)


@pytest.mark.parametrize('name', ['ResNet', 'ResNetV1d', 'ResNeXt'])
def test_stages_count_from_the_stem_and_residuals_do_not_start_at_zero(name):
    depth = 50 if name == 'ResNeXt' else 18
    backbone = MODELS.build(dict(type=name, depth=depth, out_indices=[1, 4]))
    assert backbone.out_indices == (0, 3)
    assert not backbone.zero_init_residual
    assert MODELS.build(dict(type=name, depth=depth)).out_indices == (3, )
    assert MODELS.build(dict(type=name, depth=depth, zero_init_residual=True)).zero_init_residual
    with pytest.raises(MultiSSLError, match=rf'mmselfsup.{name}: out_indices=\[0, 4\].*stem'):
        MODELS.build(dict(type=name, depth=depth, out_indices=[0, 4]))


def test_pictures_are_normalised_as_before():
    preprocess = MODELS.build(dict(
        type='SelfSupDataPreprocessor', mean=(1., 2., 3.), std=(1., 2., 4.), bgr_to_rgb=True))
    bgr = torch.tensor([3., 2., 5.]).view(1, 3, 1, 1)
    view, = preprocess(dict(inputs=[bgr], data_samples=None))['inputs']
    assert view.flatten().tolist() == [4., 0., 0.]


def test_linear_neck_pools_and_has_no_norm():
    x = torch.randn(2, 4, 3, 3)
    neck = MODELS.build(dict(type='LinearNeck', in_channels=4, out_channels=2))
    assert list(neck.state_dict()) == ['fc.weight', 'fc.bias']
    assert torch.equal(neck((x, ))[0], neck.fc(x.mean((2, 3))))
    flat = MODELS.build(dict(type='LinearNeck', in_channels=36, out_channels=2,
                             with_avg_pool=False))
    assert torch.equal(flat((x, ))[0], flat.fc(x.flatten(1)))
    MODELS.build(dict(type='NonLinearNeck', in_channels=4, hid_channels=4, out_channels=2,
                      vit_backbone=True))  # in MoCo v3's ViT configs


def test_transforms_keep_their_meaning():
    crop = TRANSFORMS.build(dict(type='RandomResizedCrop', size=8, scale=(.5, .6), ratio=(1, 2)))
    assert crop.scale == (8, 8)
    assert (crop.crop_ratio_range, crop.aspect_ratio_range) == ((.5, .6), (1, 2))
    assert TRANSFORMS.build(dict(type='RandomCrop', size=8)).crop_size == (8, 8)
    blur = TRANSFORMS.build(dict(type='RandomGaussianBlur', sigma_min=1, sigma_max=3, prob=.2))
    sigmas = [blur.random_magnitude() for _ in range(500)]
    assert 1 <= min(sigmas) < 1.1 and 2.9 < max(sigmas) <= 3 and abs(sum(sigmas) - 1000) < 60
    assert blur.prob == .2
    solarize = TRANSFORMS.build(dict(type='RandomSolarize', prob=.3))
    assert (solarize.thr, solarize.prob) == (128, .3)
    assert TRANSFORMS.build(dict(type='RandomSolarize', threshold=7)).thr == 7
    pack = TRANSFORMS.build(dict(type='PackSelfSupInputs', key='a', algorithm_keys=['gt_label']))
    assert (pack.input_key, pack.algorithm_keys, pack.meta_keys) == ('a', [], ())
    with pytest.raises(MultiSSLError, match='mmselfsup.PackSelfSupInputs: pseudo_label_keys'):
        TRANSFORMS.build(dict(type='PackSelfSupInputs', pseudo_label_keys=['patch_label']))


@pytest.mark.parametrize('label', ['', ' 3'])
def test_image_list_finds_out_about_labels(label, imagenet):
    (imagenet / 'list.txt').write_text(f'0000.JPEG{label}\n0001.JPEG{label}\n')
    dataset = DATASETS.build(dict(
        type='ImageList', data_root=str(imagenet), ann_file='list.txt',
        data_prefix='train/n00000000', pipeline=[dict(type='LoadImageFromFile')]))
    assert len(dataset) == 2 and dataset[1]['img'].shape == (40, 40, 3)
    assert dataset[1].get('gt_label') == (3 if label else None)


# ---------------------------------------------------------------------- names

def test_names_with_a_scope_work_in_a_config_of_another():
    DefaultScope._instance_dict.clear()
    init_default_scope('mmpretrain')
    backbone = MODELS.build(dict(type='mmselfsup.ResNet', depth=18, out_indices=[4]))
    assert backbone.out_indices == (3, )
    assert MODELS.build(dict(type='ResNet', depth=18, out_indices=[3])).out_indices == [3]
    assert HOOKS.get('mmselfsup.SwAVHook') is HOOKS.get('mmpretrain.SwAVHook')
    assert MODELS.get('mmcls.CrossEntropyLoss') is MODELS.get('mmpretrain.CrossEntropyLoss')
    assert TRANSFORMS.get('mmcls.PackClsInputs') is TRANSFORMS.get('mmpretrain.PackInputs')
    flip = Compose([dict(type='mmselfsup.RandomFlip', prob=1.)]).transforms[0]
    assert type(flip).__module__ == 'mmcv.transforms.processing'


def test_a_user_can_register_a_module_of_their_own():
    from mmselfsup.registry import MODELS as theirs  # although mmselfsup cannot be imported

    @theirs.register_module()
    class MyNeck:
        pass

    assert MODELS.get('mmselfsup.MyNeck') is MyNeck
    assert isinstance(MODELS.build(dict(type='MyNeck')), MyNeck)


@pytest.mark.parametrize('registry, name, reason', [
    (MODELS, 'ODC', 'no descendant in MMPretrain'),
    (HOOKS, 'DeepClusterHook', 'no descendant in MMPretrain'),
    (MODELS, 'RotationPredDataPreprocessor', 'no descendant in MMPretrain'),
    (MODELS, 'MAE', 'MMPretrain rewrote masked image modelling'),
    (MODELS, 'DALL-E', 'MMPretrain rewrote masked image modelling'),
    (TRANSFORMS, 'RandomRotation', 'torchvision/RandomRotation'),
    (OPTIM_WRAPPER_CONSTRUCTORS, 'LearningRateDecayOptimWrapperConstructor', 'paramwise_cfg'),
    (MODELS, 'MoCoo', 'check its spelling'),
])
@pytest.mark.parametrize('prefix', ['', 'mmselfsup.'])
def test_refuses_by_name_with_the_reason(registry, name, reason, prefix):
    with pytest.raises(MultiSSLError, match=f'^mmselfsup.{name}.*{reason}'):
        registry.build(dict(type=prefix + name))


def registered():
    """(registry, name, arguments with defaults) of each class that MMSelfSup registers."""
    for path in FOLDER.parent.parent.glob('[!.]*/**/*.py'):
        for node in ast.parse(path.read_text()).body:
            for call in getattr(node, 'decorator_list', []):
                if 'register_module' in ast.unparse(call):
                    args = next((f.args for f in node.body if getattr(f, 'name', '') == '__init__'),
                                ast.arguments(args=[], defaults=[]))
                    names = [arg.arg for arg in args.args[len(args.args) - len(args.defaults):]]
                    values = [eval(ast.unparse(value)) for value in args.defaults]
                    alias = [ast.literal_eval(k.value) for k in call.keywords if k.arg == 'name']
                    yield call.func.value.id, (alias or [node.name])[0], dict(zip(names, values))


def test_what_is_in_no_table_takes_the_same_arguments():
    registries = import_module('mmselfsup.registry')
    same = []
    for kind, name, defaults in registered():
        if name in mmselfsup.CHANGED['mmselfsup']:
            continue
        try:
            new = inspect.signature(getattr(registries, kind).get(name)).parameters
        except MultiSSLError as e:
            assert 'is not supported' in str(e)
            continue
        assert {key: new[key].default for key in defaults} == defaults, name
        same.append(name)
    assert {'SimCLR', 'SwAVNeck', 'ContrastiveHead', 'SwAVLoss', 'LARS', 'SwAVHook'} < set(same)


def test_an_mmselfsup_that_can_be_imported_answers_for_itself(tmp_path):
    package = tmp_path / 'mmselfsup'
    package.mkdir()
    (package / '__init__.py').write_text('')
    (package / 'registry.py').write_text(textwrap.dedent('''
        from mmengine.registry import MODELS as ROOT, Registry
        MODELS = Registry('model', parent=ROOT, scope='mmselfsup',
                          locations=['mmselfsup.models', 'mmselfsup.is_not_there'])
        '''))
    (package / 'models.py').write_text(textwrap.dedent('''
        from mmselfsup.registry import MODELS
        @MODELS.register_module()
        class MoCo:
            pass
        '''))
    script = ('import multissl_mm.compat; from mmengine.registry import MODELS; '
              'print(type(MODELS.build(dict(type="mmselfsup.MoCo"))).__module__)')
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', script], text=True,
                          capture_output=True, check=True, cwd=tmp_path,
                          env={'PYTHONPATH': f'{tmp_path}:{Path(tiny.__file__).parents[1]}'})
    assert done.stdout.split()[-1] == 'mmselfsup.models'
