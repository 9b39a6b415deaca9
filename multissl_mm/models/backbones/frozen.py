"""Finished encoders that are used and never changed."""
from typing import Any, Sequence

import torch
from mmengine.model import BaseModule, ModuleList

from ...registry import MODELS


class FrozenEncoders(BaseModule):
    """Pretrained encoders without gradients, in eval mode whatever ``train()`` is called with.

    Batch norm statistics are part of an encoder: a frozen one keeps them, too.

    Args:
        encoders (sequence[dict]): Configs of backbones. ``init_cfg`` of each names its weights,
            unless a checkpoint of the whole model brings them.
    """

    def __init__(self, encoders: Sequence[dict]) -> None:
        super().__init__()
        # MMEngine's list: weights are not initialised, nor loaded, through torch's.
        self.encoders = ModuleList(MODELS.build(cfg) for cfg in encoders)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> 'FrozenEncoders':
        super().train(False)  # mmpretrain's backbones return nothing here
        return self

    @torch.no_grad()
    def forward(self, x: torch.Tensor) -> Any:
        """Outputs of every encoder for a batch (N, ...), in their order."""
        return [encoder(x) for encoder in self.encoders]
