"""VR: is the right segment found?"""
from typing import Dict, List, Optional

import numpy as np
import torch
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import METRICS
from .base import SoundMetric


@METRICS.register_module()
class RetrievalMetric(SoundMetric):
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
    needs = ('representation', 'sound', 'video', 'scene', 'start')

    def measure(self, sample: dict) -> dict:
        """``representation`` (C,), ``sound`` and ``video`` (D,), ``scene`` and ``start``."""
        return {k: v.cpu() if isinstance(v, Tensor) else v for k, v in sample.items()
                if k in self.needs}

    def summarise(self, results: List[dict]) -> Dict[str, float]:
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
