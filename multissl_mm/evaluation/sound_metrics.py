"""Metrics of the downstream tasks of sound (section 5.1)."""
from typing import Any, Dict, Iterable, List, Optional, Sequence

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from ..errors import MultiSSLError
from ..registry import METRICS
from ..utils.spectra import log_cells, power

CLASSES = ('bus', 'car', 'tram', 'motorcycle', 'truck')


@METRICS.register_module()
class SemanticMetric(BaseMetric):
    """Semantic prediction (SP): mean IoU over the classes, in percent.

    - ``mIoU``: over all pixels; what is said where there is nothing counts against a class.
    - ``mIoU_restricted``: as the paper's predecessor counts, only pixels of a class where something
      moves (``restricted``), where those of the batch are there.
    - ``mAP``: average precision of finding each class in each of ``bins`` azimuths, by its mean
      score there; needs no threshold, so that it tells weak models apart. A class is there if it
      covers at least ``least`` of the pixels: one that covers less is far away, and hardly heard.
    - ``constant``: an upper bound of ``mIoU`` (not of the restricted one) of any map that is the
      same for all sounds: for each class alone the best of all such regions, chosen on these very
      samples.

    Classes that the samples do not have are left out of the means.

    Args:
        classes (sequence[str]): Names of the labels from 1.
        bins (int): Of azimuth. Defaults to 32.
        least (float): Defaults to 1/8.
    """

    default_prefix = 'sp'

    def __init__(self, classes: Sequence[str] = CLASSES, bins: int = 32, least: float = 1 / 8,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes, self.bins, self.least = tuple(classes), bins, least

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Counts of each sample; ``scores`` (1 + K, H, W) and ``semantics`` (H, W)."""
        count = len(self.classes) + 1
        for sample in data_samples:
            scores, truth = sample['scores'], sample['semantics']
            said = scores.argmax(0)
            regions = torch.stack([truth == k for k in range(1, count)])
            found = dict(pixels=confusion(truth, said, count), truth=regions.cpu().numpy(),
                         azimuth=(in_azimuths(scores[1:], self.bins).cpu(),
                                  in_azimuths(regions, self.bins).cpu() >= self.least - 1e-6))
            if 'restricted' in sample:
                counted = sample['restricted'].bool()
                found['restricted'] = confusion(truth[counted], said[counted], count)
            self.results.append(found)

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """The means, and the IoU of each class."""
        iou = ious(sum(r['pixels'] for r in results))
        metrics = dict(mIoU=_mean(iou))
        if all('restricted' in r for r in results):
            metrics['mIoU_restricted'] = _mean(ious(sum(r['restricted'] for r in results)))
        scores, truth = (torch.stack([r['azimuth'][i] for r in results]) for i in (0, 1))
        metrics['mAP'] = _mean(average_precisions(scores, truth))
        metrics['constant'] = _mean(constant_ious(r['truth'] for r in results))
        metrics.update({f'IoU_{name}': 100 * v for name, v in zip(self.classes, iou)})
        return metrics


def confusion(truth: Tensor, said: Tensor, count: int) -> Tensor:
    """Pixels (count, count) by true label (rows) and predicted one (columns)."""
    return torch.bincount((truth * count + said).flatten(), minlength=count**2).view(
        count, count).cpu()


def ious(pixels: Tensor) -> np.ndarray:
    """IoU of each label from 1, a fraction; NaN for labels that the truth does not have."""
    pixels = pixels.double().numpy()
    both = np.diag(pixels)
    either = pixels.sum(0) + pixels.sum(1) - both
    absent = pixels.sum(1) == 0
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(absent, np.nan, both / either)[1:]


def in_azimuths(maps: Tensor, bins: int) -> Tensor:
    """The mean of each of so many ranges of columns: (K, H, W) to (K, bins)."""
    return torch.nn.functional.adaptive_avg_pool2d(maps.float(), (1, bins))[:, 0]


def average_precisions(scores: Tensor, truth: Tensor) -> np.ndarray:
    """Average precision of each class over samples and azimuths, both (N, K, bins)."""
    from sklearn.metrics import average_precision_score
    return np.array([
        average_precision_score(truth[:, k].flatten(), scores[:, k].flatten())
        if truth[:, k].any() else np.nan for k in range(truth.size(1))])


def constant_ious(truth: Iterable[np.ndarray]) -> np.ndarray:
    """The best IoU that one region for all samples can have, class by class: N x (K, H, W) to (K,).

    A region that contains a pixel gains where more samples have the class there, so the best one
    is all pixels above some frequency, and all frequencies are tried.
    """
    how_often, count = 0., 0
    for sample in truth:  # one by one: all of a data set would not fit into memory
        how_often, count = how_often + np.asarray(sample, np.float64), count + 1
    how_often = -np.sort(-how_often.reshape(len(how_often), -1), axis=1)
    both = how_often.cumsum(1)  # of the regions of 1, 2, ... pixels
    regions = np.arange(1, both.shape[1] + 1) * count
    total = both[:, -1:]
    with np.errstate(invalid='ignore'):
        best = (both / (regions + total - both)).max(1)
    return np.where(total[:, 0] > 0, best, np.nan)


def _mean(values: np.ndarray) -> float:
    return float(100 * np.nanmean(values)) if np.isfinite(values).any() else float('nan')


@METRICS.register_module()
class RetrievalMetric(BaseMetric):
    """Video retrieval (VR): top-1 and top-5 in percent, and the median rank, in two galleries.

    - ``sound_*``: the nearest sounds, by cosine of representations, of all other segments; a hit is
      one of the same video. Nothing is learned for it, and it is what the paper's words
      ("we extract the sound representations from pretrained models ... and measure the top-1
      accuracies") and its numbers (27 % among thousands of segments) fit best: the reported one.
    - ``video_*``: the nearest videos, by cosine of learned embeddings, of all segments; a hit is
      the segment itself, or one that shows the same time of the same video.

    ``*_chance`` is what guessing gives as top-1.
    """

    default_prefix = 'vr'

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """``representation`` (C,), ``sound`` and ``video`` (D,), ``scene`` and ``start``."""
        for sample in data_samples:
            missing = {'representation', 'sound', 'video', 'scene', 'start'} - set(sample)
            if missing:
                raise MultiSSLError(f'RetrievalMetric needs {", ".join(sorted(missing))} of every '
                                    'sample; see PackSound.keys of the pipeline')
            self.results.append({
                k: v.cpu() if isinstance(v, Tensor) else v for k, v in sample.items()
                if k in ('representation', 'sound', 'video', 'scene', 'start')})

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """Of both galleries."""
        def all_of(key: str) -> Tensor:
            return torch.stack([r[key] for r in results])

        scene = torch.tensor([r['scene'] for r in results])
        start = torch.tensor([r['start'] for r in results])
        itself = torch.eye(len(results), dtype=torch.bool)
        same_scene = scene[:, None] == scene
        sounds = all_of('representation') @ all_of('representation').t()
        videos = all_of('sound') @ all_of('video').t()
        same_time = same_scene & (start[:, None] == start)
        return {**_named('sound', retrieval(sounds, same_scene & ~itself, ~itself)),
                **_named('video', retrieval(videos, same_time))}


def _named(gallery: str, metrics: Dict[str, float]) -> Dict[str, float]:
    return {f'{gallery}_{key}': value for key, value in metrics.items()}


def retrieval(similar: Tensor, hits: Tensor, candidates: Optional[Tensor] = None
              ) -> Dict[str, float]:
    """Top-1, top-5 and chance in percent, and the median rank of the first hit (from 1).

    Ties count against the query, so that equal representations retrieve nothing.

    Args:
        similar (Tensor): Queries (rows) with candidates (columns), (Q, G).
        hits (Tensor): Which candidates are right, (Q, G), bool. Queries without any do not count.
        candidates (Tensor, optional): Which candidates a query has, (Q, G), bool; by default all.

    Raises:
        MultiSSLError: If no query has a right candidate.
    """
    candidates = torch.ones_like(hits) if candidates is None else candidates
    asked = (hits & candidates).any(1)
    if not bool(asked.any()):
        raise MultiSSLError('no query of the retrieval has a right answer in its gallery; are '
                            'there at least two segments of a video?')
    similar, hits, candidates = (t[asked] for t in (similar.double(), hits, candidates))
    if not bool(similar[candidates].isfinite().all()):
        raise MultiSSLError('similarities of the retrieval are not finite: the model puts out NaN; '
                            'did its training diverge?')
    best = similar.masked_fill(~(hits & candidates), float('-inf')).max(1, keepdim=True).values
    # Equal vectors may have products that differ in the last bits.
    rank = 1 + ((similar >= best - 1e-6) & candidates & ~hits).sum(1)
    chance = (hits & candidates).sum(1).double() / candidates.sum(1)
    return dict(top1=100 * (rank <= 1).double().mean().item(),
                top5=100 * (rank <= 5).double().mean().item(),
                median_rank=float(np.median(rank.numpy())), chance=100 * chance.mean().item())


@METRICS.register_module()
class SuperResolutionMetric(BaseMetric):
    """Spatial sound super resolution (S3R): errors of the pairs at 90, 180 and 270 degrees.

    - ``error``, the table's column: squared error of log power in every frequency and each of
      ``cells`` spans of time, as a share of its variance (about the mean of each direction, ear and
      frequency over all samples), so that the mean predictor has 1. The paper does not say what
      its error is.
    - ``spectrum_error``: the same with one span, the whole clip.
    - ``stft``: L2 distance of complex spectrograms, summed over ears, averaged over directions
      (Gao and Grauman, 2.5D visual sound).
    - ``envelope``: RMSE of the envelopes of the waveforms, by the Hilbert transform.
    - ``copy_*``: the same where the input pair is the prediction.

    Sounds are those that the preprocessor scaled.

    Args:
        n_fft, win_length, hop_length (int): Of the data preprocessor, for waveforms.
        cells (int): See :func:`log_cells`. Defaults to 8.
        floor (float): Of power. Defaults to 1e-5.
    """

    default_prefix = 's3r'

    def __init__(self, n_fft: int = 512, win_length: int = 400, hop_length: int = 160,
                 cells: int = 8, floor: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spans = dict(error=cells, spectrum_error=1)
        self.window = dict(n_fft=n_fft, win_length=win_length, hop_length=hop_length)
        self.floor = floor

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """``stft``, ``turned_stft`` (3, 2, F, T) and ``clip_stft`` (2, F, T), complex."""
        for sample in data_samples:
            truth = sample['turned_stft']
            own = sample['clip_stft'].unsqueeze(0).expand_as(truth)
            found: Dict[str, Any] = {}
            there = power(truth)
            for key, cells in self.spans.items():
                logs = log_cells(there, cells, self.floor).double()
                found[f'{key} sum'] = logs.mean(-1).float().cpu()
                found[f'{key} squares'] = logs.square().mean(-1).float().cpu()
                for name, said in (('', sample['stft']), ('copy_', own)):
                    differs = log_cells(power(said), cells, self.floor) - logs
                    found[f'{name}{key}'] = differs.square().mean().item()
            for name, said in (('', sample['stft']), ('copy_', own)):
                found[f'{name}stft'] = stft_distance(said, truth).mean().item()
                found[f'{name}envelope'] = envelope_distance(
                    self.waves(said), self.waves(truth)).mean().item()
            self.results.append(found)

    def waves(self, stft: Tensor) -> Tensor:
        """Waveforms (..., S) of spectrograms (..., F, T)."""
        window = torch.hann_window(self.window['win_length'], device=stft.device)
        flat = torch.istft(stft.flatten(0, -3), window=window, **self.window)
        return flat.view(*stft.shape[:-2], -1)

    def compute_metrics(self, results: List[dict]) -> Dict[str, float]:
        """The means over samples."""
        def mean(key: str) -> Any:
            values = (r[key].double() if isinstance(r[key], Tensor) else r[key] for r in results)
            return sum(values) / len(results)

        spread = {key: (mean(f'{key} squares') - mean(f'{key} sum').square()).mean().item()
                  for key in self.spans}
        # One sample, or silence, has no variance to take a share of.
        spread = {key: value or float('nan') for key, value in spread.items()}
        return {f'{name}{key}': mean(f'{name}{key}') / spread.get(key, 1.)
                for name in ('', 'copy_') for key in (*self.spans, 'stft', 'envelope')}


def stft_distance(said: Tensor, truth: Tensor) -> Tensor:
    """L2 distance of complex spectrograms (..., 2, F, T), summed over the two ears."""
    return torch.linalg.vector_norm(said - truth, dim=(-2, -1)).sum(-1)


def envelope(waves: Tensor) -> Tensor:
    """Magnitude of the analytic signal of (..., S), by the Hilbert transform."""
    size = waves.size(-1)
    gain = torch.zeros(size, dtype=waves.dtype, device=waves.device)
    gain[0], gain[1:(size + 1) // 2] = 1, 2
    if size % 2 == 0:
        gain[size // 2] = 1
    return torch.fft.ifft(torch.fft.fft(waves) * gain).abs()


def envelope_distance(said: Tensor, truth: Tensor) -> Tensor:
    """RMSE of envelopes of (..., 2, S), summed over the two ears."""
    return (envelope(said) - envelope(truth)).square().mean(-1).sqrt().sum(-1)
