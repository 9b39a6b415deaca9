"""What a task is handed and gives back, when it is asked, and what moves when it is trained."""
import copy

import pytest
import tiny
import torch
from mmengine.optim import OptimWrapper
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn import functional as F

from multissl_mm.errors import MultiSSLError
from multissl_mm.models.contrast import MomentumEncoder, unit
from multissl_mm.models.heads.queue_contrast_head import info_nce, similarity_kl
from multissl_mm.models.pretext import PretextTask, TaskOutput
from multissl_mm.models.pretext.densecl import match_positions
from multissl_mm.registry import MODELS
from multissl_mm.utils.keyed_random import keyed_integers

VIEWS = [torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(2)]


@MODELS.register_module(force=True)
class OneLayer(PretextTask):
    """A task with a layer on the pooled features of the query."""

    views = ('query', )

    def __init__(self, out=3):
        super().__init__()
        self.layer = nn.Linear(tiny.CHANNELS, out)

    layers = property(lambda self: self.layer)

    def responses(self, batch, layers=None):
        return dict(y=(layers or self.layer)(batch.features['query'][-1].mean((2, 3))))

    def loss(self, batch):
        return TaskOutput(dict(loss=self.responses(batch)['y'].square().mean()))

    def distill_loss(self, responses, old):
        return TaskOutput(dict(loss_distill=F.mse_loss(responses['y'], old['y'])))


@MODELS.register_module(force=True)
class MeanColour(OneLayer):
    """Reconstructs of a picture its mean colour: the raw picture is an input, its own target."""

    inputs = ('query', )

    def loss(self, batch):
        target = batch.inputs['query'].mean((2, 3))
        return TaskOutput(dict(loss=F.mse_loss(self.responses(batch)['y'], target)))


@MODELS.register_module(force=True)
class Watched(OneLayer):
    """Gives more than its loss."""

    def loss(self, batch):
        y = self.responses(batch)['y']
        return TaskOutput(dict(distance=y.square().mean()), dict(loss_by_hand=y.abs().mean()))


@MODELS.register_module(force=True)
class MovingTarget(OneLayer):
    """A momentum copy of its layer, but no view for a momentum backbone."""

    def __init__(self):
        super().__init__()
        self.target, self.moves = MomentumEncoder(self.layer), []

    def update_momentum(self, momentum):
        self.moves.append(momentum)
        self.target.update(self.layer, momentum)


@MODELS.register_module(force=True)
class Turned(OneLayer):
    """Makes a view and its label."""

    made_from, views, inputs = ('query', ), ('turned', ), ('turn', )

    def __init__(self, view='turned'):
        super().__init__(4)
        self.view, self.made = view, 0

    def make(self, views, samples):
        self.made += 1
        turn = keyed_integers(samples, 'turn', 4, len(views['query']))
        turned = [x.rot90(int(k), (1, 2)) for x, k in zip(views['query'], turn)]
        return {self.view: torch.stack(turned), 'turn': turn}

    def responses(self, batch, layers=None):
        return dict(y=(layers or self.layer)(batch.features['turned'][-1].mean((2, 3))))

    def loss(self, batch):
        return TaskOutput(dict(loss=F.cross_entropy(self.responses(batch)['y'],
                                                    batch.inputs['turn'])))


def task(kind, name, **kwargs):
    return dict(kwargs, type=f'multissl_mm.{kind}', name=name)


M, D = (dict(t, name=name) for name, t in (('m', tiny.moco_task()), ('d', tiny.densecl_task())))


def build(*tasks, kind='MultiTask', **kwargs):
    torch.manual_seed(0)
    model = MODELS.build(dict(dict(type=f'multissl_mm.{kind}', backbone=tiny.backbone(),
                                   tasks=list(tasks), momentum=.5), **kwargs))
    model.init_weights()
    return model.train()


def losses_of(model, views=VIEWS, samples=None):
    return model(views, samples, mode='loss').losses


def optimizer_of(model, **kwargs):
    return OptimWrapper(torch.optim.SGD([p for p in model.parameters() if p.requires_grad], .1),
                        **kwargs)


# ---------------------------------------------------------------------- what a task is handed


