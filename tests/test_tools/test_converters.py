"""to_stage1 and export_backbone on the layouts of four code bases."""
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn

from multissl_mm.errors import MultiSSLError
from multissl_mm.registry import MODELS
from multissl_mm.utils.checkpoint import backbone_state_dict, load_state_dict_file
from multissl_mm.utils.convert import guess_layout, infer_resnet, split_parts, to_stage1

ROOT = Path(tiny.__file__).parent.parent
QUEUE, DIM = 64, 16


class Source:
    """Random weights of a backbone and a neck, query and key."""

    def __init__(self, neck: dict) -> None:
        torch.manual_seed(1)
        self.backbone, self.key_backbone = (
            self._random(MODELS.build(tiny.backbone())) for _ in range(2))
        self.neck, self.key_neck = (self._random(MODELS.build(neck)) for _ in range(2))
        self.queue, self.queue2 = torch.randn(DIM, QUEUE), torch.randn(DIM, QUEUE)

    @staticmethod
    def _random(module: nn.Module) -> dict:
        return {k: torch.rand(v.shape) if v.is_floating_point() else v  # a variance is positive
                for k, v in module.state_dict().items()}


def put(prefix: str, part: dict) -> dict:
    return {prefix + k: v for k, v in part.items()}


def moco(s: Source) -> dict:
    def fc(part: dict) -> dict:
        return {k.replace('mlp.', 'fc.'): v for k, v in part.items()}
    return {**put('module.encoder_q.', {**s.backbone, **fc(s.neck)}),
            **put('module.encoder_k.', {**s.key_backbone, **fc(s.key_neck)}),
            'module.queue': s.queue, 'module.queue_ptr': torch.tensor([32])}


def densecl(s: Source) -> dict:
    return {**put('encoder_q.0.', s.backbone), **put('encoder_q.1.', s.neck),
            **put('backbone.', s.backbone),
            **put('encoder_k.0.', s.key_backbone), **put('encoder_k.1.', s.key_neck),
            'queue': s.queue, 'queue_ptr': torch.tensor([32]),
            'queue2': s.queue2, 'queue2_ptr': torch.tensor([8])}


def openmmlab(s: Source) -> dict:
    return {**put('backbone.', s.backbone), **put('neck.', s.neck),
            'encoder_k.steps': torch.tensor(7),
            **put('encoder_k.module.0.', s.key_backbone),
            **put('encoder_k.module.1.', s.key_neck),
            'queue': s.queue, 'queue_ptr': torch.tensor([32])}


def openmmlab_dense(s: Source) -> dict:
    return {**openmmlab(s), 'queue2': s.queue2, 'queue2_ptr': torch.tensor([8])}


TASKS = dict(mocov2=tiny.moco_task(QUEUE), densecl=tiny.densecl_task(QUEUE))
CASES = [
    (moco, 'mocov2', 'moco'),
    (openmmlab, 'mocov2', 'mmpretrain'),
    (openmmlab_dense, 'densecl', 'mmpretrain'),
    (densecl, 'densecl', 'densecl'),
]


def build(first: str) -> nn.Module:
    tasks = [dict(TASKS[name], name=name) for name in {first: 0, **TASKS}]
    model = MODELS.build(dict(type='multissl_mm.IncrementalLearning', backbone=tiny.backbone(),
                              tasks=tasks))
    model.init_weights()
    return model


def convert(state: dict, first: str, layout: str, tmp_path: Path) -> tuple:
    torch.save(dict(state_dict=state), tmp_path / 'source.pth')
    state = load_state_dict_file(str(tmp_path / 'source.pth'))
    assert guess_layout(state) == layout
    model = build(first)
    return model, to_stage1(model, split_parts(state, layout))[1]


def same(module: nn.Module, expected: dict) -> bool:
    found = module.state_dict()
    return found.keys() == expected.keys() and all(
        torch.equal(found[k], v) for k, v in expected.items())


@pytest.mark.parametrize('write, first, layout', CASES)
def test_every_layout(write, first, layout, tmp_path, scope):
    s = Source(TASKS[first]['neck'])
    model, said = convert(write(s), first, layout, tmp_path)
    task = model.tasks[first]
    assert same(model.backbone, s.backbone) and same(task.neck, s.neck)
    assert same(model.momentum_backbone.module, s.key_backbone)
    assert same(task.momentum_neck.module, s.key_neck)
    assert torch.equal(task.queues['global'].keys, s.queue.t())
    assert int(task.queues['global'].ptr) == 32 and task.queues['global'].ptr.shape == ()
    if first == 'densecl':
        assert torch.equal(task.queues['dense'].keys, s.queue2.t())
    assert all('from the file' in line for line in said) and int(model.stage) == 0
    # the whole state dict loads into a model of the same config
    build(first).load_state_dict(model.state_dict(), strict=True)


