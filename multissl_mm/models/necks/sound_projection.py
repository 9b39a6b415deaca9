"""What tasks see of a sound encoder's feature map."""
from typing import Any, Dict, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS


@MODELS.register_module()
class SoundProjection(BaseModule):
    """Two linear layers on a feature map averaged to a few cells of frequency and time.

    Averaging over all frequencies would take the cues of the outer ear, over all times those of
    what moves.

    Args:
        in_channels (int): C, of both ears.
        out_channels (int): D.
        hid_channels (int): Defaults to 256.
        grid (tuple[int, int]): Cells of frequency and of time. Defaults to 4 x 3.
        dropout (float): Share of the cells' values that training leaves out. Defaults to 0.
        norm (bool): Normalise every value over the batch first, without parameters, as
            :class:`LinearProbe`: of encoders that are not trained along. Defaults to False.

    Input a tuple whose last is (N, C, F, T), output (N, D).
    """

    def __init__(self, in_channels: int, out_channels: int, hid_channels: int = 256,
                 grid: Sequence[int] = (4, 3), dropout: float = 0., norm: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.grid = (grid[0], grid[1])
        self.dropout = dropout
        self.norm: nn.Module = nn.BatchNorm1d(
            in_channels * grid[0] * grid[1], affine=False) if norm else nn.Identity()
        self.layers = nn.Sequential(
            nn.Linear(in_channels * grid[0] * grid[1], hid_channels), nn.ReLU(inplace=True),
            nn.Linear(hid_channels, out_channels))

    def _load_from_state_dict(self, state_dict: Dict[str, Tensor], prefix: str, *args: Any) -> None:
        # What was trained before there was a norm goes on as it was: its statistics are neutral.
        for name, value in self.norm.named_buffers():
            neutral = torch.ones_like if name == 'running_var' else torch.zeros_like
            state_dict.setdefault(f'{prefix}norm.{name}', neutral(value))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, outs: Sequence[Tensor]) -> Tensor:
        cells = self.norm(F.adaptive_avg_pool2d(outs[-1], self.grid).flatten(1))
        return self.layers(F.dropout(cells, self.dropout, self.training))


@MODELS.register_module()
class LinearProbe(BaseModule):
    """A linear map of a feature map averaged to a few cells of frequency and time.

    Every value is normalised over the batch first, without parameters: features of different
    encoders have different scales.

    Args:
        in_channels (int): C, of both ears.
        out_channels (int): D.
        grid (tuple[int, int]): Cells of frequency and of time. Defaults to 4 x 3.

    Input a tuple whose last is (N, C, F, T), output (N, D).
    """

    def __init__(self, in_channels: int, out_channels: int, grid: Sequence[int] = (4, 3),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.grid = (grid[0], grid[1])
        cells = in_channels * grid[0] * grid[1]
        self.norm = nn.BatchNorm1d(cells, affine=False)
        self.linear = nn.Linear(cells, out_channels)

    def forward(self, outs: Sequence[Tensor]) -> Tensor:
        return self.linear(self.norm(F.adaptive_avg_pool2d(outs[-1], self.grid).flatten(1)))
