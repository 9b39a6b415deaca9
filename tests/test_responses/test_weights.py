"""How much old tasks count: numbers, falling ones, and such that keep a ratio of gradients."""
from math import cos, pi

import pytest
import tiny
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from runs import train_here

from multissl_mm.errors import MultiSSLError
from multissl_mm.models import TaskOutput
from multissl_mm.responses.weights import FallingWeights, FixedWeights, RatioWeights, tell_stage
from multissl_mm.utils.model import flat_gradients, total


def outputs(**losses):
    return {name: TaskOutput(dict(loss=loss)) for name, loss in losses.items()}


def losses(found):
    return {name: output.losses['loss'].item() for name, output in found.items()}


def test_fixed():
    kept = outputs(a=torch.tensor(2.), b=torch.tensor(3.))
    assert losses(FixedWeights('ab', dict(b=4.))(None, kept, None)) == dict(a=2., b=12.)
    assert losses(FixedWeights('ab', 5.)(None, kept, None)) == dict(a=10., b=15.)
    with pytest.raises(MultiSSLError, match=r"model.distill_weights names \['c'\]"):
        FixedWeights('ab', dict(c=1.))


@pytest.mark.parametrize('shape', ['linear', 'cosine'])
def test_falling_over_a_stage(shape):
    hub = MessageHub.get_instance(f'falling_{shape}')
    tell_stage(hub, 100, 300)
    weights = FallingWeights('a', start=5., end=1., shape=shape)
    for iteration, done in ((100, 0.), (150, .25), (200, .5), (300, 1.)):
        hub.update_info('iter', iteration)
        expected = 5 - 4 * (done if shape == 'linear' else (1 - cos(pi * done)) / 2)
        found = losses(weights(None, outputs(a=torch.tensor(2.)), None))
        assert found['a'] == pytest.approx(2 * expected)


def test_falling_needs_stages():
    MessageHub.get_instance('no_stages')
    with pytest.raises(MultiSSLError, match='no multissl_mm.ILStageHook leads'):
        FallingWeights('a').current()
    with pytest.raises(MultiSSLError, match="shape is 'steps'"):
        FallingWeights('a', shape='steps')


def test_falling_in_a_run(images, tmp_path):
    """A later stage starts anew: it has 3 steps an epoch, after one that had 4."""
    cfg = tiny.tiny_config('il_mocov2_densecl', images, tmp_path, model__distill_weights=dict(
        type='multissl_mm.FallingWeights', start=1., end=.2, shape='linear'))
    cfg.default_hooks.stage = dict(type='multissl_mm.ILStageHook', batch_sizes=[6, 8])
    found = []

    def watch(runner):
        weights = runner.model.distill_weights
        current = weights.current
        weights.current = lambda: found.append(current()) or found[-1]

    train_here(cfg, prepare=watch)
    assert found == pytest.approx([1 - .8 * i / 6 for i in range(6)])


def model_in_stage_2(**weights):
    model = MODELS.build(dict(
        type='multissl_mm.IncrementalLearning', backbone=tiny.backbone(),
        tasks=[dict(tiny.moco_task(), name='m'), dict(tiny.densecl_task(), name='d')],
        distill_weights=dict(type='multissl_mm.RatioWeights', **weights)))
    torch.manual_seed(0)
    model.init_weights()
    model.finish_task('m')
    model.set_stage(1)
    model.start_task('d')
    return model


VIEWS = [torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in range(2)]


def ratio_of(model):
    """Of the lengths of the weighted gradients of old and new task, as a step has them."""
    found = {}
    model.on_outputs = lambda out: found.update(zip(out, flat_gradients(
        {k: total(o.losses.values()) for k, o in out.items()}, model.backbone).norm(dim=1)))
    out = model(VIEWS, None, mode='loss')
    model.on_outputs = None
    return (found['m'] / found['d']).item(), out.metrics['m.weight'].item()


def test_ratio_by_hand(scope):
    model = model_in_stage_2(ratio=.5, interval=3)
    ratio, weight = ratio_of(model)
    assert ratio == pytest.approx(.5, rel=1e-3) and weight not in (1., 100.)
    model.tasks['d'].head.temperature = .07  # now it would be another
    for _ in range(2):
        moved, same = ratio_of(model)
        assert same == weight and moved != pytest.approx(.5, rel=.05)
    ratio, other = ratio_of(model)
    assert ratio == pytest.approx(.5, rel=1e-3) and other != weight
    # Another model goes on where this one was: it does not measure before two more steps.
    resumed = model_in_stage_2(ratio=.5, interval=3)
    resumed.load_state_dict(model.state_dict())
    assert ratio_of(resumed)[1] == pytest.approx(other)
    assert int(resumed.distill_weights.steps) == 5
    # Looks do not count, and a new stage knows nothing.
    with torch.no_grad():
        model(VIEWS, None, mode='loss')
    model.eval()(VIEWS, None, mode='loss')
    assert int(model.distill_weights.steps) == 4
    model.start_task('d')
    assert int(model.distill_weights.steps) == 0
    assert model.distill_weights.values.tolist() == [1.]


def test_ratio_where_nothing_pulls(scope):
    """Neither too large a weight nor one that is no number."""
    weights, weight = RatioWeights('ab', dict(a=2.), limit=7.).train(), torch.ones(2, 1)
    backbone = torch.nn.Linear(2, 1, bias=False)

    def find(a, b):
        y = backbone(weight.t()).sum()
        return losses(weights(outputs(new=y)['new'], outputs(a=a * y, b=b * y), backbone))

    y = backbone(weight.t()).sum().item()
    assert find(4., .01) == dict(a=pytest.approx(2 * y), b=pytest.approx(7 * .01 * y))
    weights.reset()
    find(0., float('inf'))
    assert weights.values.tolist() == [7., 1.]
    with pytest.raises(MultiSSLError, match='interval 0'):
        RatioWeights('a', interval=0)
