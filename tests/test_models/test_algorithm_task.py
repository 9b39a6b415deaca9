"""MMPretrain's algorithms as tasks are MMPretrain's algorithms."""
import copy

import pytest
import tiny
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS

from multissl_mm.errors import MultiSSLError
from multissl_mm.models.contrast import unit
from multissl_mm.models.pretext import TaskBatch

BACKBONE = dict(tiny.backbone(), base_channels=32)
BN = dict(type='BN1d')


def neck(**kwargs):
    return dict(type='mmpretrain.NonLinearNeck', in_channels=256, hid_channels=32, out_channels=16,
                norm_cfg=BN, **kwargs)


def predictor(loss, **kwargs):
    return dict(type='mmpretrain.LatentPredictHead', loss=dict(type=f'mmpretrain.{loss}'),
                predictor=dict(type='mmpretrain.NonLinearNeck', in_channels=16, hid_channels=16,
                               out_channels=16, norm_cfg=BN, with_avg_pool=False, **kwargs))


# name: (config, sizes of the views, whether views share a backbone pass)
ALGORITHMS = {
    'SimCLR': (dict(neck=neck(), head=dict(
        type='mmpretrain.ContrastiveHead', temperature=.1,
        loss=dict(type='mmpretrain.CrossEntropyLoss'))), (32, 32), True),
    'BYOL': (dict(neck=neck(), base_momentum=.1,
                  head=predictor('CosineSimilarityLoss')), (32, 32), False),
    'SimSiam': (dict(neck=neck(with_last_bn_affine=False),
                     head=predictor('CosineSimilarityLoss', with_last_bn=False)), (32, 32), False),
    'BarlowTwins': (dict(neck=neck(), head=dict(
        type='mmpretrain.LatentCrossCorrelationHead', in_channels=16,
        loss=dict(type='mmpretrain.CrossCorrelationLoss'))), (32, 32), False),
    'SwAV': (dict(
        neck=dict(type='mmpretrain.SwAVNeck', in_channels=256, hid_channels=32, out_channels=16,
                  norm_cfg=BN),
        head=dict(type='mmpretrain.SwAVHead', loss=dict(
            type='mmpretrain.SwAVLoss', feat_dim=16, num_prototypes=8, num_crops=[2, 3]))),
        (64, 64, 32, 32, 32), True),
}


def views_of(sizes, n=8):
    return [torch.randn(n, 3, s, s) for s in sizes]


@pytest.fixture
def run_of_100_steps():
    hub = MessageHub.get_current_instance()
    hub.update_info('max_iters', 100)
    yield hub
    for key in ('max_iters', 'iter'):
        hub.runtime_info.pop(key, None)


def build(name):
    cfg, sizes, shared = ALGORITHMS[name]
    cfg = dict(copy.deepcopy(cfg), type=f'mmpretrain.{name}')
    names = [f'v{i}' for i in range(len(sizes))]
    momentum = (1 - cfg['base_momentum'], 1.) if 'base_momentum' in cfg else .9
    return dict(cfg, backbone=BACKBONE), dict(
        type='multissl_mm.MultiTask', backbone=BACKBONE, view_names=names, momentum=momentum,
        separate_views=not shared,
        tasks=[dict(name='task', type='multissl_mm.AlgorithmTask', views=names, algorithm=cfg)])


@pytest.mark.parametrize('name', list(ALGORITHMS))
def test_parity_with_mmpretrain(scope, run_of_100_steps, name):
    theirs_cfg, ours_cfg = build(name)
    torch.manual_seed(0)
    theirs = MODELS.build(theirs_cfg).train()
    theirs.init_weights()
    ours = MODELS.build(ours_cfg).train()
    mine = ours.tasks['task'].algorithm
    ours.backbone.load_state_dict(theirs.backbone.state_dict())
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith('backbone.')}
    missing = mine.load_state_dict(state, strict=False).missing_keys
    assert not [k for k in missing if 'backbone' not in k]
    ours.start_task('task')
    # In double precision, since the order in which rows are added up is not always the same.
    theirs.double(), ours.double()

    optimizers = [torch.optim.SGD([p for p in m.parameters() if p.requires_grad], .03, .9)
                  for m in (theirs, ours)]
    for step in range(5):
        run_of_100_steps.update_info('iter', step)
        views = [v.double() for v in views_of(ALGORITHMS[name][1])]
        results = [theirs(views, None, mode='loss'), ours(views, None, mode='loss').losses]
        for losses, optimizer in zip(results, optimizers):
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
        for key, value in results[0].items():
            assert abs(results[1][f'task.{key}'].item() - value.item()) < 1e-8 * max(1, abs(value))
    close = dict(atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(ours.backbone.state_dict(), theirs.backbone.state_dict(), **close)
    own = {k: v for k, v in mine.state_dict().items() if 'steps' not in k}
    torch.testing.assert_close(own, {k: theirs.state_dict()[k] for k in own}, **close)
    if name == 'BYOL':  # the target network, whose backbone is the shared momentum backbone
        for p, q in zip(ours.momentum_backbone.module.parameters(),
                        theirs.target_net.module[0].parameters()):
            torch.testing.assert_close(p, q, **close)


@pytest.mark.parametrize('name', list(ALGORITHMS))
@pytest.mark.parametrize('new', ['algorithm', 'mocov2'])
def test_any_stage_of_incremental_learning(scope, run_of_100_steps, name, new):
    _, cfg = build(name)
    names = cfg['view_names']
    moco = tiny.moco_task()
    moco['neck']['in_channels'] = 256
    native = dict(moco, name='mocov2')
    tasks = [native, cfg['tasks'][0]] if new == 'algorithm' else [cfg['tasks'][0], native]
    # M looks at the first two views, whatever they are called
    rename = {names[0]: 'query', names[1]: 'key'}
    cfg['tasks'][0]['views'] = [rename.get(n, n) for n in names]
    model = MODELS.build(dict(cfg, type='multissl_mm.IncrementalLearning', tasks=tasks,
                              view_names=cfg['tasks'][0]['views'], momentum=.9)).train()
    model.init_weights()
    views = views_of(ALGORITHMS[name][1])
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], .1)

    def step():
        losses = model(views, None, mode='loss').losses
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        return {k: v.item() for k, v in losses.items()}

    first = step()
    assert {k.split('.')[0] for k in first} == {tasks[0]['name']}
    model.finish_task(tasks[0]['name'])
    model.set_stage(1)
    model.start_task(tasks[1]['name'])
    step()
    losses = step()
    assert {k.split('.')[0] for k in losses} == {t['name'] for t in tasks}
    assert all(v == v for v in losses.values())
    assert any('distill' in k and v > 1e-7 for k, v in losses.items())
    # Old layers move towards their old responses, too.
    layers = model.tasks[tasks[0]['name']].layers
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in layers.parameters())