def test_an_input_named_like_a_view_is_not_its_features(scope):
    """M1: neither for the task that takes it nor for others."""
    model, alone = build(M, task('MeanColour', 'colour')), build(M)
    alone.load_state_dict(model.state_dict(), strict=False)
    seen = {}
    for name, t in model.tasks.items():
        t.loss = lambda batch, loss=t.loss, name=name: seen.update({name: batch}) or loss(batch)
    losses = losses_of(model)
    torch.testing.assert_close(losses['m.loss'], losses_of(alone)['m.loss'])
    batch = seen['m']
    assert batch is seen['colour'] and batch.features['query'][-1].shape == (4, tiny.CHANNELS, 1, 1)
    assert torch.equal(batch.inputs['query'], VIEWS[0])
    y = model.tasks['colour'].layer(batch.features['query'][-1].mean((2, 3)))
    torch.testing.assert_close(losses['colour.loss'], F.mse_loss(y, VIEWS[0].mean((2, 3))))


def test_a_task_that_reconstructs_its_input_learns(scope):
    """M1."""
    model = build(task('MeanColour', 'colour'))
    optimizer = optimizer_of(model)
    seen = [model.train_step(dict(inputs=VIEWS), optimizer)['loss'].item() for _ in range(20)]
    assert seen[-1] < .3 * seen[0]


def test_inputs_of_a_later_stage_are_not_asked_for(scope):
    """M1: only the tasks that are active count."""
    later = dict(task('MeanColour', 'later'))
    model = build(M, later, kind='IncrementalLearning')
    model.tasks['later'].inputs = ('video', )
    assert set(losses_of(model)) == {'m.loss'}
    model.finish_task('m')
    model.set_stage(1)
    with pytest.raises(MultiSSLError, match="'video'"):
        losses_of(model)


@pytest.mark.parametrize('views, missing', [(['query', 'other'], 'key'), (['other', 'key'],
                                                                         'query')])
def test_a_missing_view_is_named(scope, views, missing):
    """M5: views of the momentum backbone as those of the trained one."""
    with pytest.raises(MultiSSLError, match=f"'{missing}'.*{views[0]}.*model.view_names"):
        losses_of(build(M, view_names=views))


# ---------------------------------------------------------------------- what it gives back


def test_only_losses_are_minimised_whatever_names_say(scope):
    """M2: a task may be called a loss, and what it watches as well."""
    model = build(task('Watched', 'align_loss'), loss_weights=dict(align_loss=3.))
    plain = build(task('Watched', 'align_loss'))
    out, unweighted = (m(VIEWS, None, mode='loss') for m in (model, plain))
    assert list(out.losses) == ['align_loss.distance']
    assert list(out.metrics) == ['align_loss.loss_by_hand']
    torch.testing.assert_close(out.losses['align_loss.distance'],
                               3 * unweighted.losses['align_loss.distance'])
    torch.testing.assert_close(out.metrics, unweighted.metrics)  # no weight on what is watched
    total, log = model.parse_losses(out)
    assert total == out.losses['align_loss.distance']
    assert set(log) == {'loss', 'align_loss.distance', 'align_loss.loss_by_hand'}


@pytest.mark.parametrize('weighting', ['fixed', 'uncertainty', 'pcgrad'])
def test_metrics_have_no_gradient_on_the_model(scope, weighting):
    """M2."""
    def gradient(kind):
        model = build(task(kind, 'a_loss'), task(kind, 'b'), weighting=weighting)
        total, _ = model.parse_losses(model(VIEWS, None, mode='loss'))
        total.backward()
        return total.detach(), {k: p.grad for k, p in model.named_parameters()}

    torch.testing.assert_close(gradient('Watched'), gradient('OneLayer'))


# ---------------------------------------------------------------------- momentum


def test_momentum_layers_move_without_key_views(scope):
    """M3: once per step of the optimizer."""
    model = build(task('MovingTarget', 'moving'))
    assert model.momentum_backbone is None
    moving, optimizer = model.tasks['moving'], optimizer_of(model)
    for _ in range(3):
        before, layer = moving.target.module.weight.clone(), moving.layer.weight.clone()
        model.train_step(dict(inputs=VIEWS), optimizer)
        torch.testing.assert_close(moving.target.module.weight, (before + layer) / 2)
    assert moving.moves == [.5] * 3


def test_momentum_follows_the_models_own_optimizer(scope):
    """M4: others of the process move nothing."""
    model, other = build(task('MovingTarget', 'moving')), nn.Linear(2, 1)
    moves, optimizer = model.tasks['moving'].moves, optimizer_of(model)
    others = torch.optim.SGD(other.parameters(), .1), torch.optim.Adam(other.parameters())
    losses_of(model)
    start = len(moves)
    for _ in range(3):  # another model learns, this one is looked at
        other(torch.ones(2)).sum().backward()
        for o in others:
            o.step()
        losses_of(model)
    assert len(moves) == start
    model.train_step(dict(inputs=VIEWS), optimizer)
    losses_of(model)
    assert len(moves) == start + 1


