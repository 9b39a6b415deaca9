"""A pretrained encoder as everybody uses it: raw pictures or sounds in, features out."""
from typing import Any, Dict, Sequence, Tuple, Union

import torch
from mmengine.config import Config
from torch import Tensor, nn

from ..errors import MultiSSLError
from ..models.sound_preprocessor import SoundPreprocessor
from ..utils.model import pooled

#: Mean and standard deviation of ImageNet's pixels: what a config without its own means.
IMAGENET: Dict[str, Any] = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375),
                                to_rgb=True)


class NormalisePixels(nn.Module):
    """Pictures, RGB from 0 to 255, (N, 3, H, W), as their backbone wants them.

    Args:
        mean, std (sequence[float]): Of each channel, in the backbone's order of channels.
        to_rgb (bool): Whether that is RGB; otherwise BGR.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], to_rgb: bool) -> None:
        super().__init__()
        self.settings: Dict[str, Any] = dict(mean=tuple(mean), std=tuple(std), to_rgb=to_rgb)
        self.to_rgb = to_rgb
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W), of any type, to float of the same shape."""
        if images.dim() != 4 or images.size(1) != len(self.mean):
            raise MultiSSLError(f'the encoder takes pictures (N, {len(self.mean)}, H, W), but was '
                                f'given {tuple(images.shape)}; an encoder of sound needs the '
                                'data_preprocessor in its config')
        images = images if self.to_rgb else images.flip(1)
        return (images.float() - self.mean) / self.std


class ToSpectrograms(nn.Module):
    """Binaural sounds (N, 2, S) as their backbone wants them: log power, (N, 2, F, T)."""

    def __init__(self, preprocessor: SoundPreprocessor) -> None:
        super().__init__()
        self.preprocessor = preprocessor

    def forward(self, waves: Tensor) -> Tensor:
        """Waveforms at the rate that the encoder was trained with."""
        name = self.preprocessor.sounds[0]
        # It does not notice where the module that it is part of has been moved to.
        self.preprocessor.to(waves.device)
        return self.preprocessor(dict(inputs={name: waves}))['inputs'][name]


class Encoder(nn.Module):
    """A backbone with all its weights, for use as it is: in eval mode, without gradients.

    :func:`load_encoder` makes it.

    Attributes:
        backbone (nn.Module): On its own; takes what ``prepare`` gives. Whoever trains it goes on
            with this one: ``encoder.backbone.train().requires_grad_(True)``.
        prepare (nn.Module): From raw inputs to what the backbone takes: :class:`NormalisePixels` or
            :class:`ToSpectrograms`, by the config's ``data_preprocessor``.
        config (Config): That it was built from.

    Example::

        encoder = load_encoder('configs/il_mocov2_densecl.py', 'epoch_400.pth')
        encoder(pictures)[-1]    # (N, 2048, H / 32, W / 32), of uint8 RGB pictures (N, 3, H, W)
        encoder.embed(pictures)  # (N, 2048)
    """

    def __init__(self, backbone: nn.Module, prepare: Union[NormalisePixels, ToSpectrograms],
                 config: Config) -> None:
        super().__init__()
        self.backbone, self.prepare, self.config = backbone, prepare, config
        self.backbone.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> 'Encoder':
        """Stays in eval mode: batch norm statistics are part of an encoder."""
        return super().train(False)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.backbone.parameters()).device

    def forward(self, inputs: Tensor) -> Tuple[Tensor, ...]:
        """The backbone's outputs, stage by stage, each (N, C, ...).

        Args:
            inputs (Tensor): Pictures (N, 3, H, W), RGB from 0 to 255 of any type, or binaural
                sounds (N, 2, S), on the encoder's device.
        """
        outs = self.backbone(self.prepare(inputs))
        return tuple(outs) if isinstance(outs, (tuple, list)) else (outs, )

    def embed(self, inputs: Tensor) -> Tensor:
        """The last of these outputs, averaged over its positions: (N, C), float32."""
        return pooled(self(inputs)).float()
