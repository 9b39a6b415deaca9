"""The hooks that watch a run say the truth, and the run does not notice them."""
import json
import os
import random
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.registry import HOOKS, TRANSFORMS
from PIL import Image
from ranks import on_ranks
from runs import assert_same, train_here
from torch import nn

from multissl_mm.engine.hooks import forgetting, knn, watching
from multissl_mm.engine.hooks.forgetting import heldout_losses
from multissl_mm.engine.hooks.gradient import GradientHook, by_task, compare, flat_gradients
from multissl_mm.engine.hooks.knn import accuracy, features
from multissl_mm.errors import MultiSSLError
from multissl_mm.models.pretext import TaskOutput
from multissl_mm.registry import DATASETS, MODELS
from multissl_mm.runtime import RunOptions, build_runner, prepare_cfg
from multissl_mm.runtime.checks import check_recomputing
from multissl_mm.utils.stopping import Interrupted, listening

# ---------------------------------------------------------------------- the mathematics


def test_cosine_and_norm_ratio_of_known_gradients():
    backbone = nn.Module()
    backbone.w, backbone.v = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))
    backbone.frozen = nn.Parameter(torch.ones(3), requires_grad=False)
    own = nn.Parameter(torch.ones(()))
    a = own * (backbone.w * torch.tensor([3., 0.])).sum() + 4 * backbone.v.sum()  # (3, 0, 4)
    b = (backbone.w * torch.tensor([0., 2.])).sum()  # (0, 2, 0), none for v
    c = -a  # (-3, 0, -4)
    outputs = dict(a=TaskOutput(dict(loss=a)),
                   b=TaskOutput(dict(x=b / 2, y=b / 2), dict(lossy=7 * b)),
                   c=TaskOutput(dict(loss=c)), d=TaskOutput(dict(loss=torch.ones(()))))
    tasks = by_task(outputs)
    assert list(tasks) == ['a', 'b', 'c']
    gradients = flat_gradients(tasks, backbone)
    assert gradients.tolist() == [[3, 0, 4], [0, 2, 0], [-3, 0, -4]]
    out = compare(list(tasks), gradients @ gradients.t())
    assert out == pytest.approx({
        'gradient_norm/a': 5, 'gradient_norm/b': 2, 'gradient_norm/c': 5,
        'gradient_cosine/a-b': 0, 'gradient_cosine/a-c': -1, 'gradient_cosine/b-c': 0,
        'gradient_norm_ratio/a-b': 2.5, 'gradient_norm_ratio/a-c': 1,
        'gradient_norm_ratio/b-c': .4})
    assert compare('ab', torch.tensor([[4., 0.], [0., 0.]])) == {  # b has a weight of 0
        'gradient_norm/a': 2, 'gradient_norm/b': 0}
    assert all(p.grad is None for p in (*backbone.parameters(), own))
    sum(sum(out.losses.values()) for out in outputs.values()).backward()  # the graph is still there
    assert own.grad is not None


def test_gradients_are_compared_in_full_precision():
    hook, backbone = GradientHook(), nn.Linear(2, 1, bias=False)
    with torch.autocast('cpu', torch.bfloat16):  # as mixed precision does it
        x = torch.tensor([1 / 3, 1 / 7])
        hook._look(backbone, 1024., dict(
            a=TaskOutput(dict(loss=(backbone.weight * x).sum())),
            b=TaskOutput(dict(loss=(backbone.weight * x.flip(0)).sum()))))
    assert compare(*hook._found)['gradient_cosine/a-b'] == pytest.approx(42 / 58, rel=1e-6)


@pytest.mark.parametrize('k, temperature', [(1, .07), (5, .07), (20, .5), (99, .07)])
def test_knn_equals_brute_force(k, temperature):
    rng = np.random.default_rng(0)
    bank, queries = (rng.normal(size=(n, 4)) for n in (40, 30))
    labels, truth = rng.integers(0, 3, 40), rng.integers(0, 3, 30)
    bank, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (bank, queries))
    right = 0
    for query, label in zip(queries, truth):
        cosines = bank @ query
        votes = np.zeros(3)
        for i in np.argsort(-cosines)[:k]:
            votes[labels[i]] += np.exp(cosines[i] / temperature)
        right += votes.argmax() == label
    ours = accuracy(*map(torch.from_numpy, (bank, labels, queries, truth)), k, temperature)
    assert ours == pytest.approx(100 * right / 30)
    assert 0 < right < 30


