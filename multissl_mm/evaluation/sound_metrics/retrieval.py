"""VR: is the right segment found?"""
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import METRICS
from .base import SoundMetric

#: Queries that are compared with the whole gallery at once, which bounds the memory.
QUERIES = 256


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
        own, sound, video = map(all_of, ('representation', 'sound', 'video'))
        among_sounds, among_videos = [], []
        for i in torch.arange(len(results)).split(QUERIES):
            same_scene = scene[i, None] == scene
            others = i[:, None] != torch.arange(len(results))
            same_time = same_scene & (start[i, None] == start)
            among_sounds.append(ranks(own[i] @ own.t(), same_scene & others, others))
            among_videos.append(ranks(sound[i] @ video.t(), same_time))
        return {**_named('sound', scores(among_sounds)), **_named('video', scores(among_videos))}


def _named(gallery: str, metrics: Dict[str, float]) -> Dict[str, float]:
    return {f'{gallery}_{key}': value for key, value in metrics.items()}


def retrieval(similar: Tensor, hits: Tensor, candidates: Optional[Tensor] = None
              ) -> Dict[str, float]:
    """:func:`scores` of all queries at once; see :func:`ranks`."""
    return scores([ranks(similar, hits, candidates)])


def ranks(similar: Tensor, hits: Tensor, candidates: Optional[Tensor] = None
          ) -> Tuple[Tensor, Tensor]:
    """The rank of the first hit (from 1) and the chance of guessing one, by query.

    Ties count against the query, so that equal representations retrieve nothing.

    Args:
        similar (Tensor): Queries (rows) with candidates (columns), (Q, G).
        hits (Tensor): Which candidates are right, (Q, G), bool. Queries without any do not count.
        candidates (Tensor, optional): Which candidates a query has, (Q, G), bool; by default all.

    Returns:
        tuple[Tensor]: Both (A,), of the A queries that have a right candidate.

    Raises:
        MultiSSLError: If similarities are not finite.
    """
    candidates = torch.ones_like(hits) if candidates is None else candidates
    hits = hits & candidates
    asked = hits.any(1)
    similar, hits, candidates = (t[asked] for t in (similar.double(), hits, candidates))
    if not bool(similar[candidates].isfinite().all()):
        raise MultiSSLError('similarities of the retrieval are not finite: the model puts out NaN; '
                            'did its training diverge?')
    best = similar.masked_fill(~hits, float('-inf')).max(1, keepdim=True).values
    # Equal vectors may have products that differ in the last bits.
    rank = 1 + ((similar >= best - 1e-6) & candidates & ~hits).sum(1)
    return rank, hits.sum(1).double() / candidates.sum(1)


def scores(blocks: Sequence[Tuple[Tensor, Tensor]]) -> Dict[str, float]:
    """Top-1, top-5 and chance in percent, and the median rank of the first hit (from 1).

    Args:
        blocks (sequence[tuple[Tensor]]): Of :func:`ranks`, of some queries each.

    Raises:
        MultiSSLError: If no query has a right candidate.
    """
    rank, chance = (torch.cat(parts) for parts in zip(*blocks))
    if not len(rank):
        raise MultiSSLError('no query of the retrieval has a right answer in its gallery; are '
                            'there at least two segments of a video?')
    return dict(top1=100 * (rank <= 1).double().mean().item(),
                top5=100 * (rank <= 5).double().mean().item(),
                median_rank=float(np.median(rank.numpy())), chance=100 * chance.mean().item())
