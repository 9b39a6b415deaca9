"""Shuffling BN (MoCo, section 3.3): keys are normalised in another company than queries."""
from typing import List, Sequence, Tuple

import torch
import torch.distributed as torch_dist
from mmengine.dist import get_dist_info
from torch import Tensor

from ...utils.device import to_device

State = Tuple[Tensor, List[int]]


def _exchange(x: Tensor, splits: List[int]) -> Tensor:
    """Sends ``splits[j]`` rows to rank j and gets as many back from it."""
    x = x.contiguous()
    out = torch.empty_like(x)
    torch_dist.all_to_all_single(out, x, splits, splits)
    return out


@torch.no_grad()
def shuffle(x: Tensor) -> Tuple[Tensor, State]:
    """Deals the rows of every rank to all ranks.

    Every rank permutes its own N rows and sends an equal share to each rank, so that one
    all-to-all of N rows does what a gather of all rows does W times dearer, nothing has to be
    broadcast, and every rank's batch holds rows of all ranks.

    Args:
        x (Tensor): (N, ...); the same N on all ranks.

    Returns:
        tuple: The (N, ...) rows this rank is dealt, and what :func:`unshuffle` needs.
    """
    rank, world = get_dist_info()
    n = x.size(0)
    # Rank r's share for rank j depends on r + j alone: as much is sent as comes back, and the
    # n % world rows left over go to different ranks.
    splits = [n // world + ((rank + j) % world < n % world) for j in range(world)]
    order = to_device(torch.randperm(n), x.device)
    return _exchange(x[order], splits), (order, splits)


@torch.no_grad()
def unshuffle(features: Sequence[Tensor], state: State) -> Tuple[Tensor, ...]:
    """Brings the features of shuffled rows home, all of them in one exchange.

    Args:
        features (sequence[Tensor]): Each (N, ...), computed from the rows :func:`shuffle` gave.
        state (tuple): The second output of :func:`shuffle`.
    """
    order, splits = state
    flat = torch.cat([f.reshape(len(f), -1) for f in features], dim=1)
    home = torch.empty_like(flat)
    home[order] = _exchange(flat, splits)
    parts = home.split([f[0].numel() for f in features], dim=1)
    return tuple(p.reshape(f.shape) for p, f in zip(parts, features))