def test_ranks_share_samples_evenly(monkeypatch):
    def shares(world, *args):
        out = []
        for rank in range(world):
            monkeypatch.setattr(watching, 'get_dist_info', lambda r=rank: (r, world))
            out.append(watching.share(*args))
        return out

    for world, multiple, count in ((1, 1, 100), (3, 1, 99), (3, 8, 96)):
        parts = shares(world, 1000, 100, multiple)
        assert {len(p) for p in parts} == {count // world}
        picked = sorted(sum(parts, []))
        assert len(set(picked)) == count
        assert max(np.diff(picked)) <= 11 and picked[-1] >= 985  # from all over the data
        assert parts == shares(world, 1000, 100, multiple)
    assert sorted(shares(1, 5, 100)[0]) == list(range(5))
    head = shares(1, 1000, 100)[0][:10]
    assert max(head) - min(head) > 500  # a batch of data sorted by class has many classes


# ---------------------------------------------------------------------- held-out losses


class Toy(nn.Module):
    """64 features of 128 input channels: what two views share, or what they do not."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.eye(128)[:64])
        self.norm = nn.BatchNorm2d(64)

    def forward(self, x):
        return (self.norm(F.conv2d(x, self.weight[:, :, None, None])), )

    @torch.no_grad()
    def forget(self):
        self.weight.copy_(torch.eye(128)[64:])


@pytest.fixture
def toy(scope):
    torch.manual_seed(0)
    tasks = [dict(tiny.moco_task(64), name='m'), dict(tiny.densecl_task(64), name='d')]
    model = MODELS.build(dict(type='multissl_mm.MultiTask', backbone=tiny.backbone(), tasks=tasks))
    model.init_weights()
    model.backbone = Toy()
    batches = []
    for _ in range(4):
        shared, *own = torch.randn(3, 8, 64, 2, 2)
        batches.append(dict(inputs=[torch.cat([shared, x], 1) for x in own], data_samples=None))
    return model.train(), batches


def test_heldout_loss_is_the_tasks_own_with_heldout_candidates(toy):
    model, batches = toy
    ours = heldout_losses(model, batches, ['m'], 16)['m']
    task, losses = model.tasks['m'], []
    model.eval()
    with torch.no_grad():
        q, k = (torch.cat([F.normalize(task.neck(model.backbone(b['inputs'][i]))[0], dim=1)
                           for b in batches]) for i in (0, 1))
    for i in range(16, 32):  # against the 16 keys of the two batches before its own
        batch = i // 8 * 8
        negatives = k[batch - 16:batch]
        logits = torch.cat([(q[i] @ k[i])[None], negatives @ q[i]]) / 0.2
        losses.append(-logits.log_softmax(0)[0])
    assert ours == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)


def test_loss_grows_if_and_only_if_something_is_forgotten(toy):
    model, batches = toy
    then = heldout_losses(model, batches, ['m', 'd'], 16)
    with torch.no_grad():  # neither the queue of the training nor momentum layers play a part
        for task in model.tasks.values():
            task.queues['global'].keys.neg_()
            for p in task.momentum_neck.parameters():
                p.zero_()
    assert heldout_losses(model, batches, ['m', 'd'], 16) == then
    model.backbone.forget()
    now = heldout_losses(model, batches, ['m', 'd'], 16)
    assert now['m'] > then['m'] + 1 and now['d'] > then['d'] + .5


def test_looks_change_nothing(toy):
    model, batches = toy
    model.tasks['m'].neck.eval()  # modes are restored one by one
    forward = model.backbone.forward

    def drawing(x):
        noise = torch.randn_like(x) * random.random() * np.random.rand()
        return forward(x + noise)

    model.backbone.forward = drawing
    labelled = [dict(inputs=b['inputs'][0], data_samples=[
        SimpleNamespace(gt_label=torch.tensor([i])) for i in range(8)]) for b in batches]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    draws = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    once, again = (heldout_losses(model, batches, ['m', 'd'], 16) for _ in range(2))
    assert once == again
    rows, labels = features(model, labelled)
    assert rows.shape == (32, 64) and labels.tolist() == list(range(8)) * 4
    assert torch.allclose(rows.norm(dim=1), torch.ones(32))
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes and not all(modes)
    assert draws[:2] == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(draws[2], torch.get_rng_state())


# ---------------------------------------------------------------------- on several ranks


def on_rank(model, batches, data):
    rank = get_rank()
    bank, labels, queries, truth = (x[rank::2] for x in data)
    if rank:  # rank 0's are those of checkpoints
        model.backbone.norm.running_var.fill_(7)
    hook, backbone = GradientHook(), nn.Linear(1, 2, bias=False)
    a, b = backbone.weight.view(2)
    # Each rank's own gradients of p and q are at right angles, those of their means are not.
    hook._look(backbone, 4., dict(p=TaskOutput(dict(loss=(a, b)[rank] * 2)),
                                  q=TaskOutput(dict(loss=(b, a)[rank] * 6))))
    return dict(top1=accuracy(bank, labels, queries, truth, 5, .07),
                gradients=compare(*hook._found),
                heldout=heldout_losses(model, batches[rank::2], ['m', 'd'], 16),
                variance=model.backbone.norm.running_var.mean().item())


def test_two_ranks(toy, tmp_path):
    model, batches = toy
    torch.manual_seed(0)
    data = (F.normalize(torch.randn(40, 4), dim=1), torch.randint(3, (40, )),
            F.normalize(torch.randn(30, 4), dim=1), torch.randint(3, (30, )))
    one, other = on_ranks(tmp_path, on_rank, model, batches, data)
    assert (one.pop('variance'), other.pop('variance')) == (1, 7) and one == other
    assert one['top1'] == pytest.approx(accuracy(*data, 5, .07))  # of the whole bank
    assert one['gradients'] == pytest.approx({
        'gradient_norm/p': 2**.5, 'gradient_norm/q': 18**.5, 'gradient_cosine/p-q': 1,
        'gradient_norm_ratio/p-q': 1 / 3})
    # 16 candidates of both ranks, then one batch on each: as good as one rank with 16 at a time.
    joined = [dict(inputs=[torch.cat(x) for x in zip(*(b['inputs'] for b in batches[i:i + 2]))],
                   data_samples=None) for i in (0, 2)]
    assert one['heldout'] == pytest.approx(heldout_losses(model, joined, ['m', 'd'], 16), rel=1e-5)


# ---------------------------------------------------------------------- in a run


@pytest.fixture(scope='module')
def labelled(tmp_path_factory):
    """Two classes of pictures, red and blue, 12 of each."""
    root, rng = tmp_path_factory.mktemp('labelled'), np.random.default_rng(0)
    for name, channel in (('blue', 2), ('red', 0)):
        (root / name).mkdir()
        for i in range(12):
            image = rng.integers(0, 80, (32, 32, 3), dtype=np.uint8)
            image[..., channel] += 150
            Image.fromarray(image).save(root / name / f'{i}.png')
    return root


def hooks(images, labelled, **forgetting):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackInputs')]
    probe = dict(type='CustomDataset', data_root=str(labelled), pipeline=pipeline)
    heldout = dict(type='CustomDataset', data_root=str(images), data_prefix='train',
                   with_label=False)
    return [
        dict(type='multissl_mm.GradientHook', interval=2),
        dict(type='multissl_mm.ForgettingHook', interval=1, dataset=heldout, batch_size=6,
             **forgetting),
        dict(type='multissl_mm.KNNHook', interval=2, bank=probe, queries=dict(probe),
             k=3, max_queries=10)
    ]


def train(images, work_dir, custom_hooks, name='il_mocov2_densecl', resume=None, **options):
    cfg = tiny.tiny_config(name, images, work_dir, custom_hooks=custom_hooks, **options)
    if resume:
        cfg.load_from, cfg.resume = str(resume), True
    return train_here(cfg)


def scalars(runner, mark='/'):
    """Lines of the run's hooks, in their order."""
    path = next((Path(runner.work_dir) / runner.timestamp).glob('vis_data/scalars.json'))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if any(mark in key for key in line)]


