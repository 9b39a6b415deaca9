"""The video branch of the tasks that align sound with a panorama."""
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS


@MODELS.register_module()
class PanoramaEncoder(BaseModule):
    """Convolutions that know that a panorama is a ring.

    The T frames of a clip are stacked on channels. Horizontal padding is circular, so that turning
    the panorama by a multiple of the horizontal stride turns the features and changes nothing else.

    Args:
        in_channels (int): T * C.
        channels (sequence[int]): Of the convolutions 3 x 3, each with batch norm and ReLU.
        strides (sequence[tuple[int, int]]): Vertical and horizontal.
        scale (float): What inputs are divided by, after which they are limited to -3 to 3: flow
            in pixels has a long tail.

    Input (N, T, C, H, W), output (N, channels[-1], H', W').
    """

    def __init__(self, in_channels: int, channels: Sequence[int] = (32, 64, 64, 64),
                 strides: Sequence[Tuple[int, int]] = ((2, 2), (2, 2), (2, 2), (2, 1)),
                 scale: float = 4., init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.in_channels, self.out_channels, self.scale = in_channels, channels[-1], scale
        self.convs = ModuleList([
            nn.Conv2d(i, o, 3, stride=(stride[0], stride[1]), padding=(1, 0), bias=False)
            for i, o, stride in zip((in_channels, *channels), channels, strides)
        ])
        self.norms = ModuleList([nn.BatchNorm2d(o) for o in channels])
        self.stride = 1
        for stride in strides:
            self.stride *= stride[1]

    def forward(self, video: Tensor) -> Tensor:
        x = video.flatten(1, 2)
        if x.size(1) != self.in_channels:
            raise MultiSSLError(f'PanoramaEncoder.in_channels is {self.in_channels}, but the clips '
                                f'have {video.size(1)} frames of {video.size(2)} channels')
        x = (x / self.scale).clamp(-3, 3)
        for conv, norm in zip(self.convs, self.norms):
            # As F.pad with mode='circular', which copies twice as long where channels come last.
            x = torch.cat([x[..., -1:], x, x[..., :1]], dim=-1)
            x = F.relu(norm(conv(x)))
        return x
