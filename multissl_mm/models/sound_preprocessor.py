"""From waveforms to what sound encoders see (section 3.1: sound clips as spectrograms)."""
from typing import Any, Dict, List, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor
from torchaudio.transforms import Spectrogram

from ..errors import MultiSSLError
from ..registry import MODELS


@MODELS.register_module()
class SoundPreprocessor(BaseDataPreprocessor):
    """Binaural waveforms (N, 2, S) become log power spectrograms (N, 2, F, T), on the device.

    Both ears of a clip are scaled together to an RMS of ``rms``, which keeps their difference in
    level; then STFT with a Hann window, centred, with reflected ends; then log(max(power, floor)).
    All sounds of a batch of the same length go through at once, always in float32. The published
    numbers give 257 x 601 for 2 s at 48 kHz.

    Args:
        n_fft, win_length, hop_length (int): Of the STFT, in samples.
        rms (float): Defaults to 0.1.
        floor (float): Of power. Defaults to 1e-5.
        sounds (sequence[str]): Which entries of ``inputs`` are waveforms, where they are there.
            Everything else passes as it is.

    Raises:
        MultiSSLError: If a clip has samples that are not finite; names its scene and time.
    """

    def __init__(self, n_fft: int = 512, win_length: int = 400, hop_length: int = 160,
                 rms: float = 0.1, floor: float = 1e-5,
                 sounds: Sequence[str] = ('clip', 'other'), non_blocking: bool = False) -> None:
        super().__init__(non_blocking)
        self.rms, self.floor, self.sounds = rms, floor, tuple(sounds)
        self.spectrogram = Spectrogram(n_fft, win_length, hop_length, power=2.)

    def forward(self, data: Dict[str, Any], training: bool = False) -> Dict[str, Any]:
        data = self.cast_data(data)
        inputs = dict(data['inputs'])
        groups: Dict[int, List[str]] = {}
        for name in self.sounds:
            if name in inputs:
                groups.setdefault(inputs[name].shape[-1], []).append(name)
        for names in groups.values():
            spectra = self.log_power(torch.cat([inputs[n] for n in names]))
            # One number tells of all samples; looking closer costs nothing when all is well.
            if not bool(spectra.sum().isfinite()):
                self._complain(names, inputs, data.get('data_samples'))
            inputs.update(zip(names, spectra.split([len(inputs[n]) for n in names])))
        return dict(data, inputs=inputs)

    def log_power(self, waves: Tensor) -> Tensor:
        """(N, 2, S) to (N, 2, F, T)."""
        with torch.autocast(waves.device.type, enabled=False):
            waves = waves.float()
            level = waves.square().mean((1, 2), keepdim=True).sqrt()
            waves = waves * (self.rms / level.clamp_min(1e-8))
            return self.spectrogram(waves).clamp_min(self.floor).log()

    def _complain(self, names: Sequence[str], inputs: Dict[str, Tensor], samples: Any) -> None:
        for name in names:
            bad = (~inputs[name].isfinite().flatten(1).all(1)).nonzero().flatten().tolist()
            for i in bad:
                where = samples[i] if samples is not None else None
                what = '' if where is None else (f' (scene {where.get("scene")}, '
                                                 f'{where.get("start")} s)')
                raise MultiSSLError(f'{name} of sample {i} of the batch{what} has samples that '
                                    'are not finite; run the converter again, it names the file')

    def extra_repr(self) -> str:
        s = self.spectrogram
        return (f'n_fft={s.n_fft}, win_length={s.win_length}, hop_length={s.hop_length}, '
                f'rms={self.rms}, floor={self.floor}, sounds={self.sounds}')