@pytest.fixture(scope='module')
def watched(images, labelled, tmp_path_factory):
    """A finished run with all hooks: stage 1 is epochs 1 and 2, of 3 steps each."""
    backends = [dict(type='LocalVisBackend')]
    try:
        import tensorboard  # noqa: F401
        backends.append(dict(type='TensorboardVisBackend'))
    except ImportError:
        pass
    return train(images, tmp_path_factory.mktemp('watched'), hooks(images, labelled),
                 visualizer__vis_backends=backends)


def test_what_is_logged(watched):
    lines = scalars(watched)
    found = {(line['iter'], key): line[key] for line in lines for key in line if '/' in key}
    assert {i for i, key in found if key == 'knn/top1'} == {6, 12}
    assert {i for i, key in found if key == 'gradient_cosine/densecl-mocov2'} == {8, 10, 12}
    assert {i for i, key in found if key == 'heldout/mocov2'} == {3, 6, 9, 12}
    assert {i for i, key in found if key == 'heldout/densecl'} == {9, 12}
    assert {i for i, key in found if 'forgetting' in key} == {6, 9, 12}  # 6: stage 2 begins
    assert not any(key == 'forgetting/densecl' for _, key in found)
    assert found[6, 'forgetting/mocov2'] == 0
    for step in (9, 12):
        assert found[step, 'forgetting/mocov2'] == pytest.approx(
            found[step, 'heldout/mocov2'] - found[6, 'heldout/mocov2'])
        assert found[step, 'forgetting/mocov2'] != 0
    assert found[12, 'knn/top1'] == 100  # red is not blue
    assert all(abs(v) <= 1 for (_, key), v in found.items() if 'cosine' in key)
    # The logger writes the tasks' losses by itself.
    losses = [line for line in scalars(watched, 'loss') if 'lr' in line]
    assert len(losses) == 12
    assert all('mocov2.loss' in line for line in losses[:6])
    assert all({'mocov2.loss_distill', 'densecl.loss_single', 'densecl.loss_dense'} <= line.keys()
               for line in losses[6:])


