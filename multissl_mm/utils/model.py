"""Small helpers on models."""
from mmengine.model import is_model_wrapper
from torch import nn


def unwrap(model: nn.Module) -> nn.Module:
    """The model itself, without the wrapper of a distributed run."""
    return model.module if is_model_wrapper(model) else model