def test_momentum_moves_once_for_gradients_of_several_batches(scope):
    """M4."""
    model = build(task('MovingTarget', 'moving'), M)
    optimizer = optimizer_of(model, accumulative_counts=3)
    for _ in range(9):
        model.train_step(dict(inputs=VIEWS), optimizer)
    assert len(model.tasks['moving'].moves) == 3


def test_a_copy_of_a_model_counts_its_own_steps(scope):
    """M4: e.g. that of an averaging hook, or a second run's."""
    model = build(task('MovingTarget', 'moving'))
    optimizer = optimizer_of(model)
    model.train_step(dict(inputs=VIEWS), optimizer)
    copied = copy.deepcopy(model)
    own, its = model.tasks['moving'].moves, copied.tasks['moving'].moves
    losses_of(copied), its.clear(), losses_of(model), own.clear()
    model.train_step(dict(inputs=VIEWS), optimizer)
    losses_of(copied), losses_of(model)
    assert (len(own), len(its)) == (1, 0)
    copied.train_step(dict(inputs=VIEWS), optimizer_of(copied))
    losses_of(copied), losses_of(model)
    assert (len(own), len(its)) == (1, 1)


# ---------------------------------------------------------------------- views of a task's own


def samples(indices, **key):
    return [BaseDataElement(metainfo=dict(dict(seed=1, replica=0), sample_idx=i, **key))
            for i in indices]


def test_a_task_makes_its_own_views_and_labels(scope):
    model = build(M, task('Turned', 'turned'))
    losses = losses_of(model, samples=samples(range(4)))
    assert set(losses) == {'m.loss', 'turned.loss'}
    again = [losses_of(model, samples=samples(range(4)))['turned.loss'] for _ in range(2)]
    assert again[0] == again[1] == losses['turned.loss']


@pytest.mark.parametrize('views, taken', [(['turned', 'other'], 'turn'), (['key'], 'key')])
def test_names_that_are_taken_are_refused(scope, views, taken):
    """By another task, or by the pipeline."""
    model = build(M, *(task('Turned', f't{i}', view=view) for i, view in enumerate(views)))
    with pytest.raises(MultiSSLError, match=f'Turned makes {taken}, which the batch has already'):
        losses_of(model)


def test_only_active_tasks_make(scope):
    model = build(M, task('Turned', 'turned'), kind='IncrementalLearning')
    losses_of(model)
    assert model.tasks['turned'].made == 0
    model.set_stage(1)
    losses_of(model)
    assert model.tasks['turned'].made == 1


def test_a_teacher_answers_to_the_views_that_were_made(scope):
    """Once a step; without keys it was asked of others, and what had not moved had a distance."""
    model = build(task('Turned', 'turned'), M, kind='IncrementalLearning')
    model.finish_task('turned')
    model.set_stage(1)
    model.eval()  # as the teacher is
    turned = model.tasks['turned']
    for i, keyed in enumerate((samples(range(4)), None)):
        losses = losses_of(model, samples=keyed)
        assert losses['turned.loss_distill'] == 0 and turned.made == i + 1


def test_keyed_integers():
    """The same for the same view, in whichever batch; all values alike."""
    order = torch.randperm(4000, generator=torch.Generator().manual_seed(0)).tolist()
    drawn = keyed_integers(samples(order), 'turn', 4, 4000)
    halves = [keyed_integers(samples(part), 'turn', 4, 2000)
              for part in (range(0, 4000, 2), range(1, 4000, 2))]
    assert torch.equal(drawn, torch.stack(halves, 1).flatten()[order])
    assert (drawn.bincount(minlength=4) - 1000).abs().max() < 110  # four standard deviations
    assert not torch.equal(drawn, keyed_integers(samples(order), 'other', 4, 4000))
    for key in (dict(seed=2), dict(replica=1)):
        views = [BaseDataElement(metainfo=dict(dict(seed=1, replica=0, sample_idx=i), **key))
                 for i in order]
        same = (keyed_integers(views, 'turn', 4, 4000) == drawn).float().mean()
        assert abs(same - .25) < .03
    torch.manual_seed(0)
    assert keyed_integers(None, 'turn', 4, 100).unique().tolist() == [0, 1, 2, 3]


# ---------------------------------------------------------------------- half precision


def half_on_cpu():
    try:
        with torch.autocast('cpu', torch.float16):
            return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float16
    except RuntimeError:
        return False


