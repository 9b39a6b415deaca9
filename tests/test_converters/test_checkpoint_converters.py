"""Stage 1 and backbones, on the layouts of four code bases."""
from pathlib import Path
from typing import Any

import pytest
import sounds
import tiny
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import Runner
from torch import Tensor, nn

from multissl_mm.converters import (
    average_backbones,
    concat_backbones,
    convert_to_stage1,
    export_backbone,
    fill_first_task,
    infer_resnet,
)
from multissl_mm.errors import MultiSSLError
from multissl_mm.registry import MODELS
from multissl_mm.utils.checkpoint import backbone_state_dict, load_state_dict_file

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
    model = build(first)
    stage1 = fill_first_task(model, load_state_dict_file(str(tmp_path / 'source.pth')))
    assert (stage1.task, stage1.layout) == (first, layout)
    return model, stage1.parts


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


def test_a_run_starts_at_stage_2_from_a_converted_file(tmp_path, images, scope):
    stage1 = tmp_path / 'stage1.pth'
    cfg = tiny.tiny_config('il_mocov2_densecl_from_stage1', images, tmp_path / 'work',
                           train_cfg__stages=[0, 1], load_from=str(stage1))
    cfg.dump(tmp_path / 'config.py')
    torch.save(dict(state_dict=moco(Source(TASKS['mocov2']['neck']))), tmp_path / 'moco.pth')
    config = str(tmp_path / 'config.py')
    done = convert_to_stage1(config, str(tmp_path / 'moco.pth'), str(stage1))
    assert done.layout == 'moco' and 'tasks.mocov2.queues.global: from the file' in done.parts

    Runner.from_cfg(cfg).train()
    trained = load_state_dict_file(str(tmp_path / 'work' / 'epoch_1.pth'))
    assert int(trained['stage']) == 1
    queue = 'tasks.mocov2.queues.global.keys'  # kept as it was when the task was finished
    assert torch.equal(trained[queue], load_state_dict_file(str(stage1))[queue])

    with pytest.raises(MultiSSLError, match='none.pth: no such checkpoint'):
        convert_to_stage1(config, str(tmp_path / 'none.pth'), str(tmp_path / 'x'))


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

    done = export_backbone(str(source), str(out))
    assert done.fits == 'the ResNet-18 of mmdet and of mmpretrain'
    weights = load_state_dict_file(str(out))
    assert all(k.startswith('backbone.') for k in weights)
    for package in ('mmdet', 'mmpretrain'):
        init_default_scope(package)
        resnet = MODELS.build(dict(type=f'{package}.ResNet', depth=18, base_channels=8,
                                   stem_channels=64))
        resnet.load_state_dict(backbone_state_dict(weights), strict=True)
        assert same(resnet, model.backbone.state_dict())

    # nothing is written for a misspelt prefix or a key too many
    no = str(tmp_path / 'no.pth')
    with pytest.raises(MultiSSLError, match=r"'bakcbone\.'.*tasks\."):
        export_backbone(str(source), no, prefix='bakcbone.')
    torch.save(dict(state_dict={**model.state_dict(), 'backbone.fc.weight': torch.zeros(1)}),
               source)
    with pytest.raises(MultiSSLError, match='unexpected: fc.weight'):
        export_backbone(str(source), no)
    assert not (tmp_path / 'no.pth').exists()


@pytest.mark.parametrize('prefix', ['encoder_q.', ''])
def test_export_of_what_others_have_trained(tmp_path, scope, prefix):
    model = build('mocov2')
    state = {**model.backbone.state_dict(), 'fc.0.weight': torch.zeros(2)}
    torch.save(dict(state_dict=put(f'module.{prefix}', state)), tmp_path / 'theirs.pth')
    done = export_backbone(str(tmp_path / 'theirs.pth'), str(tmp_path / 'out.pth'), prefix,
                           drop=['fc.'])
    assert done.dropped == ['fc.0.weight']
    weights = backbone_state_dict(load_state_dict_file(str(tmp_path / 'out.pth')))
    assert same(model.backbone, weights)


def test_an_encoder_of_audioset_becomes_one_for_each_ear(tmp_path, scope):
    config = str(tiny.CONFIGS / 'sound/supervised.py')
    backbone = MODELS.build(Config.fromfile(config).model.backbone)
    state = {**backbone.ear.state_dict(), 'fc.weight': torch.zeros(2)}
    torch.save(dict(model=state), tmp_path / 'theirs.pth')
    export_backbone(str(tmp_path / 'theirs.pth'), str(tmp_path / 'out.pth'), '', drop=['fc.'],
                    add='ear.', config=config)
    weights = backbone_state_dict(load_state_dict_file(str(tmp_path / 'out.pth')))
    assert same(backbone, weights)