def test_what_is_not_in_the_file(tmp_path, scope):
    s = Source(TASKS['mocov2']['neck'])
    state = {k: v for k, v in moco(s).items() if 'encoder_q' in k and 'batches' not in k}
    model, said = convert(state, 'mocov2', 'moco', tmp_path)
    momentum = model.momentum_backbone.module.state_dict()
    assert all(torch.equal(v, momentum[k]) for k, v in model.backbone.state_dict().items())
    assert torch.equal(momentum['conv1.weight'], s.backbone['conv1.weight'])
    assert 'copy of the query' in said[2] and 'random' in said[4]


def drop(state: dict, key: str) -> Tensor:
    return state.pop(key)


@pytest.mark.parametrize('spoil, said', [
    (lambda s: s.update({'head.extra': torch.zeros(1)}), 'head.extra'),
    (lambda s: s.update({'backbone.layer9.weight': torch.zeros(1)}), 'layer9.weight'),
    (lambda s: drop(s, 'backbone.bn1.weight'), 'missing: bn1.weight'),
    (lambda s: drop(s, 'neck.mlp.0.weight'), 'missing: mlp.0.weight'),
    (lambda s: s.update({'neck.mlp.2.weight': torch.zeros(8, 32)}), 'another shape: mlp.2.weight'),
    (lambda s: s.update({'queue': torch.zeros(DIM, 128)}), 'queue_len'),
    (lambda s: s.update({'queue2': torch.zeros(DIM, QUEUE)}), "queues .'dense'"),
    (lambda s: [drop(s, k) for k in list(s) if k.startswith('neck.')], 'the file has no neck'),
])
def test_what_does_not_fit_is_refused(spoil, said, tmp_path, scope):
    state = openmmlab(Source(TASKS['mocov2']['neck']))
    spoil(state)
    with pytest.raises(MultiSSLError, match=said):
        convert(state, 'mocov2', 'mmpretrain', tmp_path)


def run_tool(tool: str, *args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, f'tools/model_converters/{tool}.py', *map(str, args)],
                          cwd=ROOT, capture_output=True, text=True)


def test_a_run_starts_at_stage_2_from_a_converted_file(tmp_path, images, scope):
    stage1 = tmp_path / 'stage1.pth'
    cfg = tiny.tiny_config('il_mocov2_densecl_from_stage1', images, tmp_path / 'work',
                           train_cfg__stages=[0, 1], load_from=str(stage1))
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=moco(Source(TASKS['mocov2']['neck']))), tmp_path / 'moco.pth')
    done = run_tool('to_stage1', tmp_path / 'config.py', tmp_path / 'moco.pth', stage1)
    assert done.returncode == 0, done.stderr
    assert 'layout moco' in done.stdout and 'tasks.mocov2.queues.global: from the' in done.stdout

    Runner.from_cfg(cfg).train()
    trained = load_state_dict_file(str(tmp_path / 'work' / 'epoch_1.pth'))
    assert int(trained['stage']) == 1
    queue = 'tasks.mocov2.queues.global.keys'  # kept as it was when the task was finished
    assert torch.equal(trained[queue], load_state_dict_file(str(stage1))[queue])

    done = run_tool('to_stage1', tmp_path / 'config.py', tmp_path / 'none.pth', tmp_path / 'x')
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert f'error: {tmp_path}/none.pth: no such checkpoint' in done.stderr.splitlines()


@pytest.mark.parametrize('shape', [
    dict(depth=18, base_channels=8),
    dict(depth=50, base_channels=4, stem_channels=8),
])
def test_infer_resnet(shape, scope):
    for package in ('mmpretrain', 'mmdet'):
        init_default_scope(package)
        model = MODELS.build(dict(type=f'{package}.ResNet', **shape))
        found = infer_resnet(model.state_dict())
        assert found._asdict().items() >= shape.items()
        deep = MODELS.build(dict(type=f'{package}.ResNet', depth=18, deep_stem=True))
        assert infer_resnet(deep.state_dict()) is None


