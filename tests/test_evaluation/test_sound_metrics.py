"""Metrics of the downstream tasks of sound, against other libraries and plain loops."""
from itertools import combinations

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from scipy.signal import hilbert
from scipy.signal import stft as scipy_stft
from sklearn.metrics import average_precision_score, confusion_matrix
from torch.nn.functional import normalize, one_hot
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from multissl_mm.errors import MultiSSLError
from multissl_mm.evaluation.sound_metrics import (
    RetrievalMetric,
    SemanticMetric,
    SuperResolutionMetric,
    constant_ious,
    envelope,
    envelope_distance,
    retrieval,
    stft_distance,
)
from multissl_mm.evaluation.sound_metrics.retrieval import QUERIES
from multissl_mm.utils.spectra import log_cells, power

STFT = dict(n_fft=32, win_length=24, hop_length=8)
NAMES = ('error', 'spectrum_error', 'stft', 'envelope')


def evaluated(metric, samples):
    """As a run does, in two batches."""
    metric.process({}, samples[:1])
    metric.process({}, samples[1:])
    return metric.compute_metrics(metric.results)


# ---------------------------------------------------------------------- semantic prediction

def maps(labels=5, samples=3):
    """Random maps; the last label is predicted, but never true."""
    torch.manual_seed(0)
    target = torch.randint(labels - 1, (samples, 6, 8))
    moves = (target > 0) & (torch.rand(target.shape) < 0.5)
    return [dict(scores=s, semantics=t, restricted=m)
            for s, t, m in zip(torch.rand(samples, labels, 6, 8), target, moves)]


def sklearn_ious(samples, counted):
    target = torch.cat([s['semantics'][c] for s, c in zip(samples, counted)])
    predicted = torch.cat([s['scores'].argmax(0)[c] for s, c in zip(samples, counted)])
    pixels = confusion_matrix(target, predicted, labels=range(5))
    return [pixels[k, k] / (pixels[k].sum() + pixels[:, k].sum() - pixels[k, k])
            for k in range(1, 4)]


def test_ious_are_those_of_a_confusion_matrix():
    samples = maps()
    found = evaluated(SemanticMetric(classes='abcd', bins=4), samples)
    every = sklearn_ious(samples, [torch.ones(6, 8, dtype=torch.bool)] * 3)
    restricted = sklearn_ious(samples, [s['restricted'] for s in samples])
    assert found['mIoU'] == pytest.approx(100 * np.mean(every), abs=1e-6)
    assert found['mIoU_restricted'] == pytest.approx(100 * np.mean(restricted), abs=1e-6)
    for name, iou in zip('abc', every):
        assert found[f'IoU_{name}'] == pytest.approx(100 * iou, abs=1e-6)
    assert (samples[0]['scores'].argmax(0) == 4).any() and np.isnan(found['IoU_d'])


def test_false_positives_on_nothing_count_but_not_in_the_restricted_one():
    target = torch.tensor([[1, 1, 2, 2, 0, 0, 0, 0]] * 2)
    predicted = torch.tensor([[1, 1, 2, 2, 1, 1, 0, 0]] * 2)  # of the first class twice as many
    for labels, mean in ((target, 100), (predicted, 75)):
        sample = dict(scores=one_hot(labels, 3).permute(2, 0, 1), semantics=target,
                      restricted=target > 0)
        found = evaluated(SemanticMetric(classes='ab', bins=4), [sample])
        assert found['mIoU'] == pytest.approx(mean)
        assert found['mIoU_restricted'] == pytest.approx(100)
    del sample['restricted']
    assert 'mIoU_restricted' not in evaluated(SemanticMetric(classes='ab', bins=4), [sample])


def iou_of(region, target):
    """Of one region (H, W) for all samples (N, H, W)."""
    return ((target & region).sum() / (target | region).sum()).item()


def test_no_constant_map_is_better_than_constant_ious():
    torch.manual_seed(0)
    often = torch.rand(1, 3, 4, 5) ** 2
    target = torch.rand(6, 3, 4, 5) < often
    best = constant_ious(target)
    for _ in range(200):
        region = torch.rand(4, 5) < torch.rand(())
        for k in range(3):
            assert iou_of(region, target[:, k]) <= best[k] + 1e-6


