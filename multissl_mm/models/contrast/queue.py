"""The one queue of negatives, shared by every task that contrasts with past keys."""
import torch
from mmengine.dist import all_gather
from torch import Tensor, nn


class NegativeQueue(nn.Module):
    """First-in first-out memory of L2-normalised keys (MoCo, section 3.1).

    Any batch size and any number of ranks: positions are computed on the device, so there is
    neither a host synchronisation nor a divisibility condition, and wrap-around is the rule.

    Args:
        length (int): Number of keys kept, K.
        dim (int): Dimension of a key, C.

    Buffers (both persistent): ``keys`` of shape (K, C) and ``ptr`` of shape (), the next
    position to be overwritten.
    """

    keys: Tensor
    ptr: Tensor

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        if length < 1 or dim < 1:
            raise ValueError(f'a queue needs a positive length and dim, got {length} x {dim}; '
                             'check `queue_len` and `feat_dim` of the task')
        self.register_buffer('keys', torch.empty(length, dim))
        self.register_buffer('ptr', torch.zeros((), dtype=torch.long))
        self.reset()

    def __len__(self) -> int:
        return self.keys.size(0)

    @torch.no_grad()
    def reset(self) -> None:
        """Fills the queue with random directions, drawn on the CPU so that every device agrees."""
        random = torch.randn(self.keys.shape)
        self.keys.copy_(nn.functional.normalize(random, dim=1))
        self.ptr.zero_()

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Overwrites the oldest entries with the keys of all ranks.

        Args:
            keys (Tensor): (N, C), normalised, the keys of this rank. All ranks bring the same N.
                A key that is no number (half precision) does not enter: it would poison every
                later loss.
        """
        keys = torch.cat(all_gather(keys.to(self.keys.dtype).contiguous()))[-len(self):]
        n = keys.size(0)
        index = (self.ptr + torch.arange(n, device=self.keys.device)) % len(self)
        keys = torch.where(torch.isfinite(keys).all(1, keepdim=True), keys, self.keys[index])
        self.keys.index_copy_(0, index, keys)
        self.ptr.add_(n).remainder_(len(self))
