"""Small helpers on models."""
from contextlib import contextmanager
from functools import reduce
from operator import add
from typing import Any, Iterable, Iterator, Mapping, Sequence

import torch
from mmengine.dist import broadcast
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from ..errors import MultiSSLError
from .keyed_random import keyed_randomness


def unwrap(model: nn.Module) -> Any:
    """The model itself, an :class:`nn.Module` without the wrapper of a distributed run."""
    return model.module if is_model_wrapper(model) else model


def total(values: Iterable[Tensor]) -> Tensor:
    """The sum of at least one tensor, from the first to the last."""
    return reduce(add, values)


def pooled(outs: Sequence[Tensor]) -> Tensor:
    """The last of a backbone's outputs, (N, C, ...), averaged over its positions: (N, C).

    Raises:
        MultiSSLError: If that is none, as of MAE, whose last one is an order of patches.
    """
    if outs[-1].dim() < 2 or not outs[-1].is_floating_point():
        raise MultiSSLError(f'the last output of this backbone, {outs[-1].dtype} of shape '
                            f'{tuple(outs[-1].shape)}, is no (N, C, ...) of features; load it with '
                            'the config of a model that is built on it')
    return outs[-1].flatten(2).mean(2) if outs[-1].dim() > 2 else outs[-1]


def flat_gradients(losses: Mapping[str, Tensor], module: nn.Module) -> Tensor:
    """Gradients of K losses on the P trained parameters of a module.

    Returns:
        Tensor: (K, P), float32, zero where a loss does not depend on a parameter. The graph and
        ``.grad`` stay as they are.
    """
    params = [p for p in module.parameters() if p.requires_grad]
    rows = []
    for loss in losses.values():
        grads = torch.autograd.grad(loss, params, retain_graph=True, allow_unused=True)
        rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten().float()
                               for p, g in zip(params, grads)]))
    return torch.stack(rows)


def refuse_checkpointing(backbone: nn.Module, key: str, instead: str) -> None:
    """Looks whether a backbone gives gradients one by one, which one that recomputes does not.

    MMCV's and MMPretrain's layers do it by :func:`torch.utils.checkpoint.checkpoint` in the way
    that refuses :func:`torch.autograd.grad`. So does MMEngine's ``activation_checkpointing``, which
    a model does not know of: :func:`~multissl_mm.runtime.checks.check_recomputing`.

    Args:
        backbone (nn.Module): Of the model.
        key (str): What takes such gradients.
        instead (str): What to do without it.

    Raises:
        MultiSSLError: If a layer has ``with_cp``.
    """
    if any(getattr(layer, 'with_cp', False) for layer in backbone.modules()):
        raise MultiSSLError(f"{key} takes the tasks' gradients on the backbone one by one, which "
                            'with_cp=True in model.backbone does not allow; leave with_cp out, or '
                            f'{instead}')


@contextmanager
def looking_at(model: nn.Module) -> Iterator[None]:
    """In eval mode, without gradients; modes, statistics and random numbers are restored.

    On several ranks all see the batch norm statistics of rank 0, which are those of checkpoints.
    """
    modes = [(module, module.training) for module in model.modules()]
    statistics = [b for name, b in model.named_buffers() if 'running_' in name]
    own = [b.clone() for b in statistics]
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    model.eval()  # batch norm neither depends on the batch nor notes it
    try:
        with torch.no_grad(), torch.random.fork_rng(devices), keyed_randomness('watching'):
            for b in statistics:
                broadcast(b, src=0)
            yield
    finally:
        for module, training in modes:
            module.training = training
        for b, before in zip(statistics, own):
            b.copy_(before)
