"""The one slowly moving copy of a module: momentum encoder, and (momentum 1) frozen teacher."""
from copy import deepcopy
from typing import Any, List

import torch
from torch import Tensor, nn


class MomentumEncoder(nn.Module):
    """Copy of a module that follows it by an exponential moving average, without gradients.

    Parameters move by :meth:`update`. Buffers do not: the copy sees other inputs (the key view)
    and its batch norms keep running statistics of their own, as in MoCo. :meth:`sync` copies
    both, and is what a new stage starts with.

    Args:
        source (nn.Module): The module to follow.
        frozen (bool): A teacher: never updated, and always in eval mode, whatever ``train()``
            is called with (MMEngine calls it at every epoch). Defaults to False.
    """

    def __init__(self, source: nn.Module, frozen: bool = False) -> None:
        super().__init__()
        self.frozen = frozen
        self.module = deepcopy(source).requires_grad_(False)
        self.train(source.training)

    def train(self, mode: bool = True) -> 'MomentumEncoder':
        return super().train(mode and not self.frozen)

    def init_weights(self) -> None:
        """Does nothing: MMEngine must not draw other weights for the copy, see :meth:`sync`."""

    @torch.no_grad()
    def sync(self, source: nn.Module) -> None:
        """Makes parameters and buffers equal to those of ``source``."""
        self.module.load_state_dict(source.state_dict(), strict=True)

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """``copy = momentum * copy + (1 - momentum) * source``, in one fused call.

        Args:
            source (nn.Module): The module that is trained.
            momentum (float): As in the papers: 0.999 is slow.
        """
        copies: List[Tensor] = list(self.module.parameters())
        if copies:
            torch._foreach_lerp_(copies, list(source.parameters()), 1 - momentum)

    @torch.no_grad()
    def follow(self, source: nn.Module, momentum: float) -> None:
        """:meth:`update`, of running statistics, too: the copy never sees a batch of its own."""
        self.update(source, momentum)
        for copy, buffer in zip(self.module.buffers(), source.buffers()):
            if buffer.is_floating_point():
                copy.lerp_(buffer, 1 - momentum)
            else:
                copy.copy_(buffer)

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)
