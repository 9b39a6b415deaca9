"""Vectors of length one, in any precision."""
import torch.nn.functional as F
from torch import Tensor


def unit(x: Tensor, dim: int = 1) -> Tensor:
    """L2-normalised along ``dim``, in float32; a vector of zeros stays one.

    In half precision the bound that keeps a division by zero away would itself round to zero.
    """
    return F.normalize(x.float(), dim=dim)