def test_tensorboard_has_the_same(watched):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(f'{watched.log_dir}/vis_data').Reload()
    names = ('knn/top1', 'forgetting/mocov2', 'heldout/densecl', 'mocov2.loss_distill',
             'gradient_cosine/densecl-mocov2', 'gradient_norm_ratio/densecl-mocov2')
    for name in names:
        written = [(line['step'], line[name]) for line in scalars(watched, name)]
        read = [(event.step, event.value) for event in events.Scalars(name)]
        assert len(written) > 1 and [s for s, _ in read] == [s for s, _ in written]
        assert [v for _, v in read] == pytest.approx([v for _, v in written])


def test_training_is_the_same_bit_for_bit(images, watched, tmp_path):
    watched_end = torch.load(Path(watched.work_dir) / 'epoch_4.pth', weights_only=False)
    alone = train(images, tmp_path / 'alone', [])
    end_alone = torch.load(tmp_path / 'alone' / 'epoch_4.pth', weights_only=False)
    for part in ('state_dict', 'optimizer'):
        assert_same(watched_end[part], end_alone[part], part)
    assert alone.model.on_outputs is None and watched.model.on_outputs is None


@pytest.mark.parametrize('epoch', [2, 3])  # 2: killed before stage 2 was prepared
def test_resumed_logs_the_same(images, labelled, watched, tmp_path, epoch):
    resumed = train(images, tmp_path, hooks(images, labelled),
                    resume=Path(watched.work_dir) / f'epoch_{epoch}.pth',
                    **{'model__responses__root': f'{watched.work_dir}/responses'})
    whole, rest = scalars(watched), scalars(resumed)
    assert rest == whole[-len(rest):]
    assert len(rest) == {2: 7, 3: 4}[epoch]


