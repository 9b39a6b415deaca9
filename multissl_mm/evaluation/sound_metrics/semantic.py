"""SP: is the map of what sounds right?"""
from typing import Any, Dict, Iterable, List, Sequence

import numpy as np
import torch
from torch import Tensor

from ...datasets.classes import CLASSES
from ...registry import METRICS
from .base import SoundMetric


@METRICS.register_module()
class SemanticMetric(SoundMetric):
    """Semantic prediction (SP): mean IoU over the classes, in percent.

    - ``mIoU``: over all pixels; false positives on nothing count against a class.
    - ``mIoU_restricted``: as the paper's predecessor counts, only pixels of a class where something
      moves (``restricted``), if the samples have those.
    - ``mAP``: average precision of finding each class in each of ``bins`` azimuths, by its mean
      score; needs no threshold, so that it tells weak models apart. An azimuth is positive if the
      class covers at least ``least`` of its pixels: one that covers less is far away, and hardly
      heard.
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
    needs = ('scores', 'semantics')

    def __init__(self, classes: Sequence[str] = CLASSES, bins: int = 32, least: float = 1 / 8,
                 **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes, self.bins, self.least = tuple(classes), bins, least

    def measure(self, sample: dict) -> dict:
        """Counts of ``scores`` (1 + K, H, W) and ``semantics`` (H, W)."""
        count = len(self.classes) + 1
        scores, target = sample['scores'], sample['semantics']
        predicted = scores.argmax(0)
        regions = torch.stack([target == k for k in range(1, count)])
        found = dict(pixels=confusion(target, predicted, count), regions=regions.cpu().numpy(),
                     azimuth_scores=in_azimuths(scores[1:], self.bins).cpu(),
                     azimuth_targets=in_azimuths(regions, self.bins).cpu() >= self.least - 1e-6)
        if 'restricted' in sample:
            counted = sample['restricted'].bool()
            found['restricted'] = confusion(target[counted], predicted[counted], count)
        return found

    def summarise(self, results: List[dict]) -> Dict[str, float]:
        """The means, and the IoU of each class."""
        iou = ious(_total(results, 'pixels'))
        metrics = dict(mIoU=_mean(iou))
        if all('restricted' in r for r in results):
            metrics['mIoU_restricted'] = _mean(ious(_total(results, 'restricted')))
        scores, targets = (torch.stack([r[key] for r in results])
                           for key in ('azimuth_scores', 'azimuth_targets'))
        metrics['mAP'] = _mean(average_precisions(scores, targets))
        metrics['constant'] = _mean(constant_ious(r['regions'] for r in results))
        metrics.update({f'IoU_{name}': 100 * v for name, v in zip(self.classes, iou)})
        return metrics


def confusion(target: Tensor, predicted: Tensor, count: int) -> Tensor:
    """Pixels (count, count) by true label (rows) and predicted one (columns)."""
    return torch.bincount((target * count + predicted).flatten(), minlength=count**2).view(
        count, count).cpu()


def ious(pixels: Tensor) -> np.ndarray:
    """IoU of each label from 1, a fraction; NaN for labels that no target has."""
    counts = pixels.double().numpy()
    both = np.diag(counts)
    either = counts.sum(0) + counts.sum(1) - both
    absent = counts.sum(1) == 0
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(absent, np.nan, both / either)[1:]


def in_azimuths(maps: Tensor, bins: int) -> Tensor:
    """The mean of each of so many ranges of columns: (K, H, W) to (K, bins)."""
    return torch.nn.functional.adaptive_avg_pool2d(maps.float(), (1, bins))[:, 0]


def average_precisions(scores: Tensor, targets: Tensor) -> np.ndarray:
    """Average precision of each class over samples and azimuths, both (N, K, bins)."""
    from sklearn.metrics import average_precision_score
    return np.array([
        average_precision_score(targets[:, k].flatten(), scores[:, k].flatten())
        if targets[:, k].any() else np.nan for k in range(targets.size(1))])


def constant_ious(regions: Iterable[np.ndarray]) -> np.ndarray:
    """The best IoU that one region for all samples can have, class by class: N x (K, H, W) to (K,).

    A region that contains a pixel gains where more samples have the class there, so the best one
    is all pixels above some frequency, and all frequencies are tried.
    """
    frequency: np.ndarray = np.zeros(())
    count = 0
    for sample in regions:  # one by one: all of a data set would not fit into memory
        frequency, count = frequency + np.asarray(sample, np.float64), count + 1
    frequency = -np.sort(-frequency.reshape(len(frequency), -1), axis=1)
    both = frequency.cumsum(1)  # of the regions of 1, 2, ... pixels
    areas = np.arange(1, both.shape[1] + 1) * count
    total = both[:, -1:]
    with np.errstate(invalid='ignore'):
        best = (both / (areas + total - both)).max(1)
    return np.where(total[:, 0] > 0, best, np.nan)


def _total(results: List[dict], key: str) -> Tensor:
    return torch.stack([r[key] for r in results]).sum(0)


def _mean(values: np.ndarray) -> float:
    return float(100 * np.nanmean(values)) if np.isfinite(values).any() else float('nan')
