"""Small helpers on models."""
from typing import Sequence

from mmengine.model import is_model_wrapper
from torch import Tensor, nn


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, without the wrapper of a distributed run."""
    return model.module if is_model_wrapper(model) else model


def pooled(outs: Sequence[Tensor]) -> Tensor:
    """The last of a backbone's outputs, (N, C, ...), averaged over its positions: (N, C)."""
    return outs[-1].flatten(2).mean(2) if outs[-1].dim() > 2 else outs[-1]