@pytest.mark.parametrize('look', ['KNN at the end of stage 1', 'forgetting as stage 2 begins'])
def test_a_look_is_left_for_a_signal(images, labelled, watched, tmp_path, monkeypatch, look):
    """It was waited for, which may take minutes; begun anew, it says the same."""
    module, hook = (knn, 'KNNHook') if 'KNN' in look else (forgetting, 'ForgettingHook')
    looked = []

    def asked(runner, batches):
        for batch in watching.while_wanted(runner, batches):
            if runner.iter == 6 and (hook == 'KNNHook' or runner.model.stage):
                looked.append(runner.epoch)
                os.kill(os.getpid(), signal.SIGTERM)
            yield batch

    def go():
        cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path,
                               custom_hooks=hooks(images, labelled))
        cfg.experiment_name = f'{tmp_path.name}_{len(looked)}'
        options = RunOptions('config.py', resume='auto')
        runner = build_runner(prepare_cfg(cfg, options), options)
        with listening():
            runner.train()
        return runner

    with monkeypatch.context() as patch, pytest.raises(Interrupted) as ended:
        patch.setattr(module, 'while_wanted', asked)
        go()
    assert 'step 6 (a look at which is left) is kept' in ended.value.message
    assert looked == [1] if hook == 'KNNHook' else [2]  # one batch
    resumed = go()
    whole, rest = scalars(watched), scalars(resumed)
    assert rest == whole[-len(rest):] and rest[0]['iter'] == 6
    a, b = (torch.load(Path(run.work_dir) / 'epoch_4.pth', weights_only=False)
            for run in (watched, resumed))
    for part in ('state_dict', 'optimizer'):
        assert_same(a[part], b[part], part)


def test_hook_that_came_late_says_so(images, labelled, watched, tmp_path):
    late = train(images, tmp_path, hooks(images, labelled, max_samples=12), resume=Path(
        watched.work_dir) / 'epoch_3.pth', **{
            'model__responses__root': f'{watched.work_dir}/responses'})
    keys = {key for line in scalars(late) for key in line}
    assert 'heldout/mocov2' in keys and 'forgetting/mocov2' not in keys
    log = next(Path(late.log_dir).glob('*.log')).read_text()
    assert log.count('other samples, when mocov2 was finished') == 1


def test_tasks_learned_at_once(images, labelled, tmp_path):
    lines = scalars(train(images, tmp_path, hooks(images, labelled), 'mtl_mocov2_densecl'))
    keys = {key for line in lines for key in line}
    assert {'heldout/mocov2', 'heldout/densecl', 'gradient_cosine/mocov2-densecl'} <= keys
    assert not any('forgetting' in key for key in keys)


@pytest.mark.parametrize('change, message', [
    (lambda h: h[1].update(max_samples=6), 'two batches of 6 on each of 1 processes.*are 6 sam'),
    (lambda h: h[1]['dataset'].update(data_root='/no/data'), 'ForgettingHook.dataset.data_root: '),
    (lambda h: h[2]['queries'].update(with_label=False), r'KNNHook.queries: a sample has no label'),
    (lambda h: h[2]['bank'].pop('pipeline'), 'KNNHook.bank: the pipeline gives 2 views'),
])
def test_wrong_configs_are_named(images, labelled, tmp_path, change, message):
    wrong = hooks(images, labelled)
    change(wrong)
    with pytest.raises(MultiSSLError, match=message):
        train(images, tmp_path, wrong)
    assert not list(tmp_path.glob('epoch_*'))  # before anything was trained


def test_gradients_of_other_models_are_refused():
    with pytest.raises(MultiSSLError, match='model is a Linear; remove the hook'):
        GradientHook().before_train(SimpleNamespace(model=nn.Linear(1, 1)))


