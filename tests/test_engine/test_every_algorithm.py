"""Every algorithm trains, is killed, resumes with the same bits, exports and loads in mmdet."""
import pytest
import tiny
import torch
import torch._dynamo  # takes long, and is there in all forks
from mmengine.registry import DefaultScope, init_default_scope
from runs import assert_same, last_checkpoint, train

from multissl_mm.converters import verify_backbone
from multissl_mm.registry import MODELS
from multissl_mm.utils.checkpoint import backbone_state_dict, load_state_dict_file

MTL, PROGRESSIVE, EXPERTS = ['iter:4'], ['iter:5', 'iter:10'], ['record', 'iter:4']
STAGED, TAUGHT = ['iter:5', 'record', 'iter:11'], ['iter:5', 'iter:11']
BF16 = dict(optim_wrapper__type='multissl_mm.AmpOptimWrapper')
#: name of the config: where it is killed, what is changed
RUNS = [
    ('mtl-uncertainty_mocov2_densecl', MTL, {}),
    ('mtl-pcgrad_mocov2_densecl', MTL, {}),
    ('mtl_byol_mocov2', MTL, {}),
    ('il-feature_mocov2_densecl', STAGED, dict(
        model__distill_weights=dict(type='multissl_mm.FallingWeights'))),
    ('il-cassle_mocov2_densecl', STAGED, {}),
    ('il_densecl_mocov2', TAUGHT, {}),
    ('il_simclr_densecl', TAUGHT, {}),
    ('il-infonce_mocov2_densecl', STAGED, dict(  # measured at iterations 7, 9 and 11
        model__distill=dict(type='multissl_mm.ResponseDistillation', view='other'),
        model__distill_weights=dict(type='multissl_mm.RatioWeights', interval=2))),
    ('il_mocov2_densecl', ['iter:7', 'iter:13'], dict(
        default_hooks__stage=dict(type='multissl_mm.ILStageHook', warmup_epochs=1,
                                  batch_sizes=[6, 8]))),
    ('rehearsal_mocov2_densecl', TAUGHT, {}),
    ('progressive_mocov2_densecl', PROGRESSIVE, {}),
    ('euclidean-dist_mocov2_densecl', EXPERTS, {}),
    ('contrastive-dist_mocov2_densecl', EXPERTS, {}),
]
OPTIONS = [
    (f'bf16, {name}', name, kills[-1:], BF16) for name, kills, _ in RUNS[1:2] + RUNS[4:5]
] + [
    ('accumulation', 'mtl_mocov2_densecl', MTL, dict(optim_wrapper__accumulative_counts=3)),
    ('channels last', 'progressive_mocov2_densecl', PROGRESSIVE[1:],
     dict(model__channels_last=True)),
    ('compiled', 'mtl_mocov2_densecl', MTL, dict(model__compile=dict(backend='eager'))),
]  # all of them on every algorithm: test_all_options_at_once
CASES = [(name, name, kills, options) for name, kills, options in RUNS] + OPTIONS


@pytest.mark.parametrize('case', CASES, ids=lambda case: case[0])
def test_killed_and_resumed_then_exported(images, tmp_path, case):
    _, name, kills, options = case

    def config(folder):
        return tiny.tiny_config(name, images, tmp_path / folder, **options)

    train(config('whole'))
    for kill_at in kills:
        train(config('broken'), kill_at)
    train(config('broken'))
    whole, broken = last_checkpoint(tmp_path / 'whole'), last_checkpoint(tmp_path / 'broken')
    assert whole['meta']['epoch'] == tiny.epochs(config('x'))
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(whole[key], broken[key], key)
    assert all(torch.isfinite(v).all() for v in whole['state_dict'].values())

    # What is exported fills mmdet's backbone, none missing and none unexpected.
    path = (tmp_path / 'whole' / 'last_checkpoint').read_text()
    state = backbone_state_dict(load_state_dict_file(path))
    cfg = dict(config('x').model.backbone)
    resnet = dict(tiny.backbone(), type='mmdet.ResNet', stem_channels=64)
    cfg = resnet if cfg['type'].endswith('ResNet') else dict(cfg, columns=[resnet] * 2)
    init_default_scope('mmdet')
    verify_backbone(state, cfg)
    backbone = MODELS.build(cfg)
    backbone.load_state_dict(state)
    outs = backbone(torch.randn(2, 3, 64, 64))
    assert [o.shape[1] for o in outs] == [8, 16, 32, 64]
    DefaultScope._instance_dict.clear()


FAST = ('il-cassle_mocov2_densecl', 'progressive_mocov2_densecl')


@pytest.mark.parametrize('name, options', [
    pytest.param(name, options, marks=[] if name in FAST else [pytest.mark.slow])
    for name, _, options in RUNS
])
def test_all_options_at_once(images, tmp_path, name, options):
    cfg = tiny.tiny_config(
        name, images, tmp_path / 'run', model__channels_last=True,
        model__compile=dict(backend='aot_eager'), optim_wrapper__accumulative_counts=2,
        **options, **BF16)
    plain = tiny.tiny_config(name, images, tmp_path / 'plain', **options)
    train(cfg)
    train(plain)
    found, expected = (last_checkpoint(tmp_path / folder)['state_dict']
                       for folder in ('run', 'plain'))
    # The options change neither keys nor what can be loaded; they do change the numbers.
    assert found.keys() == expected.keys()
    assert all(torch.isfinite(v).all() for v in found.values())
    assert any(not torch.equal(found[k], expected[k]) for k in found if k.startswith('backbone.'))
