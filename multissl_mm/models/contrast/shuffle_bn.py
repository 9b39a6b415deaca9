"""Shuffling BN (MoCo, section 3.3): keys are normalised in another company than queries."""
from typing import List, Optional, Sequence, Tuple

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_dist_info
from torch import Tensor

from ...utils.device import to_device
from ...utils.views import normalisation_of

#: How rows were dealt: the order in which they left, and how many to each rank. None: not at all.
State = Optional[Tuple[Tensor, List[int]]]


@torch.no_grad()
def shuffle(views: Sequence[Tensor]) -> Tuple[List[Tensor], State]:
    """Deals the rows of every rank to all ranks, those of all views in one exchange.

    Every rank permutes its own N rows and sends an equal share to each rank, so that one
    all-to-all of N rows does what a gather of all rows does W times dearer, nothing has to be
    broadcast, and every rank's batch holds rows of all ranks. Views of pixels travel as uint8
    and arrive as they were.

    Args:
        views (sequence[Tensor]): Each (N, ...); the same N on all ranks.

    Returns:
        tuple: The (N, ...) rows of each view that this rank is dealt, and what :func:`unshuffle`
        needs. On one rank views stay as they are.
    """
    rank, world = get_dist_info()
    if world == 1 or not views:
        return list(views), None
    n = len(views[0])
    # Rank r's share for rank j depends on r + j alone: as much is sent as comes back, and the
    # n % world rows left over go to different ranks.
    splits = [n // world + ((rank + j) % world < n % world) for j in range(world)]
    order = to_device(torch.randperm(n), views[0].device)
    scales = [normalisation_of(view) for view in views]
    sent = [view if scale is None else scale.pixels(view) for view, scale in zip(views, scales)]
    dealt = _unpacked(_exchange(_packed(sent).index_select(0, order), splits), sent)
    return [x if scale is None else scale.view(x) for x, scale in zip(dealt, scales)], (
        order, splits)


@torch.no_grad()
def unshuffle(features: Sequence[Tensor], state: State) -> List[Tensor]:
    """Brings what was computed of shuffled rows home, all of it in one exchange.

    Args:
        features (sequence[Tensor]): Each (N, ...), computed from the rows :func:`shuffle` gave.
        state (tuple, optional): The second output of :func:`shuffle`.
    """
    if state is None:
        return list(features)
    order, splits = state
    rows = _packed(features)
    home = torch.empty_like(rows)
    return _unpacked(home.index_copy_(0, order, _exchange(rows, splits)), features)


def _exchange(rows: Tensor, splits: List[int]) -> Tensor:
    """Sends ``splits[j]`` rows to rank j and gets as many back from it."""
    out = torch.empty_like(rows)
    torch_dist.all_to_all_single(out, rows, splits, splits)
    return out


def _packed(tensors: Sequence[Tensor]) -> Tensor:
    """All that belongs to a row in one, (N, bytes), uint8, whatever its types."""
    return torch.cat([t.reshape(len(t), -1).contiguous().view(torch.uint8) for t in tensors], 1)


def _unpacked(rows: Tensor, like: Sequence[Tensor]) -> List[Tensor]:
    widths = [t[0].numel() * t.element_size() for t in like]
    # Copied, so that each begins where numbers of its type may.
    return [part.clone(memory_format=torch.contiguous_format).view(t.dtype).view(t.shape)
            for part, t in zip(rows.split(widths, 1), like)]
