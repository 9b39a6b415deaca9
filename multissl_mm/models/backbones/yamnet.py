"""YAMNet, an encoder that others trained on AudioSet: one ear of the paper's supervised row."""
import math
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from ...registry import MODELS

#: Channels and stride of the depthwise separable convolutions, after the first one of 32.
LAYERS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2),
          (1024, 1))
BANDS, LOWEST, HIGHEST = 64, 125., 7500.  # mel bands, Hz
WINDOW = 400  # samples, of the spectrograms that it was trained on
FLOOR = 1e-3  # added to magnitudes before the logarithm


class SameConv(nn.Conv2d):
    """A convolution 3 x 3 padded as in TensorFlow: what is odd goes to the end."""

    def forward(self, x: Tensor) -> Tensor:
        pads = []
        for size, stride in zip(x.shape[:1:-1], self.stride[::-1]):
            total = max((math.ceil(size / stride) - 1) * stride + 3 - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


def _unit(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels, eps=1e-4), nn.ReLU(inplace=True))


def mel_bands(bins: int, rate: float, device: torch.device) -> Tensor:
    """Weights (bins, BANDS) from magnitudes at 0 to rate / 2 Hz to mel bands, as TensorFlow's.

    Triangles in mel (HTK's), not in Hz as those of torchaudio.
    """
    def mel(f: Tensor) -> Tensor:
        return 1127. * torch.log1p(f / 700.)

    f = mel(torch.linspace(0, rate / 2, bins, device=device, dtype=torch.float64))[:, None]
    low, high = mel(torch.tensor([LOWEST, HIGHEST], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, BANDS + 2, device=device, dtype=torch.float64)
    rising = (f - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - f) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()


@MODELS.register_module()
class YAMNet(BaseModule):
    """MobileNet v1 on log mel spectrograms, as it was trained on AudioSet's 521 classes.

    One ear of a :class:`BinauralEncoder`. It makes its mel bands of what
    :class:`SoundPreprocessor` gives. The weights (``tools/model_converters/yamnet.py`` writes them)
    were trained on windows of 25 ms every 10 ms: ``n_fft=512, win_length=400, hop_length=160`` at
    16 kHz, the threefold at 48; ``floor=1e-10``, for it has a floor of its own.

    Args:
        sample_rate (int): Of the sounds, in Hz. Defaults to 16,000.
        win_length (int): Of the spectrograms, in samples: longer windows have higher peaks.
            Defaults to 400.

    Input (N, 1, F, T), log power of F = n_fft / 2 + 1 bins; output a tuple of one (N, 1024, 2,
    T / 32), the frequencies from low to high.
    """

    def __init__(self, sample_rate: int = 16000, win_length: int = WINDOW,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.sample_rate, self.gain = sample_rate, WINDOW / win_length
        units = [_unit(SameConv(1, 32, 3, 2, bias=False))]
        width = 32
        for channels, stride in LAYERS:
            units += [_unit(SameConv(width, width, 3, stride, groups=width, bias=False)),
                      _unit(nn.Conv2d(width, channels, 1, bias=False))]
            width = channels
        self.units = nn.Sequential(*units)

    def log_mel(self, x: Tensor) -> Tensor:
        """Log power (N, 1, F, T) to log magnitude of mel bands (N, 1, T, BANDS)."""
        with torch.autocast(x.device.type, enabled=False):
            magnitude = (x.float() / 2).exp().transpose(2, 3)
            bands = mel_bands(magnitude.size(-1), self.sample_rate, x.device)
            return (self.gain * magnitude @ bands + FLOOR).log()

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        return (self.units(self.log_mel(x)).transpose(2, 3), )