def test_all_of_them_at_once_on_one_backbone(scope, run_of_100_steps):
    tasks = [dict(tiny.moco_task(), name='mocov2'), dict(tiny.densecl_task(), name='densecl')]
    for task in tasks:
        task['neck']['in_channels'] = 256
    views = ['query', 'key', 'a', 'b', 'c']
    for name in ALGORITHMS:
        task = build(name)[1]['tasks'][0]
        tasks.append(dict(task, name=name, views=views if name == 'SwAV' else views[:2]))
    model = MODELS.build(dict(type='multissl_mm.MultiTask', backbone=BACKBONE, tasks=tasks,
                              view_names=views, momentum=.9)).train()
    model.init_weights()
    losses = model(views_of(ALGORITHMS['SwAV'][1]), None, mode='loss').losses
    assert {key.split('.')[0] for key in losses} == {task['name'] for task in tasks}
    for key, loss in losses.items():  # each reaches the one backbone
        grad, = torch.autograd.grad(loss, model.backbone.conv1.weight, retain_graph=True)
        assert grad.isfinite().all() and grad.abs().sum() > 0, key


def test_distillation_is_zero_where_nothing_moved(scope):
    _, cfg = build('SimCLR')
    task = MODELS.build({k: v for k, v in cfg['tasks'][0].items() if k != 'name'}).eval()
    batch = TaskBatch({view: (torch.randn(4, 256, 2, 2), ) for view in task.views})
    responses = task.responses(batch)
    assert task.distill_loss(responses, responses).losses['loss_distill'].abs() < 1e-6
    other = {k: torch.nn.functional.normalize(v + .3 * torch.randn_like(v), dim=1)
             for k, v in responses.items()}
    assert task.distill_loss(other, responses).losses['loss_distill'] > 1e-3


def test_distillation_in_half_precision(scope):
    """Its similarities were rounded: small distances were others, even below zero."""
    task = MODELS.build(dict(type='multissl_mm.AlgorithmTask',
                             algorithm=dict(ALGORITHMS['SimCLR'][0], type='mmpretrain.SimCLR')))
    torch.manual_seed(0)
    for noise in (.03, .1, .3):
        old = unit(torch.randn(64, 128))
        new = unit(old + noise * unit(torch.randn(64, 128)))
        exact = task.distill_loss(dict(query=new, key=new), dict(query=old, key=old))
        with torch.autocast('cpu', torch.bfloat16):
            half = task.distill_loss(dict(query=new, key=new), dict(query=old, key=old))
        torch.testing.assert_close(half.losses, exact.losses)
        assert half.losses['loss_distill'] > 0


def test_a_feed_gives_the_rows_that_are_asked_for(scope):
    feed = MODELS.build(dict(type='multissl_mm.FeatureFeed'))
    maps = [torch.arange(3.).view(3, 1, 1, 1) + 10 * v for v in range(3)]
    feed.fill([(m, ) for m in maps])
    rows = torch.tensor([7, 0, 1, 8])  # of views 2, 0, 0, 2
    out, = feed(rows.view(4, 1, 1, 1))
    assert out.flatten().tolist() == [21., 0., 1., 22.]
    assert feed(torch.tensor([3, 4, 5]).view(3, 1, 1, 1))[0] is maps[1]


def test_a_copy_of_a_task_does_the_same(scope, run_of_100_steps):
    _, cfg = build('BYOL')
    task = MODELS.build({k: v for k, v in cfg['tasks'][0].items() if k != 'name'})
    feats, key_feats = ({view: (torch.randn(4, 256, 2, 2), ) for view in task.views}
                        for _ in range(2))
    batch = TaskBatch(feats, {None: key_feats})
    copied = copy.deepcopy(task)
    assert copied.loss(batch).losses['loss'] == task.loss(batch).losses['loss']


@pytest.mark.parametrize('change, said', [
    (dict(type='mmpretrain.MoCo'), 'use multissl_mm.MoCoV2Task'),
    (dict(backbone=BACKBONE), 'remove backbone'),
    (dict(neck=None), 'has no neck'),
])
def test_errors(scope, change, said):
    _, cfg = build('SimCLR')
    task = {k: v for k, v in cfg['tasks'][0].items() if k != 'name'}
    task['algorithm'].update(change)
    with pytest.raises(MultiSSLError, match=said):
        MODELS.build(task)