def test_two_backbones_in_one_checkpoint(tmp_path, images, scope):
    paths, states = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(MODELS.build(tiny.backbone()).state_dict())
        paths.append(str(tmp_path / f'{seed}.pth'))
        # One of a whole model, one of the backbone alone.
        prefix = 'backbone.' if len(states) == 1 else ''
        torch.save(dict(state_dict=put(prefix, states[-1])), paths[-1])
    cfg = Config(dict(
        custom_imports=dict(imports=['multissl_mm']), default_scope='mmpretrain',
        model=dict(backbone=dict(type='multissl_mm.ConcatBackbone',
                                 encoders=[tiny.backbone()] * 2))))
    cfg.dump(tmp_path / 'config.py')
    config, no = str(tmp_path / 'config.py'), str(tmp_path / 'no.pth')
    concat_backbones(config, str(tmp_path / 'all.pth'), paths)
    weights = backbone_state_dict(load_state_dict_file(str(tmp_path / 'all.pth')))
    for k, state in enumerate(states):
        assert all(torch.equal(weights[f'frozen.encoders.{k}.{key}'], v)
                   for key, v in state.items())
    init_default_scope('mmdet')
    theirs = dict(tiny.backbone(), type='mmdet.ResNet', stem_channels=64)
    MODELS.build(dict(type='multissl_mm.ConcatBackbone', encoders=[theirs] * 2)).load_state_dict(
        weights, strict=True)

    with pytest.raises(MultiSSLError, match='has 2 encoders, but 1 checkpoints'):
        concat_backbones(config, no, paths[:1])
    torch.save(dict(state_dict=put('backbone.', {**states[0], 'x': torch.zeros(1)})), paths[0])
    with pytest.raises(MultiSSLError, match='1.pth: does not fit .*encoders.0.*unexpected: x'):
        concat_backbones(config, no, paths)
    assert not (tmp_path / 'no.pth').exists()


def test_averaged_backbones(images, tmp_path):
    """Weights are the mean; batch norm is measured, not averaged."""
    cfg = tiny.tiny_config('mocov2', images, tmp_path / 'work')
    cfg.dump(tmp_path / 'config.py')
    config, out, no = (str(tmp_path / name) for name in ('config.py', 'out.pth', 'no.pth'))
    states, paths = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(MODELS.build(tiny.backbone()).state_dict())
        paths.append(str(tmp_path / f'{seed}.pth'))
        torch.save(dict(state_dict=put('backbone.', states[-1])), paths[-1])
    average_backbones(config, out, paths, batches=2)
    found = backbone_state_dict(load_state_dict_file(out))
    assert set(found) == set(states[0])
    for key, value in found.items():
        measured = key.endswith(('running_mean', 'running_var'))
        mean = (states[0][key] + states[1][key]) / 2
        assert key.endswith('num_batches_tracked') or measured != torch.allclose(value, mean)
        assert measured or not key.startswith('conv1') or not torch.equal(value, states[0][key])

    # Of one alone: what two batches of training have.
    average_backbones(config, out, paths[:1], batches=2)
    found = backbone_state_dict(load_state_dict_file(out))
    backbone = MODELS.build(tiny.backbone())
    backbone.load_state_dict(states[0])
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        loader = iter(Runner.build_dataloader(cfg.train_dataloader, seed=0))
        preprocess = MODELS.build(cfg.data_preprocessor)
    means = [backbone.conv1(preprocess(next(loader))['inputs'][0]).mean((0, 2, 3))
             for _ in range(2)]
    torch.testing.assert_close(found['bn1.running_mean'], sum(means) / 2)

    with pytest.raises(MultiSSLError, match='2.pth: does not fit model.backbone of .*config.py'):
        torch.save(dict(state_dict=put('backbone.', {'x': torch.zeros(1)})), paths[1])
        average_backbones(config, no, paths)
    assert not (tmp_path / 'no.pth').exists()


def write_backbones(cfg: Config, tmp_path: Path) -> tuple:
    """Random weights of two seeds, all statistics .3 and 2, as after a training of either."""
    states, paths = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append({k: torch.full_like(v, .3) if k.endswith('running_mean') else
                       torch.full_like(v, 2.) if k.endswith('running_var') else v
                       for k, v in MODELS.build(cfg.model.backbone).state_dict().items()})
        paths.append(str(tmp_path / f'{seed}.pth'))
        torch.save(dict(state_dict=put('backbone.', states[-1])), paths[-1])
    return states, paths