def test_constant_ious_by_all_regions():
    torch.manual_seed(0)
    target = torch.rand(5, 3, 2, 4) < torch.rand(1, 3, 2, 4)
    target[:, 2] = False
    best = constant_ious(target)
    regions = [torch.isin(torch.arange(8), torch.tensor(chosen)).view(2, 4)
               for size in range(1, 9) for chosen in combinations(range(8), size)]
    assert len(regions) == 255 and np.isnan(best[2])
    for k in range(2):
        assert best[k] == pytest.approx(max(iou_of(r, target[:, k]) for r in regions), abs=1e-6)
    labels = target[:, 0].long()
    samples = [dict(scores=torch.rand(2, 2, 4), semantics=t) for t in labels]
    found = evaluated(SemanticMetric(classes='a', bins=4), samples)
    assert found['constant'] == pytest.approx(100 * best[0])


def test_average_precision_is_that_of_sklearn():
    samples = maps()
    found = evaluated(SemanticMetric(classes='abcd', bins=4, least=0.3), samples)
    every = []
    for k in (1, 2, 3):  # bins of 6 x 2 pixels
        there = [(s['semantics'][:, 2 * b:2 * b + 2] == k).float().mean().item() >= 0.3
                 for s in samples for b in range(4)]
        scores = [s['scores'][k, :, 2 * b:2 * b + 2].mean().item()
                  for s in samples for b in range(4)]
        assert 0 < sum(there) < 12
        every.append(average_precision_score(there, scores))
    assert found['mAP'] == pytest.approx(100 * np.mean(every), abs=1e-6)


def test_average_precision_by_hand():
    # one class covers 1, 1/2, 1/4 and nothing of four azimuths of 2 x 2 pixels
    target = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0, 0, 0]])

    def precision(azimuths, least):
        score = torch.tensor(azimuths).repeat_interleave(2).expand(2, 8)
        sample = dict(scores=torch.stack([1 - score, score]), semantics=target)
        return evaluated(SemanticMetric(classes='a', bins=4, least=least), [sample])['mAP']

    assert precision([.9, .8, .7, .1], least=1 / 4) == pytest.approx(100)
    assert precision([.8, .7, .9, .1], least=1 / 4) == pytest.approx(100)
    assert precision([.8, .7, .9, .1], least=1 / 2) == pytest.approx(100 * (1 / 2 + 2 / 3) / 2)
    assert precision([.8, .7, .9, .1], least=1.) == pytest.approx(50)
    assert precision([.5, .5, .5, .5], least=1 / 2) == pytest.approx(50)  # knows nothing


def test_a_perfect_predictor_gets_everything():
    torch.manual_seed(0)
    target = torch.randint(4, (3, 4, 8))
    samples = [dict(scores=one_hot(t, 4).permute(2, 0, 1).float(), semantics=t) for t in target]
    found = evaluated(SemanticMetric(classes='abc', bins=8), samples)
    assert found['mIoU'] == found['IoU_b'] == 100 and found['mAP'] == pytest.approx(100)
    assert found['constant'] < 100


# ---------------------------------------------------------------------- video retrieval

def by_loop(similar, hits, candidates):
    """Definitions, query by query."""
    ranks, chances = [], []
    for row, right, there in zip(similar.tolist(), hits.tolist(), candidates.tolist()):
        gallery = [i for i in range(len(row)) if there[i]]
        order = sorted(gallery, key=lambda i: (-row[i], right[i]))  # wrong ones first where equal
        if any(right[i] for i in gallery):
            ranks.append(1 + min(k for k, i in enumerate(order) if right[i]))
            chances.append(np.mean([right[i] for i in gallery]))
    return dict(top1=100 * np.mean([r == 1 for r in ranks]),
                top5=100 * np.mean([r <= 5 for r in ranks]),
                median_rank=np.median(ranks), chance=100 * np.mean(chances))


def segments():
    """Scenes and starts; some times twice, two scenes with one segment."""
    torch.manual_seed(0)
    return torch.tensor([0] * 6 + [1] * 9 + [2] * 7 + [3, 4]), torch.arange(24) // 2


@pytest.mark.parametrize('ties', [False, True])
def test_retrieval_by_a_loop(ties):
    scene, start = segments()
    similar = torch.randint(9, (24, 24)).float() if ties else torch.randn(24, 24)
    same, itself = scene[:, None] == scene, torch.eye(24, dtype=torch.bool)
    among_sounds = retrieval(similar, same & ~itself, ~itself)
    assert among_sounds == pytest.approx(by_loop(similar, same & ~itself, ~itself), rel=1e-6)
    same_time = same & (start[:, None] == start)
    among_videos = retrieval(similar, same_time)
    everything = torch.ones_like(same)
    assert among_videos == pytest.approx(by_loop(similar, same_time, everything), rel=1e-6)
    assert among_videos['top1'] < among_videos['top5'] < 100  # or they would tell nothing