def test_gradients_of_a_backbone_that_recomputes_are_refused(scope):
    """By the hook, and by what weighs by gradients: they ended in a RuntimeError of torch."""
    tasks = [dict(tiny.moco_task(), name='m'), dict(tiny.densecl_task(), name='d')]

    def build(kind, tasks=tasks, **options):
        return MODELS.build(dict(type=f'multissl_mm.{kind}', tasks=tasks,
                                 backbone=dict(tiny.backbone(), with_cp=True), **options))

    said = 'one by one, which with_cp=True in model.backbone does not allow.*'
    with pytest.raises(MultiSSLError, match=f'GradientHook .*{said}remove the hook'):
        GradientHook().before_train(SimpleNamespace(model=build('MultiTask')))
    GradientHook().before_train(SimpleNamespace(model=build('MultiTask', tasks[:1])))
    with pytest.raises(MultiSSLError, match=f"model.weighting 'pcgrad' .*{said}"):
        build('MultiTask', weighting='pcgrad')
    with pytest.raises(MultiSSLError, match=f'model.distill_weights.*{said}'):
        build('IncrementalLearning', distill_weights=dict(type='multissl_mm.RatioWeights'))
    build('IncrementalLearning', distill_weights=dict(type='multissl_mm.FallingWeights'))


HOOK = [dict(type='multissl_mm.GradientHook')]


@pytest.mark.parametrize('options, who', [
    (dict(custom_hooks=HOOK), 'GradientHook'),
    (dict(custom_hooks=[dict(type=GradientHook)]), 'GradientHook'),
    (dict(default_hooks=dict(look=HOOK[0])), 'GradientHook'),
    (dict(model__weighting='pcgrad'), "model.weighting 'pcgrad'"),
    (dict(model__distill_weights=dict(type='multissl_mm.RatioWeights')), 'model.distill_weights')])
def test_gradients_of_a_backbone_that_mmengine_recomputes_are_refused(options, who):
    """They ended in that RuntimeError, too; RatioWeights not before the second stage."""
    def check(listed, tasks=({}, {})):
        cfg = Config(dict(model=dict(tasks=list(tasks)), activation_checkpointing=listed))
        cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
        check_recomputing(cfg)

    for listed in ('backbone', ['tasks.a.neck', 'backbone.layer1']):
        with pytest.raises(MultiSSLError, match='activation_checkpointing has backbone.* but '
                                                f'{who}.*leave backbone.* out, or'):
            check(listed)
    check(['tasks.a.neck', 'backbones'])
    check(None)
    if who == 'GradientHook':
        check('backbone', [{}])


@pytest.mark.parametrize('weights', [None, .1, dict(a=1.)])
def test_backbones_may_be_recomputed_otherwise(weights):
    check_recomputing(Config(dict(activation_checkpointing=['backbone'], model=dict(
        tasks=[{}, {}], weighting='fixed', distill_weights=weights))))


def test_base_config(scope, tmp_path):
    path = tmp_path / 'watched.py'
    bases = [str(tiny.CONFIGS / name) for name in ('il_mocov2_densecl.py', '_base_/watch.py')]
    path.write_text(f'_base_ = {bases}')
    cfg = Config.fromfile(path)
    built = [HOOKS.build(hook) for hook in cfg.custom_hooks]
    assert [type(hook).__name__ for hook in built] == ['GradientHook', 'ForgettingHook', 'KNNHook']
    # Pictures for validation as they are unpacked, not in folders of their classes.
    (tmp_path / 'val').mkdir()
    for name in 'ab':
        Image.new('RGB', (8, 8)).save(tmp_path / 'val' / f'{name}.png')
    watched = dict(cfg.custom_hooks[1].dataset, data_root=str(tmp_path))
    assert len(DATASETS.build(watched)) == 2
    image = np.zeros((300, 400, 3), np.uint8)
    data = dict(img=image, img_shape=(300, 400), ori_shape=(300, 400), gt_label=3)
    for transform in cfg.custom_hooks[2].bank.pipeline[1:]:
        data = TRANSFORMS.build(transform)(data)
    assert data['inputs'].shape == (3, 224, 224) and data['data_samples'].gt_label.tolist() == [3]