def kept(state: dict) -> set:
    """Layers with the statistics of :func:`write_backbones`."""
    return {k.rpartition('.')[0] for k, v in state.items()
            if k.endswith('running_var') and (v == 2).all()
            and (state[k.replace('var', 'mean')] == .3).all()}


@pytest.mark.parametrize('name, beginnings', [
    ('mocov2', ('bn1', 'layer1.')), ('progressive_mocov2_densecl', ('columns.0.', ))])
def test_averaged_backbones_keep_the_statistics_of_frozen_layers(name, beginnings, images,
                                                                 tmp_path):
    cfg = tiny.tiny_config(name, images, tmp_path / 'work')
    if name == 'mocov2':
        cfg.model.backbone.frozen_stages = 1
    cfg.dump(tmp_path / 'config.py')
    config, out, no = (str(tmp_path / file) for file in ('config.py', 'out.pth', 'no.pth'))
    states, paths = write_backbones(cfg, tmp_path)
    average_backbones(config, out, paths, batches=2)
    found = backbone_state_dict(load_state_dict_file(out))
    assert kept(found) == {k for k in kept(states[0]) if k.startswith(beginnings)}
    measured = [v for k, v in found.items()
                if k.endswith('running_var') and not k.startswith(beginnings)]
    assert measured and not any((v == 1).all() for v in measured)

    key = 'bn1.running_mean' if name == 'mocov2' else 'columns.0.bn1.running_mean'
    states[1][key] += 1
    torch.save(dict(state_dict=put('backbone.', states[1])), paths[1])
    with pytest.raises(MultiSSLError, match=f'2.pth: {key} is another than in .*1.pth'):
        average_backbones(config, no, paths)
    assert not (tmp_path / 'no.pth').exists()


def test_averaged_backbones_of_a_classifier(images, tmp_path):
    """A model that knows of what kind its preprocessor is, and sees one picture, not views."""
    cfg = Config.fromfile(str(tiny.CONFIGS / 'demo/supervised.py'))
    names = sorted(path.name for path in (images / 'train' / 'n00000000').iterdir())[:8]
    (tmp_path / 'train.txt').write_text(''.join(f'n00000000/{name} 0\n' for name in names))
    cfg.model.backbone = tiny.backbone()
    cfg.train_dataloader.batch_size = 8
    cfg.train_dataloader.dataset.dataset.update(
        data_root=str(images), ann_file=str(tmp_path / 'train.txt'))
    cfg.dump(tmp_path / 'config.py')
    states, paths = write_backbones(cfg, tmp_path)
    average_backbones(str(tmp_path / 'config.py'), str(tmp_path / 'out.pth'), paths[:1], batches=1)
    found = backbone_state_dict(load_state_dict_file(str(tmp_path / 'out.pth')))
    backbone = MODELS.build(tiny.backbone())
    backbone.load_state_dict(states[0])
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        data = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
        preprocess = MODELS.build(dict(cfg.data_preprocessor, type='ClsDataPreprocessor'))
    pictures = preprocess(data, True)['inputs']
    assert pictures.shape == (8, 3, 64, 64)
    torch.testing.assert_close(found['bn1.running_mean'],
                               backbone.conv1(pictures).mean((0, 2, 3)))


def test_averaged_backbones_of_sound(scenes, tmp_path):
    """Batch norm is measured on the clips of segments."""
    cfg = sounds.sound_config('b', scenes, tmp_path / 'work')
    cfg.dump(tmp_path / 'config.py')
    config, out = str(tmp_path / 'config.py'), tmp_path / 'out.pth'
    states, paths = [], []
    for seed in (1, 2):
        torch.manual_seed(seed)
        states.append(MODELS.build(cfg.model.backbone).state_dict())
        paths.append(str(tmp_path / f'{seed}.pth'))
        torch.save(dict(state_dict=put('backbone.', states[-1])), paths[-1])
    average_backbones(config, out, paths, batches=2)
    found = backbone_state_dict(load_state_dict_file(out))
    for key, value in found.items():
        if key.endswith('running_mean'):
            assert value.abs().max() > 0
        elif value.is_floating_point() and not key.endswith('running_var'):
            torch.testing.assert_close(value, (states[0][key] + states[1][key]) / 2)


# ---------------------------------------------------------------------- E4: other tasks, no tasks

def write_config(path: Path, **content: Any) -> str:
    Config(dict(custom_imports=dict(imports=['multissl_mm']), default_scope='mmpretrain',
                **content)).dump(path)
    return str(path)