def test_ties_count_against_the_query():
    hits = torch.eye(8, dtype=torch.bool)
    assert retrieval(torch.ones(8, 8), hits) == dict(top1=0, top5=0, median_rank=8, chance=12.5)
    better = torch.ones(8, 8) + 1e-3 * hits
    assert retrieval(better, hits) == dict(top1=100, top5=100, median_rank=1, chance=12.5)


def test_what_is_no_candidate_is_neither_hit_nor_miss():
    similar = torch.tensor([[9., 8., 7., 6., 5.]])
    hits = torch.tensor([[True, False, False, True, False]])
    candidates = torch.tensor([[False, False, True, True, True]])
    found = retrieval(similar, hits, candidates)  # of the three the second
    assert found == pytest.approx(dict(top1=0, top5=100, median_rank=2, chance=100 / 3))
    candidates[0, 2] = False
    assert retrieval(similar, hits, candidates)['median_rank'] == 1
    assert retrieval(similar, hits)['chance'] == pytest.approx(40)


def test_no_right_answer_at_all():
    itself = torch.eye(3, dtype=torch.bool)
    with pytest.raises(MultiSSLError, match='no query of the retrieval has a right answer'):
        retrieval(torch.randn(3, 3), itself, ~itself)


def test_similarities_that_are_not_numbers():
    similar, itself = torch.randn(3, 3), torch.eye(3, dtype=torch.bool)
    similar[1, 2] = float('nan')
    with pytest.raises(MultiSSLError, match='not finite.*diverge'):
        retrieval(similar, itself)
    assert retrieval(similar, itself, itself)['top1'] == 100  # nobody asks for it


def test_retrieval_metric():
    scene, start = segments()
    own, sound, video = (normalize(torch.randn(24, width), dim=1) for width in (5, 6, 6))
    samples = [dict(representation=own[i], sound=sound[i], video=video[i], scene=int(scene[i]),
                    start=int(start[i]) / 4, turn=0) for i in range(24)]
    found = evaluated(RetrievalMetric(), samples)
    same, itself = scene[:, None] == scene, torch.eye(24, dtype=torch.bool)
    cosines = own.double().numpy() @ own.double().numpy().T
    expected = {f'sound_{k}': v for k, v in by_loop(cosines, same & ~itself, ~itself).items()}
    cosines = sound.double().numpy() @ video.double().numpy().T
    expected.update({f'video_{k}': v for k, v in by_loop(
        cosines, same & (start[:, None] == start), torch.ones_like(same)).items()})
    assert found == pytest.approx(expected, rel=1e-6)


class LargestTensor(TorchDispatchMode):
    """Of all that is computed, in bytes."""
    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.size = max([self.size, *(x.numel() * x.element_size() for x in tree_leaves(out)
                                      if isinstance(x, torch.Tensor))])
        return out


def test_retrieval_in_blocks():
    """The same to the last digit, without all pairs at once (5 GB of 10,000 segments)."""
    count, seed = 2000, torch.Generator().manual_seed(0)
    scene, start = torch.arange(count) // 20, torch.arange(count) % 20 // 2
    own, sound, video = (normalize(torch.randn(count, 8, generator=seed), dim=1) for _ in range(3))
    samples = [dict(representation=own[i], sound=sound[i], video=video[i], scene=int(scene[i]),
                    start=int(start[i])) for i in range(count)]
    metric = RetrievalMetric()
    metric.process({}, samples)
    with LargestTensor() as largest:
        found = metric.compute_metrics(metric.results)
    assert largest.size <= QUERIES * count * 8  # in double precision
    same, itself = scene[:, None] == scene, torch.eye(count, dtype=torch.bool)
    expected = dict(
        sound=retrieval(own @ own.t(), same & ~itself, ~itself),
        video=retrieval(sound @ video.t(), same & (start[:, None] == start)))
    assert found == pytest.approx({f'{gallery}_{k}': v for gallery, values in expected.items()
                                   for k, v in values.items()}, rel=1e-9)


