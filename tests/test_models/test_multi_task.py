"""Ways of weighing the tasks."""
import math

import pytest
import tiny
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from multissl_mm.engine.hooks.gradient import by_task
from multissl_mm.errors import MultiSSLError
from multissl_mm.models.algorithms.multi_task import project_conflicting
from multissl_mm.models.pretext import PretextTask, TaskOutput
from multissl_mm.registry import MODELS as OURS
from multissl_mm.utils.model import flat_gradients


@OURS.register_module(force=True)
class TwoParameters(BaseModule):
    """A backbone of two parameters that puts them out, whatever comes in."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor([1., 2.]))

    def forward(self, x):
        return (self.w + 0 * x.mean(), )


@OURS.register_module(force=True)
class LinearTask(PretextTask):
    """Its loss is <gradient, w> + own²; so its gradient on the backbone is known."""

    views = ('query', )

    def __init__(self, gradient):
        super().__init__()
        self.gradient = torch.tensor(gradient)
        self.own = torch.nn.Parameter(torch.tensor(3.))

    layers = property(lambda self: self)

    def responses(self, batch, layers=None):
        return {}

    def loss(self, batch):
        loss = (self.gradient * batch.features['query'][0]).sum() + self.own**2
        return TaskOutput(dict(loss=loss), dict(any_loss_to_watch=7 * loss.detach()))

    def distill_loss(self, responses, old):
        return TaskOutput({})


def model_of(gradients, kind='MultiTask', **kwargs):
    tasks = [dict(name=f't{i}', type='multissl_mm.LinearTask', gradient=g)
             for i, g in enumerate(gradients)]
    return MODELS.build(dict(
        type=f'multissl_mm.{kind}', backbone=dict(type='multissl_mm.TwoParameters'),
        tasks=tasks, view_names=['query'], **kwargs))


def backward(model, scale=1.):
    out = model([torch.zeros(2, 1)], None, mode='loss')
    (model.parse_losses(out)[0] * scale).backward()
    return {**out.losses, **out.metrics}


@pytest.mark.parametrize('a, b, expected', [
    ([1., 0.], [-1., 1.], [.5, .5 + 1.]),  # conflict: a - (a.b/b.b) b = (.5, .5), b - ... = (0, 1)
    ([1., 0.], [1., 1.], [2., 1.]),  # no conflict: the sum
])
def test_pcgrad_of_two_parameters(a, b, expected):
    model = model_of([a, b], weighting='pcgrad')
    losses = backward(model)
    assert torch.allclose(model.backbone.w.grad, torch.tensor(expected))
    # Own layers get their own gradient; values are those of the plain losses.
    assert [t.own.grad.item() for t in model.tasks.values()] == [6., 6.]
    plain = model_of([a, b])
    assert {k: v.item() for k, v in losses.items()} == {k: v.item()
                                                       for k, v in backward(plain).items()}


def test_pcgrad_scales_with_the_loss():
    """M9: as accumulation and a gradient scaler want it, which sees what overflows."""
    gradients = {}
    for scale in (1., 1 / 3, 2.**16, 3e38):
        model = model_of([[1., 0.], [-1., 1.]], weighting='pcgrad')
        backward(model, scale)
        gradients[scale] = model.backbone.w.grad
    assert gradients[1.].tolist() == [.5, 1.5]
    for scale in (1 / 3, 2.**16):
        torch.testing.assert_close(gradients[scale], gradients[1.] * scale)
    assert not gradients[3e38].isfinite().all()


def test_a_scaler_backs_off_from_pcgrads_overflow_and_training_recovers():
    """M9: with a scale of its own every step would be skipped from then on."""
    model = model_of([[1e3, 0.], [-1e3, 1e3]], weighting='pcgrad')
    optimizer = torch.optim.SGD(model.backbone.parameters(), 1e-3)
    scaler, steps = torch.amp.GradScaler('cpu', init_scale=2.**125), []
    for _ in range(20):
        before = model.backbone.w.detach().clone()
        optimizer.zero_grad()
        out = model([torch.zeros(2, 1)], None, mode='loss')
        scaler.scale(model.parse_losses(out)[0]).backward()
        scaler.step(optimizer)
        scaler.update()
        steps.append((before - model.backbone.w.detach()).tolist())
    assert steps[0] == [0., 0.] and scaler.get_scale() < 2.**120
    for step in steps[-5:]:
        assert step == pytest.approx([.5, 1.5], rel=1e-3)


def test_pcgrad_follows_the_definition_for_three_tasks():
    g = torch.randn(3, 50, generator=torch.Generator().manual_seed(1))
    g[1] -= g[0]  # conflicts
    seed = 5
    generator, expected = torch.Generator().manual_seed(seed), []
    for i in range(3):
        pc = g[i].clone()
        for j in torch.randperm(3, generator=generator).tolist():
            if j != i and pc @ g[j] < 0:
                pc = pc - (pc @ g[j]) / (g[j] @ g[j]) * g[j]
        expected.append(pc)
    torch.testing.assert_close(project_conflicting(g, seed), torch.stack(expected))
    assert not torch.allclose(project_conflicting(g, seed), g)


def test_uncertainty_weights_against_the_closed_form():
    # d/ds (exp(-s) L + s / 2) = 0 at s = log 2L, where the sum is 1/2 + log(2L) / 2.
    model = model_of([[1., 0.], [0., 2.]], weighting='uncertainty')
    raw = {f'{k}.loss': out.losses['loss'].item()
           for k, out in model.loss(model.name_views([torch.zeros(2, 1)]), None).items()}
    with torch.no_grad():
        model.log_vars.copy_(torch.tensor([2 * v for v in raw.values()]).log())
    losses = backward(model)
    assert model.log_vars.grad.abs().max() < 1e-6
    for k, (name, value) in enumerate(raw.items()):
        task = f't{k}'
        total = losses[name] + losses[f'{task}.loss_uncertainty']
        assert math.isclose(total.item(), .5 + math.log(2 * value) / 2, rel_tol=1e-6)
        assert math.isclose(losses[f'{task}.weight'].item(), 1 / (2 * value), rel_tol=1e-6)
    # the backbone's gradient is weighted the same
    expected = [1 / (2 * raw['t0.loss']), 2 / (2 * raw['t1.loss'])]
    assert torch.allclose(model.backbone.w.grad, torch.tensor(expected))


@pytest.mark.parametrize('kind', ['MultiTask', 'Rehearsal'])
def test_hooks_see_the_losses_that_uncertainty_weighs(kind):
    """They saw those before it; what is minimised has gradients of other lengths."""
    model = model_of([[1., 0.], [0., 2.]], kind, weighting='uncertainty', loss_weights=dict(t1=3.))
    if kind == 'Rehearsal':
        model.set_stage(1)
    with torch.no_grad():
        model.log_vars.copy_(torch.tensor([2., -1.]))
    seen = []
    model.on_outputs = lambda outputs: seen.append(
        flat_gradients(by_task(outputs), model.backbone).norm(dim=1).tolist())
    backward(model)
    assert seen == [pytest.approx([math.exp(-2), 2 * 3 * math.exp(1)])]


def test_pcgrad_of_real_tasks_is_the_sum_where_nothing_conflicts(scope):
    def gradient(weighting):
        torch.manual_seed(0)
        model = MODELS.build(dict(
            type='multissl_mm.MultiTask', backbone=tiny.backbone(), weighting=weighting,
            tasks=[dict(tiny.moco_task(), name='a'), dict(tiny.moco_task(), name='b')])).train()
        model.init_weights()
        model.tasks['b'].load_state_dict(model.tasks['a'].state_dict())
        torch.manual_seed(1)
        losses = model([torch.randn(8, 3, 32, 32) for _ in range(2)], None, mode='loss').losses
        sum(losses.values()).backward()
        return {k: p.grad for k, p in model.named_parameters() if p.grad is not None}

    torch.testing.assert_close(gradient('pcgrad'), gradient('fixed'), atol=1e-6, rtol=1e-4)


def test_a_task_that_is_no_number_is_blamed_alone():
    model = model_of([[1., 0.], [float('nan'), 1.]], weighting='pcgrad')
    losses = backward(model)
    assert losses['t0.loss'].isfinite() and not losses['t1.loss'].isfinite()
    assert not model.backbone.w.grad.isfinite().all()  # so that mixed precision skips the step


@pytest.mark.parametrize('weighting', ['fixed', 'uncertainty', 'pcgrad'])
def test_rehearsal_is_multi_task_of_the_tasks_so_far(weighting):
    gradients, weights = [[1., 0.], [-1., 1.], [0., 3.]], dict(t0=.5)
    model = model_of(gradients, 'Rehearsal', weighting=weighting, loss_weights=weights)
    for stage in range(3):
        model.zero_grad()
        model.set_stage(stage)
        of_them = {name: w for name, w in weights.items() if int(name[1:]) <= stage}
        reference = model_of(gradients[:stage + 1], weighting=weighting, loss_weights=of_them)
        losses, expected = backward(model), backward(reference)
        assert {k: v.item() for k, v in losses.items()} == {
            k: v.item() for k, v in expected.items()}
        assert torch.equal(model.backbone.w.grad, reference.backbone.w.grad)
        assert [task.own.grad is not None for task in model.tasks.values()] == [
            k <= stage for k in range(3)]


@pytest.mark.slow
def test_pcgrad_and_compilation(scope):
    """With torch's default backend, which frees what a second backward pass would need."""
    model = MODELS.build(dict(
        type='multissl_mm.MultiTask', backbone=tiny.backbone(), weighting='pcgrad', compile=True,
        tasks=[dict(tiny.moco_task(), name='a'), dict(tiny.densecl_task(), name='b')])).train()
    model.init_weights()
    losses = model([torch.randn(8, 3, 32, 32) for _ in range(2)], None, mode='loss').losses
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_unknown_weighting():
    with pytest.raises(MultiSSLError, match='fixed, uncertainty, pcgrad'):
        model_of([[1., 0.]], weighting='magic')