def test_export_loads_into_mmdet_and_mmpretrain(tmp_path, scope):
    model = build('mocov2')
    source, out = tmp_path / 'epoch_4.pth', tmp_path / 'backbone.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), source)

    done = run_tool('export_backbone', source, out)
    assert done.returncode == 0, done.stderr
    assert 'ResNet-18 of mmdet and of mmpretrain' in done.stdout
    weights = load_state_dict_file(str(out))
    assert all(k.startswith('backbone.') for k in weights)
    for package in ('mmdet', 'mmpretrain'):
        init_default_scope(package)
        resnet = MODELS.build(dict(type=f'{package}.ResNet', depth=18, base_channels=8,
                                   stem_channels=64))
        resnet.load_state_dict(backbone_state_dict(weights), strict=True)
        assert same(resnet, model.backbone.state_dict())

    # nothing is written for a misspelt prefix or a key too many
    done = run_tool('export_backbone', source, tmp_path / 'no.pth', '--prefix', 'bakcbone.')
    assert done.returncode == 1 and "'bakcbone.'" in done.stderr and 'tasks.' in done.stderr
    torch.save(dict(state_dict={**model.state_dict(), 'backbone.fc.weight': torch.zeros(1)}),
               source)
    done = run_tool('export_backbone', source, tmp_path / 'no.pth')
    assert done.returncode == 1 and 'unexpected: fc.weight' in done.stderr
    assert not (tmp_path / 'no.pth').exists()


@pytest.mark.parametrize('prefix', ['encoder_q.', ''])
def test_export_of_what_others_have_trained(tmp_path, scope, prefix):
    model = build('mocov2')
    state = {**model.backbone.state_dict(), 'fc.0.weight': torch.zeros(2)}
    torch.save(dict(state_dict=put(f'module.{prefix}', state)), tmp_path / 'theirs.pth')
    done = run_tool('export_backbone', tmp_path / 'theirs.pth', tmp_path / 'out.pth', '--prefix',
                    prefix, '--drop', 'fc.')
    assert done.returncode == 0, done.stderr
    assert 'left out: fc.0.weight' in done.stdout
    weights = backbone_state_dict(load_state_dict_file(str(tmp_path / 'out.pth')))
    assert same(model.backbone, weights)


def test_an_encoder_of_audioset_becomes_one_for_each_ear(tmp_path, scope):
    config = ROOT / 'configs/sound/supervised.py'
    backbone = MODELS.build(Config.fromfile(config).model.backbone)
    state = {**backbone.ear.state_dict(), 'fc.weight': torch.zeros(2)}
    torch.save(dict(model=state), tmp_path / 'theirs.pth')
    done = run_tool('export_backbone', tmp_path / 'theirs.pth', tmp_path / 'out.pth', '--prefix',
                    '', '--drop', 'fc.', '--add', 'ear.', '--config', config)
    assert done.returncode == 0, done.stderr
    weights = backbone_state_dict(load_state_dict_file(str(tmp_path / 'out.pth')))
    assert same(backbone, weights)


def test_two_backbones_in_one_checkpoint(tmp_path, images, scope):
    paths, states = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(MODELS.build(tiny.backbone()).state_dict())
        paths.append(tmp_path / f'{seed}.pth')
        torch.save(dict(state_dict=put('backbone.', states[-1])), paths[-1])
    cfg = Config(dict(
        custom_imports=dict(imports=['multissl_mm']), default_scope='mmpretrain',
        model=dict(backbone=dict(type='multissl_mm.ConcatBackbone',
                                 encoders=[tiny.backbone()] * 2))))
    cfg.dump(tmp_path / 'config.py')
    done = run_tool('concat_backbones', tmp_path / 'config.py', tmp_path / 'all.pth', *paths)
    assert done.returncode == 0, done.stderr
    weights = backbone_state_dict(load_state_dict_file(str(tmp_path / 'all.pth')))
    for k, state in enumerate(states):
        assert all(torch.equal(weights[f'frozen.encoders.{k}.{key}'], v)
                   for key, v in state.items())
    init_default_scope('mmdet')
    theirs = dict(tiny.backbone(), type='mmdet.ResNet', stem_channels=64)
    MODELS.build(dict(type='multissl_mm.ConcatBackbone', encoders=[theirs] * 2)).load_state_dict(
        weights, strict=True)

    done = run_tool('concat_backbones', tmp_path / 'config.py', tmp_path / 'no.pth', paths[0])
    assert done.returncode == 1 and 'has 2 encoders, but 1 checkpoints' in done.stderr
    torch.save(dict(state_dict=put('backbone.', {**states[0], 'x': torch.zeros(1)})), paths[0])
    done = run_tool('concat_backbones', tmp_path / 'config.py', tmp_path / 'no.pth', *paths)
    assert done.returncode == 1 and 'unexpected: x' in done.stderr
    assert not (tmp_path / 'no.pth').exists()
