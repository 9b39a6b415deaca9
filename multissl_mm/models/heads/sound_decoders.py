"""Decoders from a sound encoder's features to pictures and to spectrograms."""
from typing import Optional, Sequence, Tuple

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS

LIFTS = ('project', 'resize')


@MODELS.register_module()
class SemanticDecoder(BaseModule):
    """ASPP decoder from sound features to a map of the panorama.

    The features of both ears are brought to a map by ``lift``, atrous spatial pyramid pooling reads
    it at several distances, a convolution gives the logits.

    Args:
        in_channels (int): C of the sound features.
        num_classes (int): Of the logits, background included.
        size (tuple[int, int]): Rows and columns of the map that ASPP works on.
        channels (int): Of ASPP. Defaults to 256.
        rates (sequence[int]): Of its dilated convolutions. Defaults to 12, 24, 36.
        lift (str): How features become a map. ``resize``, as in the paper's predecessor: a 1 x 1
            convolution, and frequency and time are stretched to rows and columns. ``project``, this
            project's: two linear layers (:class:`SoundProjection`) from a few cells of frequency
            and time to every fourth position of the map, so that each position sees all of the
            sound. Defaults to ``resize``.
        grid (tuple[int, int]): Those cells, see :class:`SoundProjection`.

    Input a tuple whose last is (N, C, F', T'), output (N, num_classes, *size).
    """

    def __init__(self, in_channels: int, num_classes: int, size: Tuple[int, int] = (60, 120),
                 channels: int = 256, rates: Sequence[int] = (12, 24, 36), lift: str = 'resize',
                 grid: Tuple[int, int] = (4, 3), init_cfg: Optional[dict] = None) -> None:
        from torchvision.models.segmentation.deeplabv3 import ASPP

        super().__init__(init_cfg)
        if lift not in LIFTS:
            raise MultiSSLError(f"SemanticDecoder.lift is '{lift}'; it must be one of "
                                f'{", ".join(LIFTS)}')
        self.size, self.lift = tuple(size), lift
        self.coarse = (max(1, size[0] // 4), max(1, size[1] // 4))
        if lift == 'resize':
            self.to_map: nn.Module = nn.Conv2d(in_channels, channels, 1)
        else:
            self.to_map = MODELS.build(dict(
                type='multissl_mm.SoundProjection', in_channels=in_channels, grid=grid,
                out_channels=channels // 2 * self.coarse[0] * self.coarse[1]))
        self.aspp = ASPP(channels if lift == 'resize' else channels // 2, rates, channels)
        self.refine = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True), nn.Conv2d(channels, num_classes, 1))

    def forward(self, outs: Sequence[Tensor]) -> Tensor:
        if self.lift == 'resize':
            x = self.to_map(outs[-1])
        else:
            x = F.relu(self.to_map(outs)).unflatten(1, (-1, *self.coarse))
        x = F.interpolate(x, self.size, mode='bilinear', align_corners=False)
        return self.refine(self.aspp(x))


@MODELS.register_module()
class SpectrogramDecoder(BaseModule):
    """Up-convolutions from sound features to spectrograms, without skips, as in the predecessor.

    Args:
        in_channels (int): C of the sound features.
        out_channels (int): Of the spectrograms.
        channels (sequence[int]): Of the up-convolutions 4 x 4 of stride 2 but the last, each with
            batch norm and ReLU.

    Input a tuple whose last is (N, C, F', T') and a size (F, T), output (N, out_channels, F, T).
    """

    def __init__(self, in_channels: int, out_channels: int,
                 channels: Sequence[int] = (512, 256, 128, 64),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        layers = []
        for i, o in zip((in_channels, *channels), channels):
            layers += [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o),
                       nn.ReLU(inplace=True)]
        last = nn.ConvTranspose2d((in_channels, *channels)[-1], out_channels, 4, 2, 1)
        # The first prediction is no change at all.
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(*layers, last)

    def forward(self, outs: Sequence[Tensor], size: Tuple[int, int]) -> Tensor:
        # Convolutions of stride 2 lose the last rows and columns.
        return F.interpolate(self.layers(outs[-1]), size, mode='bilinear', align_corners=False)
