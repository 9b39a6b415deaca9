"""S3R: what would the head hear if it turned (section 5.1)?"""
from typing import Any, Dict, Mapping, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import MODELS
from ...utils.spectra import log_cells, power
from .base import SoundDownstream

PREDICTS = ('mask', 'direct')
#: Directions to which the head turns to the right, in degrees.
DIRECTIONS = (90, 180, 270)


@MODELS.register_module()
class SpatialSuperResolution(SoundDownstream):
    """Spatial sound super resolution (section 5.1): the pairs at 90, 180 and 270 degrees from one.

    Predicted is the difference between what an ear hears there and here, a complex spectrogram; all
    three directions come from one decoder.

    Args:
        backbone (dict): See :class:`SoundDownstream`.
        decoder (dict): From features to spectrograms, e.g. :class:`SpectrogramDecoder`, without
            its numbers of channels.
        predicts (str): ``mask``: a complex mask, at most ``limit`` in each part, by which the
            ear's own spectrogram is multiplied; ``direct``: the difference itself. Defaults to
            ``mask``.
        limit (float): Defaults to 4: a source that comes out of the head's shadow gains 12 dB.
        stft_weight (float): In the loss, of the squared error of complex spectrograms as a share of
            their power, the predecessor's loss, beside the squared error of log power in
            ``cells`` spans of time. This project's choice: where phases cannot be known, the first
            alone makes everything quiet, and of a range of 50 dB it sees the top. Defaults to 0.1.
        cells (int): See :func:`log_cells`. Defaults to 8, a quarter of a second of two.
        stride (int): In the loss, of frames every so many-th: neighbours overlap, and most of a
            step is spent on them. Defaults to 1.
        floor (float): Of power in log spectrograms. Defaults to 1e-5, as in the preprocessor.

    For the others see :class:`SoundDownstream`. The data preprocessor has
    ``spectra=('clip', 'turned')``.
    """

    targets = ('clip_stft', 'turned_stft')

    def __init__(self, backbone: dict, decoder: dict, predicts: str = 'mask', limit: float = 4.,
                 stft_weight: float = 0.1, cells: int = 8, stride: int = 1, floor: float = 1e-5,
                 **kwargs: Any) -> None:
        super().__init__(backbone, **kwargs)
        if predicts not in PREDICTS:
            raise MultiSSLError(f"SpatialSuperResolution.predicts is '{predicts}'; it must be one "
                                f'of {", ".join(PREDICTS)}')
        self.predicts, self.limit, self.stft_weight = predicts, limit, stft_weight
        self.cells, self.stride, self.floor = cells, stride, floor
        self.decoder = MODELS.build(
            dict(decoder, in_channels=self.width, out_channels=len(DIRECTIONS) * 2 * 2))

    def turned(self, inputs: Mapping[str, Tensor],
               feats: Optional[Sequence[Tensor]] = None) -> Tensor:
        """Predicted complex spectrograms (N, 3, 2, F, T): direction, ear.

        ``feats`` of :meth:`extract_feat` may be given, where they are known.
        """
        feats = self.extract_feat(inputs) if feats is None else feats
        own = inputs['clip_stft'].unsqueeze(1)  # (N, 1, 2, F, T)
        out = self.decoder(feats, own.shape[-2:]).float()
        out = out.unflatten(1, (len(DIRECTIONS), 2, 2))  # direction, ear, real and imaginary
        if self.predicts == 'mask':
            out = self.limit * torch.tanh(out / self.limit)
        out = torch.complex(out[:, :, :, 0], out[:, :, :, 1])
        return own + (own * out if self.predicts == 'mask' else out)

    def loss(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        inputs = {**inputs, **{key: inputs[key][..., ::self.stride] for key in self.targets}}
        target, predicted = inputs['turned_stft'], self.turned(inputs)
        target_power = power(target)
        loss_log = F.mse_loss(log_cells(power(predicted), self.cells, self.floor),
                              log_cells(target_power, self.cells, self.floor))
        # Of each sample, since some are mostly silence: |a - b|^2 over |b|^2.
        share = (power(predicted - target).mean((1, 2, 3, 4)) /
                 target_power.mean((1, 2, 3, 4)).clamp_min(1e-8))
        return dict(loss_log=loss_log, loss_stft=self.stft_weight * share.mean())

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """``stft`` (N, 3, 2, F, T) and, where they are known, ``turned_stft``; ``clip_stft``.

        All of the sound scaled by ``scale``; ``waves`` (N, 3, 2, S), ``turned_waves`` and
        ``clip_waves`` are the same as waveforms, by the preprocessor that made the spectrograms.
        """
        known = {k: inputs[k] for k in ('clip_stft', 'turned_stft', 'turned', 'scale')
                 if k in inputs}
        found = dict(stft=self.turned(inputs), **known)
        waves = {key.replace('stft', 'waves'): self.data_preprocessor.waves(value)
                 for key, value in found.items() if key.endswith('stft')}
        return {**found, **waves}