@pytest.mark.skipif(not half_on_cpu(), reason='this torch has no float16 autocast on the CPU')
@pytest.mark.parametrize('temperature', [.03, .05, .2])
def test_gradient_of_the_queue_in_half_precision(temperature):
    """M8: at low temperatures half precision would round all weights of the queue to zero."""
    torch.manual_seed(0)
    q, k, old, queue = (unit(torch.randn(n, 128)) for n in (16, 16, 16, 512))

    def gradient(loss, positive, half):
        x = q.clone().requires_grad_()
        with torch.autocast('cpu', torch.float16, enabled=half):
            loss(x, positive, queue, temperature).backward()
        return x.grad

    for loss, positive in ((info_nce, k), (similarity_kl, old)):
        exact, half = (gradient(loss, positive, on) for on in (False, True))
        assert (half - exact).norm() < .01 * exact.norm()


def test_unit_of_zeros_in_half_precision():
    """M10."""
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        x = torch.tensor([[0., 0.], [3., 4.]], dtype=dtype)
        assert unit(x).tolist() == [[0., 0.], pytest.approx([.6, .8])]


def test_a_position_without_features_is_no_match():
    """M10: unless there is no other."""
    query = -torch.rand(2, 3, 4) - .1  # every similarity is negative, less than that of zeros
    key = torch.rand(2, 3, 4) + .1
    key[0, :, :3], key[1] = 0, 0
    match = match_positions(query.half(), key.half())
    assert match[0].tolist() == [3] * 4 and match[1].tolist() == [0] * 4


# ---------------------------------------------------------------------- modes and copies


def test_warm_up_uses_running_statistics_on_both_sides(scope):
    """M11: and nothing of what is frozen moves."""
    model = build(M, D, kind='IncrementalLearning')
    with torch.no_grad():
        for views in (VIEWS, [v + 1 for v in VIEWS]):  # statistics of their own on both sides
            losses_of(model, views)
    model.finish_task('m')
    model.set_stage(1, warming_up=True)
    model.start_task('d')
    model.train()
    frozen = {k: v.clone() for k, v in model.state_dict().items()
              if k.startswith(('backbone.', 'momentum_backbone.', 'tasks.m.', 'teachers.'))}
    seen, optimizer = {}, optimizer_of(model)
    loss = model.tasks['d'].loss
    model.tasks['d'].loss = lambda batch: seen.update(batch=batch) or loss(batch)
    for _ in range(2):
        model.train_step(dict(inputs=VIEWS), optimizer)
    state = model.state_dict()
    for key, value in frozen.items():
        assert torch.equal(value, state[key]), key
    # What the task saw is what evaluation would see.
    model.eval()
    for found, encoder, view in ((seen['batch'].features['query'], model.backbone, VIEWS[0]),
                                 (seen['batch'].key_features['key'], model.momentum_backbone,
                                  VIEWS[1])):
        torch.testing.assert_close(found[-1], encoder(view)[-1])


@pytest.mark.parametrize('options, names', [
    (dict(type='multissl_mm.IncrementalLearning', tasks=[M, D]), ['teachers.m.module.backbone']),
    (dict(type='multissl_mm.ExpertDistillation', experts=[
        dict(name=n, backbone=tiny.backbone()) for n in 'ab']),
     ['experts.encoders.0', 'experts.encoders.1']),
], ids=['teachers', 'experts'])
def test_teachers_and_experts_are_accelerated_as_the_model_is(scope, options, names):
    """M12."""
    model = MODELS.build(dict(options, backbone=tiny.backbone(), channels_last=True,
                              compile=dict(backend='eager')))
    for name in ('backbone', *names):
        encoder = model.get_submodule(name)
        assert encoder._compiled_call_impl is not None, name
        weights = [p for p in encoder.parameters() if p.dim() == 4]
        assert weights and all(p.is_contiguous(memory_format=torch.channels_last)
                               for p in weights), name
    assert not any('_orig_mod' in key for key in model.state_dict())


def test_constant_answers_score_zero():
    """M13: they say nothing of the gaps."""
    gap = MODELS.build(dict(type='multissl_mm.TemporalGapTask', in_channels=4))
    truth = torch.rand(50, generator=torch.Generator().manual_seed(0))
    for constant in (0., .1, 1 / 3):
        score = gap.score(dict(gap=torch.full((50, ), constant)), dict(gap=truth))
        assert score == dict(correlation=pytest.approx(0, abs=1e-5))
    assert gap.score(dict(gap=2 * truth), dict(gap=truth))['correlation'] == pytest.approx(1)