@pytest.mark.parametrize('first', ['simclr', 'byol'])
def test_an_algorithm_of_mmpretrain_becomes_stage_1(first, tmp_path, scope):
    """E4: the first task is an AlgorithmTask; BYOL has a target network, too."""
    task = dict(getattr(tiny, f'{first}_task')(), name=first)
    torch.manual_seed(3)
    theirs = MODELS.build(dict(task['algorithm'], backbone=tiny.backbone()))
    for value in theirs.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape))  # as if it had been trained
    torch.save(dict(state_dict=theirs.state_dict()), tmp_path / 'theirs.pth')
    config = write_config(tmp_path / 'config.py', model=dict(
        type='multissl_mm.IncrementalLearning', backbone=tiny.backbone(),
        tasks=[task, dict(TASKS['mocov2'], name='mocov2')]))
    done = convert_to_stage1(config, str(tmp_path / 'theirs.pth'), str(tmp_path / 'stage1.pth'))
    assert done.task == first and f'tasks.{first}.algorithm: from the file' in done.parts
    state = load_state_dict_file(str(tmp_path / 'stage1.pth'))
    assert torch.equal(state['backbone.conv1.weight'], theirs.backbone.conv1.weight)
    neck = {k: v for k, v in state.items() if k.startswith(f'tasks.{first}.algorithm.neck.')}
    assert len(neck) == len(theirs.neck.state_dict())
    assert all(torch.equal(v, theirs.state_dict()[k.partition('algorithm.')[2]])
               for k, v in neck.items())
    if first == 'byol':
        assert torch.equal(state['momentum_backbone.module.conv1.weight'],
                           theirs.target_net.module[0].conv1.weight)
        assert torch.equal(state['tasks.byol.algorithm.target_net.module.1.fc0.weight'],
                           theirs.target_net.module[1].fc0.weight)
        assert 'momentum_backbone: from the file' in done.parts


@pytest.mark.parametrize('model, message', [
    (dict(type='multissl_mm.IncrementalLearning', backbone=tiny.backbone(), tasks=[
        dict(tiny.simclr_task(), name='s'), dict(tiny.moco_task(), name='m')]),
     'tasks.s.algorithm: keys do not fit'),
    (dict(type='multissl_mm.ExpertDistillation', backbone=tiny.backbone(),
          responses=dict(source='teacher'), experts=[dict(name='m', backbone=tiny.backbone())]),
     'a ExpertDistillation without pretext tasks'),
    (dict(type='mmpretrain.SimCLR', backbone=tiny.backbone(),
          neck=tiny.simclr_task()['algorithm']['neck'],
          head=tiny.simclr_task()['algorithm']['head']), 'a SimCLR without pretext tasks'),
    (None, 'a NoneType without pretext tasks'),
])
def test_what_has_no_such_first_stage_is_refused(model, message, tmp_path, scope):
    """E4: a sentence, not an AttributeError."""
    torch.save(moco(Source(TASKS['mocov2']['neck'])) if model is None else
               openmmlab(Source(TASKS['mocov2']['neck'])), tmp_path / 'moco.pth')
    config = write_config(tmp_path / 'config.py', **(dict(model=model) if model else {}))
    with pytest.raises(MultiSSLError, match=message):
        convert_to_stage1(config, str(tmp_path / 'moco.pth'), str(tmp_path / 'x.pth'))
    assert not (tmp_path / 'x.pth').exists()


def test_a_task_that_no_other_code_base_has(tmp_path, scope):
    """E4: spatial alignment has neither neck nor queue."""
    state = openmmlab(Source(TASKS['mocov2']['neck']))
    torch.save(state, tmp_path / 'moco.pth')
    with pytest.raises(MultiSSLError, match="the first task 'a' is a SpatialAlignmentTask, which"):
        convert_to_stage1(str(tiny.CONFIGS / 'sound/demo/a.py'), str(tmp_path / 'moco.pth'),
                          str(tmp_path / 'x.pth'))


def test_a_config_without_a_backbone(tmp_path, scope):
    """E4, its twins: export and concatenation say what is missing."""
    torch.save(put('backbone.', MODELS.build(tiny.backbone()).state_dict()), tmp_path / 'b.pth')
    source, out = str(tmp_path / 'b.pth'), str(tmp_path / 'out.pth')
    for content in ({}, dict(model=dict(type='mmpretrain.SimCLR'))):
        config = write_config(tmp_path / 'config.py', **content)
        with pytest.raises(MultiSSLError, match='has no model.backbone'):
            export_backbone(source, out, config=config)
        with pytest.raises(MultiSSLError, match='has no model.backbone'):
            concat_backbones(config, out, [source])
    with pytest.raises(MultiSSLError, match='is a ResNet, not a multissl_mm.ConcatBackbone'):
        concat_backbones(write_config(tmp_path / 'config.py', model=dict(
            backbone=tiny.backbone())), out, [source])
