"""Pretext task C: how far apart in time are two sounds of one place?"""
from typing import Dict, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS
from .base import PretextTask, Responses, TaskBatch, TaskOutput


@MODELS.register_module()
class TemporalGapTask(PretextTask):
    """Temporal gap prediction (section 3.1): |t_i - t_j| / (T_max - T) of two slices.

    The representations of both are concatenated and go through one hidden layer. There is no
    temporal order between the slices, so the answers to both orders are averaged: swapping them
    changes nothing. The answer is linear: a sigmoid has next to no slope towards 0 and 1, which are
    as frequent as all other gaps.

    Responses: ``gap`` (N,), kept by the same Huber loss.

    Args:
        in_channels (int): Of the sound features.
        hid_channels (int): Defaults to 64, as in the paper.
        grid (tuple[int, int]): Cells of frequency and time that a representation is averaged to.
            Defaults to 1 x 1.
        delta (float): Where the Huber loss becomes linear. Defaults to 0.1.
    """

    views = ('clip', 'other')
    inputs = ('gap', )

    def __init__(self, in_channels: int, hid_channels: int = 64, grid: Sequence[int] = (1, 1),
                 delta: float = 0.1, init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.delta = delta
        self.head = MODELS.build(dict(
            type='multissl_mm.SoundProjection', in_channels=2 * in_channels, out_channels=1,
            hid_channels=hid_channels, grid=grid))

    @property
    def layers(self) -> nn.Module:
        return self.head

    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        head = layers or self.head
        a, b = batch.features['clip'][-1], batch.features['other'][-1]
        gap = (head((torch.cat([a, b], 1), )) + head((torch.cat([b, a], 1), ))) / 2
        return dict(gap=gap.flatten().float())

    def loss(self, batch: TaskBatch) -> TaskOutput:
        return TaskOutput(dict(loss=self._huber(self.responses(batch)['gap'],
                                                batch.inputs['gap'])))

    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        return TaskOutput(dict(loss_distill=self._huber(responses['gap'], old['gap'])))

    def _huber(self, a: Tensor, b: Tensor) -> Tensor:
        # Divided by delta, so that its slope far out is 1 like that of the other tasks' losses.
        return F.huber_loss(a, b, delta=self.delta) / self.delta

    def score(self, responses: Responses, inputs: Dict[str, Tensor]) -> Dict[str, float]:
        """Correlation with the true gaps; 0 where either is constant, which says nothing."""
        both = torch.stack([responses['gap'], inputs['gap'].float()])
        return dict(correlation=torch.corrcoef(both)[0, 1].nan_to_num().item())
