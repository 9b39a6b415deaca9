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

    def summarise(self, results: List[dict]) -> Dict[str, float]:
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