def test_equal_representations_retrieve_nothing():
    same = torch.tensor([1., 0.])
    samples = [dict(representation=same, sound=same, video=same, scene=i // 4, start=i % 4)
               for i in range(12)]
    found = evaluated(RetrievalMetric(), samples)
    assert found['sound_top1'] == found['sound_top5'] == found['video_top1'] == 0
    assert found['sound_median_rank'] == 9 and found['video_median_rank'] == 12


def test_retrieval_metric_names_what_is_missing():
    sample = dict(representation=torch.zeros(2), sound=torch.zeros(2), scene=1)
    with pytest.raises(MultiSSLError, match='RetrievalMetric needs start, video of every sample'):
        RetrievalMetric().process({}, [sample])


# ---------------------------------------------------------------------- super resolution

def spectrograms(waves):
    """As the preprocessor makes them, (..., S) to (..., F, T)."""
    flat = torch.stft(waves.flatten(0, -2), window=torch.hann_window(24), return_complex=True,
                      **STFT)
    return flat.view(*waves.shape[:-1], *flat.shape[1:])


def sounds(samples=4):
    """Predicted and true waveforms (N, 3, 2, S), and the pairs that were heard (N, 2, S)."""
    torch.manual_seed(0)
    loud = torch.rand(samples, 3, 2, 1) + 0.2
    return (torch.randn(samples, 3, 2, 160), torch.randn(samples, 3, 2, 160) * loud,
            torch.randn(samples, 2, 160))


def waveforms(stft):
    """As the preprocessor makes them, (..., F, T) to (..., S)."""
    flat = torch.istft(stft.flatten(0, -3), window=torch.hann_window(24), **STFT)
    return flat.view(*stft.shape[:-2], -1)


def s3r(predicted, target, heard):
    batch = dict(stft=predicted, turned_stft=target, clip_stft=heard, waves=waveforms(predicted),
                 turned_waves=waveforms(target), clip_waves=waveforms(heard))
    samples = [dict(zip(batch, values)) for values in zip(*batch.values())]
    return evaluated(SuperResolutionMetric(cells=4), samples)


@pytest.mark.parametrize('cells', [1, 3, 5])
def test_log_cells_by_a_loop(cells):
    torch.manual_seed(0)
    spectra = torch.randn(2, 3, 4, 10, dtype=torch.complex128)
    spectra[0, 0, 0] *= 1e-3
    found = log_cells(power(spectra), cells, 1e-5)
    assert found.shape == (2, 3, 4, cells) and (found == np.log(1e-5)).any()
    for index in np.ndindex(2, 3, 4):
        for i in range(cells):  # where cells are no divisor, they share frames
            first, last = int(np.floor(10 * i / cells)), int(np.ceil(10 * (i + 1) / cells))
            mean = np.mean(np.abs(spectra[index].numpy()[first:last])**2)
            assert found[index][i].item() == pytest.approx(np.log(max(mean, 1e-5)), abs=1e-6)


@pytest.mark.parametrize('size', [64, 65])
def test_distances_are_those_of_scipy(size):
    rng = np.random.default_rng(0)
    predicted, target = rng.standard_normal((2, 3, 2, size))
    envelopes = [np.abs(hilbert(waves)) for waves in (predicted, target)]
    assert np.allclose(envelope(torch.from_numpy(predicted)), envelopes[0], rtol=0, atol=1e-6)
    found = envelope_distance(torch.from_numpy(predicted), torch.from_numpy(target))
    expected = np.sqrt(np.mean((envelopes[0] - envelopes[1])**2, axis=-1)).sum(-1)
    assert np.allclose(found, expected, rtol=0, atol=1e-6)
    predicted, target = (scipy_stft(waves, nperseg=16)[2] for waves in (predicted, target))
    found = stft_distance(torch.from_numpy(predicted), torch.from_numpy(target))
    expected = [sum(np.linalg.norm(predicted[d, e] - target[d, e]) for e in (0, 1))
                for d in range(3)]
    assert np.allclose(found, expected, rtol=0, atol=1e-6)


def test_super_resolution_by_definition():
    predicted, target, heard = sounds()
    found = s3r(*map(spectrograms, (predicted, target, heard)))
    expected = {}
    for name, guess in (('', predicted), ('copy_', heard[:, None].expand_as(target))):
        ours, there = (spectrograms(w).to(torch.complex128) for w in (guess, target))
        for key, cells in (('error', 4), ('spectrum_error', 1)):
            logs = [log_cells(power(x), cells, 1e-5).numpy() for x in (ours, there)]
            spread = logs[1].var(axis=(0, -1)).mean()  # over samples and spans of time
            expected[f'{name}{key}'] = np.mean((logs[0] - logs[1])**2) / spread
        expected[f'{name}stft'] = stft_distance(ours, there).mean().item()
        envelopes = [np.abs(hilbert(w.double().numpy())) for w in (guess, target)]
        rmse = np.sqrt(np.mean((envelopes[0] - envelopes[1])**2, axis=-1))
        expected[f'{name}envelope'] = rmse.sum(-1).mean()
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_perfect_prediction_has_no_error():
    _, target, heard = map(spectrograms, sounds())
    found = s3r(target, target, heard)
    assert all(found[name] == 0 and found[f'copy_{name}'] > 0.1 for name in NAMES)


def test_without_variance_there_is_no_share_of_it():
    predicted, target, heard = map(spectrograms, sounds())
    one = s3r(predicted[:1], target[:1], heard[:1])
    assert np.isnan(one['spectrum_error']) and np.isfinite(one['error'])
    again = s3r(*(x[:1].repeat(3, *[1] * (x.dim() - 1)) for x in (predicted, target, heard)))
    assert np.isnan(again['spectrum_error'])
    silence = s3r(predicted, torch.zeros_like(target), heard)
    assert all(np.isnan(silence[f'{name}{key}']) for name in ('', 'copy_')
               for key in ('error', 'spectrum_error'))


def test_copies_are_what_predicting_the_input_gives():
    predicted, target, heard = map(spectrograms, sounds())
    found = s3r(heard[:, None].expand_as(target), target, heard)
    other = s3r(predicted, target, heard)
    for name in NAMES:
        assert found[name] == found[f'copy_{name}'] == other[f'copy_{name}'] != other[name]


def test_the_mean_predictor_has_an_error_of_1():
    torch.manual_seed(0)
    logs = torch.randn(5, 3, 2, 17, 1)
    phases = torch.polar(torch.ones(5, 3, 2, 17, 20), 6 * torch.rand(5, 3, 2, 17, 20))
    heard = torch.randn(5, 2, 17, 20, dtype=torch.complex64)
    mean = logs.mean(0, keepdim=True)
    found = s3r(phases * (mean / 2).exp(), phases * (logs / 2).exp(), heard)
    assert found['error'] == pytest.approx(1, abs=1e-4)
    assert found['spectrum_error'] == pytest.approx(1, abs=1e-4)
    # each direction, ear and frequency has its own mean
    found = s3r(phases * (mean.mean((1, 2, 3), keepdim=True) / 2).exp(),
                phases * (logs / 2).exp(), heard)
    assert found['error'] > 1.1
    # power that changes from one span of time to the next is part of the variance
    logs = torch.randn(5, 3, 2, 17, 4)
    mean = logs.mean((0, 4), keepdim=True)[..., 0]
    found = s3r(phases * (mean / 2).exp()[..., None],
                phases * (logs / 2).exp().repeat_interleave(5, -1), heard)
    assert found['error'] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('hop', [10, 16, 32])
def test_envelopes_are_those_of_the_sounds_whatever_the_hop(scope, hop):
    """E10: the window was the metric's own; with another hop envelopes were silently wrong."""
    torch.manual_seed(0)
    ear = dict(type='multissl_mm.BinauralEncoder', channels=(4, 4, 8, 8, 8))
    model = MODELS.build(dict(
        type='multissl_mm.SpatialSuperResolution', backbone=ear,
        decoder=dict(type='multissl_mm.SpectrogramDecoder', channels=(8, 8, 8, 8)),
        data_preprocessor=dict(type='multissl_mm.SoundPreprocessor', n_fft=64, win_length=64,
                               hop_length=32, spectra=('clip', 'turned'), spectra_hop=hop))).eval()
    clip, turned = torch.randn(2, 2, 3200), torch.randn(2, 3, 2, 3200)
    batch = model.data_preprocessor(dict(inputs=dict(clip=clip, turned=turned)))['inputs']
    # A config that an older run has left names a window, which no longer matters.
    metric = SuperResolutionMetric(n_fft=256, win_length=256, hop_length=160)
    found = evaluated(metric, model(batch, mode='predict'))
    scale = batch['scale'].view(2, 1, 1, 1)
    expected = envelope_distance(scale * clip[:, None], scale * turned).mean().item()
    assert found['copy_envelope'] == pytest.approx(expected, rel=.01)
    assert found['envelope'] == pytest.approx(expected, rel=.01)  # the decoder starts as a copy


@pytest.mark.parametrize('metric', [SemanticMetric, RetrievalMetric, SuperResolutionMetric])
def test_no_sample_at_all(metric):
    """M13: a sentence, not an error of whatever is done with an empty list."""
    with pytest.raises(MultiSSLError, match=f'{metric.__name__} was given no sample'):
        metric().compute_metrics([])


def test_metrics_name_what_is_missing():
    with pytest.raises(MultiSSLError, match='SuperResolutionMetric needs clip_stft, clip_waves'):
        SuperResolutionMetric().process({}, [dict(stft=torch.zeros(3, 2, 4, 4))])
