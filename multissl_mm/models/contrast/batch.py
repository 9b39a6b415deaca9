"""Contrast within a batch, that of all ranks."""
import torch
import torch.nn.functional as F
from mmengine.dist import get_rank, get_world_size
from torch import Tensor


def gathered(x: Tensor) -> Tensor:
    """(N, ...) of every rank, (ranks * N, ...); gradients go back to where rows came from."""
    if get_world_size() == 1:
        return x
    from torch.distributed.nn.functional import all_gather  # mmengine's has no gradient
    return torch.cat(all_gather(x.contiguous()))


def batch_info_nce(z: Tensor, positives: Tensor, temperature: float) -> Tensor:
    """InfoNCE of vectors with one positive each and all ranks' other positives as negatives.

    Args:
        z (Tensor): (N, C), L2-normalised.
        positives (Tensor): (N, C), L2-normalised.
        temperature (float): T.

    Returns:
        Tensor: Scalar, the mean over N.
    """
    own = get_rank() * len(z) + torch.arange(len(z), device=z.device)
    candidates = gathered(positives.float())  # (ranks * N, C)
    with torch.autocast(z.device.type, enabled=False):
        return F.cross_entropy(z.float() @ candidates.t() / temperature, own)
