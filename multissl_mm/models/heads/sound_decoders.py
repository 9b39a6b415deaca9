"""Decoders from a sound encoder's features to pictures and to spectrograms."""
from typing import List, Optional, Sequence, Tuple

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
        _check_lift(type(self).__name__, lift)
        self.size, self.lift = tuple(size), lift
        self.coarse = (max(1, size[0] // 4), max(1, size[1] // 4))
        if lift == 'resize':
            self.to_map: nn.Module = nn.Conv2d(in_channels, channels, 1)
        else:
            self.to_map = MODELS.build(dict(
                type='multissl_mm.SoundProjection', in_channels=in_channels, grid=grid, norm=True,
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
        lift (str): What is convolved. ``resize``, as in the predecessor: the features. ``project``,
            this project's: a map of ``coarse`` cells of frequency and time and ``channels[0]``
            channels, to which two linear layers bring all of the sound, as in
            :class:`SemanticDecoder`. Defaults to ``resize``.
        grid (tuple[int, int]): Cells that are projected, see :class:`SoundProjection`.
        coarse (tuple[int, int]): Of frequency and time, with ``project``. Defaults to 16 x 8.

    Input a tuple whose last is (N, C, F', T') and a size (F, T), output (N, out_channels, F, T).
    """

    def __init__(self, in_channels: int, out_channels: int,
                 channels: Sequence[int] = (512, 256, 128, 64), lift: str = 'resize',
                 grid: Tuple[int, int] = (4, 3), coarse: Tuple[int, int] = (16, 8),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        _check_lift(type(self).__name__, lift)
        if lift == 'resize' and not channels:
            raise MultiSSLError("SpectrogramDecoder.channels is empty, which goes with "
                                "lift='project' alone")
        self.lift, self.coarse = lift, (coarse[0], coarse[1])
        widths = list(channels)
        layers: List[nn.Module] = []
        if lift == 'resize':
            widths.insert(0, in_channels)
        else:
            self.to_map = MODELS.build(dict(
                type='multissl_mm.SoundProjection', in_channels=in_channels, grid=grid, norm=True,
                out_channels=(*channels, out_channels)[0] * coarse[0] * coarse[1]))
            layers += [nn.ReLU(inplace=True)] * bool(channels)
        for i, o in zip(widths, widths[1:]):
            layers += [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o),
                       nn.ReLU(inplace=True)]
        if channels:
            layers.append(nn.ConvTranspose2d(channels[-1], out_channels, 4, 2, 1))
        # The first prediction is no change at all.
        last = layers[-1] if channels else self.to_map.layers[-1]
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.layers = nn.Sequential(*layers)

    def forward(self, outs: Sequence[Tensor], size: Tuple[int, int]) -> Tensor:
        x = outs[-1] if self.lift == 'resize' else self.to_map(outs).unflatten(
            1, (-1, *self.coarse))
        # Convolutions of stride 2 lose the last rows and columns.
        return F.interpolate(self.layers(x), size, mode='bilinear', align_corners=False)


def _check_lift(name: str, lift: str) -> None:
    if lift not in LIFTS:
        raise MultiSSLError(f"{name}.lift is '{lift}'; it must be one of {', '.join(LIFTS)}")
