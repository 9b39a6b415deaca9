"""Scores of the sound tasks on held-out samples."""
import pytest
import torch
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.pretext_scores import pretext_scores

VIDEO = dict(type='multissl_mm.PanoramaEncoder', in_channels=4, channels=(4, 8),
             strides=((2, 2), (2, 2)))
TASKS = [
    dict(name='a', type='multissl_mm.SpatialAlignmentTask', in_channels=16, video=VIDEO),
    dict(name='b', type='multissl_mm.ForegroundAlignmentTask', in_channels=16, video=VIDEO,
         score_among=3),
    dict(name='c', type='multissl_mm.TemporalGapTask', in_channels=16)
]
N = 12


@pytest.fixture
def model(scope):
    torch.manual_seed(0)
    model = MODELS.build(dict(
        type='multissl_mm.MultiTask', tasks=TASKS,
        backbone=dict(type='multissl_mm.BinauralEncoder', channels=(4, 4, 8)),
        data_preprocessor=dict(type='multissl_mm.SoundPreprocessor', n_fft=64, win_length=64,
                               hop_length=20)))
    model.init_weights()
    return model


def whole_set():
    torch.manual_seed(1)
    return dict(clip=torch.randn(N, 2, 400), other=torch.randn(N, 2, 400), gap=torch.rand(N),
                flow=torch.randn(N, 2, 2, 8, 64), rotation=torch.randint(8, (N, )),
                scene=torch.arange(N) // 4)


def batches(size):
    inputs = whole_set()
    return [dict(inputs={k: v[i:i + size] for k, v in inputs.items()},
                 data_samples=[BaseDataElement() for _ in range(size)])
            for i in range(0, N, size)]


def test_scores_are_those_of_the_whole_set(model):
    scores = pretext_scores(model, batches(12))
    assert {k: set(v) for k, v in scores.items()} == {
        'a': {'top1'}, 'b': {'top1'}, 'c': {'correlation'}}
    for size in (5, 3):  # scenes of 4 are cut by batches
        few = pretext_scores(model, batches(size))
        assert few['a'] == scores['a'] and few['b'] == scores['b']
        assert few['c']['correlation'] == pytest.approx(scores['c']['correlation'], abs=1e-4)


def test_scores_by_hand(model):
    scores = pretext_scores(model, batches(4))
    model.eval()
    inputs = model.data_preprocessor(batches(12)[0], False)['inputs']
    batch = model.batch(inputs, None, list(model.tasks.values()))
    a, b, c = (model.tasks[name].responses(batch) for name in 'abc')
    assert scores['a']['top1'] == pytest.approx(
        (a['logits'].argmax(1) == inputs['rotation']).float().mean().item())
    hits = 0
    for i in range(N):  # of the 4 segments of a scene the first 3, or for the last one the last 3
        first = i // 4 * 4 + (i % 4 == 3)
        hits += int((b['video'][first:first + 3] @ b['sound'][i]).argmax()) == i - first
    assert scores['b']['top1'] == pytest.approx(hits / N)
    both = torch.stack([c['gap'], inputs['gap']])
    assert scores['c']['correlation'] == pytest.approx(torch.corrcoef(both)[0, 1].item(), abs=1e-4)


def test_nothing_changes_and_names_choose(model):
    before = {k: v.clone() for k, v in model.state_dict().items()}
    data = batches(4)
    state = torch.get_rng_state()
    assert set(pretext_scores(model, data, ['c'])) == {'c'}
    assert model.training and torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_errors(model):
    with pytest.raises(MultiSSLError, match='no batch to score'):
        pretext_scores(model, [])
    with pytest.raises(MultiSSLError, match="has no task 'd'; it has a, b, c"):
        pretext_scores(model, batches(4), ['d'])
