"""From waveforms to what sound encoders see (section 3.1: sound clips as spectrograms)."""
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ..errors import MultiSSLError
from ..registry import MODELS

#: Clips that go through the STFT at once on a CPU.
CPU_CHUNK = 4


@MODELS.register_module()
class SoundPreprocessor(BaseDataPreprocessor):
    """Binaural waveforms (N, 2, S) become log power spectrograms (N, 2, F, T), on the device.

    Both ears of a clip are scaled together to an RMS of ``rms``, which keeps their difference in
    level; then STFT with a Hann window, centred, with reflected ends; then log(max(power, floor)).
    All sounds of a batch of the same length go through at once, always in float32. The published
    numbers give 257 x 601 for 2 s at 48 kHz.

    Args:
        n_fft (int): Of the STFT, in samples.
        win_length (int): Of the STFT, in samples.
        hop_length (int): Of the STFT, in samples.
        bands (int, optional): Mean power of so many bands of equal width instead of single
            frequencies, 0 Hz left out: with a long window all of the sound counts, at a long hop,
            and noise wavers less. A divisor of ``n_fft / 2``.
        rms (float): Defaults to 0.1.
        floor (float): Of power. Defaults to 1e-5.
        sounds (sequence[str]): Which entries of ``inputs`` are waveforms, where they are there.
            Everything else passes as it is.
        spectra (sequence[str]): Waveforms (N, ..., S) of which the complex spectrogram is put out,
            too, as ``<name>_stft`` (N, ..., F, T), all scaled as the first of ``sounds`` is, so
            that what one pair of ears hears louder stays louder (S3R). ``scale`` (N,) is by how
            much.
        spectra_hop (int, optional): Hop of those; at most their window, or they could not be
            turned into sound again. Defaults to ``hop_length``.
        spectra_n_fft, spectra_win_length (int, optional): Of those. Default to ``n_fft`` and
            ``win_length``.

    Raises:
        MultiSSLError: If a batch has none of ``sounds``, if a sound is too short for a window, or
            if it has samples that are not finite (in training :func:`read_track` has looked for
            them); names its scene and time.
    """

    def __init__(self, n_fft: int = 512, win_length: int = 400, hop_length: int = 160,
                 bands: Optional[int] = None, rms: float = 0.1, floor: float = 1e-5,
                 sounds: Sequence[str] = ('clip', 'other'), spectra: Sequence[str] = (),
                 spectra_hop: Optional[int] = None, spectra_n_fft: Optional[int] = None,
                 spectra_win_length: Optional[int] = None, non_blocking: bool = False) -> None:
        from torchaudio.transforms import Spectrogram  # those who only see need it not

        super().__init__(non_blocking)
        if bands is not None and n_fft // 2 % bands:
            raise MultiSSLError(f'SoundPreprocessor.bands is {bands}, not a divisor of n_fft / 2 = '
                                f'{n_fft // 2}')
        self.bands, self.rms, self.floor, self.sounds = bands, rms, floor, tuple(sounds)
        self.spectra = tuple(spectra)
        self.spectrogram = Spectrogram(n_fft, win_length, hop_length, power=None)
        if self.spectra:
            spectra_hop, window = spectra_hop or hop_length, spectra_win_length or win_length
            if spectra_hop > window:
                raise MultiSSLError(f'SoundPreprocessor: the complex spectrograms have a hop of '
                                    f'{spectra_hop}, but a window of {window}, so they could '
                                    'not be turned into sound again; set spectra_hop')
            self.complex_spectrogram = Spectrogram(spectra_n_fft or n_fft, window, spectra_hop,
                                                   power=None)

    def forward(self, data: Dict[str, Any], training: bool = False) -> Dict[str, Any]:
        data = self.cast_data(data)
        inputs = data['inputs']
        if not isinstance(inputs, Mapping) or not set(self.sounds) & set(inputs):
            found = list(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
            raise MultiSSLError(f'SoundPreprocessor.sounds names {", ".join(self.sounds)}, but the '
                                f'batch has {found}; see PackSound.keys of the pipeline')
        waveforms, inputs = inputs, dict(inputs)
        groups: Dict[int, List[str]] = {}  # what goes through together
        for name in self.sounds:
            if name in inputs:
                groups.setdefault(inputs[name].size(-1), []).append(name)
        for length, names in groups.items():
            if length <= self.spectrogram.n_fft // 2:
                raise MultiSSLError(f'{names[0]} has {length} samples, too few to be reflected at '
                                    f'its ends for SoundPreprocessor.n_fft of '
                                    f'{self.spectrogram.n_fft}')
            sizes = [len(inputs[n]) for n in names]
            waves = torch.cat([inputs[n] for n in names]).float()
            level = self.level(waves)
            # In training the loader's workers have looked: here the host would wait.
            if not training and not bool(level.isfinite().all()):
                self._complain(names, level.split(sizes), data.get('data_samples'))
            inputs.update(zip(names, self.log_power(waves, level).split(sizes)))
        if self.spectra:
            inputs['scale'] = self.scale(self.level(waveforms[self.sounds[0]].float())).flatten()
            inputs.update({f'{name}_stft': self.stft(waveforms[name], inputs['scale'])
                           for name in self.spectra if name in inputs})
        return dict(data, inputs=inputs)

    @staticmethod
    def level(waves: Tensor) -> Tensor:
        """RMS of both ears together: (N, 2, S) to (N, 1, 1)."""
        return waves.square().mean((1, 2), keepdim=True).sqrt()

    def scale(self, level: Tensor) -> Tensor:
        """What a sound of this level is multiplied by."""
        return self.rms / level.clamp_min(1e-8)

    @torch.no_grad()
    def stft(self, waves: Tensor, scale: Tensor) -> Tensor:
        """Complex spectrograms (N, ..., F, T) of waveforms (N, ..., S) times scale (N,)."""
        with torch.autocast(waves.device.type, enabled=False):
            scale = scale.view(-1, *[1] * (waves.dim() - 1))
            return self.complex_spectrogram(waves.float() * scale)

    @torch.no_grad()
    def waves(self, stft: Tensor, scale: Optional[Tensor] = None,
              length: Optional[int] = None) -> Tensor:
        """The inverse of :meth:`stft`: (N, ..., F, T) to (N, ..., length).

        Args:
            scale (Tensor, optional): By which sounds were multiplied, (N,); without it they stay
                scaled.
            length (int, optional): In samples. Defaults to those from the middle of the first
                frame to that of the last.
        """
        s = self.complex_spectrogram
        with torch.autocast(stft.device.type, enabled=False):
            flat = torch.istft(stft.flatten(0, -3), s.n_fft, s.hop_length, s.win_length, s.window,
                               length=length)
            waves = flat.view(*stft.shape[:-2], -1)
            return waves if scale is None else waves / scale.view(-1, *[1] * (stft.dim() - 2))

    @torch.no_grad()
    def log_power(self, waves: Tensor, level: Optional[Tensor] = None) -> Tensor:
        """(N, 2, S) to (N, 2, F, T), float32; silence becomes log(floor)."""
        with torch.autocast(waves.device.type, enabled=False):
            waves = waves.float()
            level = self.level(waves) if level is None else level
            waves = waves * self.scale(level)
            # On a CPU a few at a time, whose intermediate results stay in its cache: twice as fast.
            few = CPU_CHUNK if waves.device.type == 'cpu' else len(waves)
            return torch.cat([self._log_power(part) for part in waves.split(few)])

    def _log_power(self, waves: Tensor) -> Tensor:
        real, imag = torch.view_as_real(self.spectrogram(waves)).unbind(-1)
        # Faster than torchaudio's power=2, which takes a root first.
        power = torch.addcmul(real.square(), imag, imag)
        if self.bands is not None:
            power = power[..., 1:, :].unflatten(-2, (self.bands, -1)).mean(-2)
        return power.clamp_min_(self.floor).log_()

    @staticmethod
    def _complain(names: Sequence[str], levels: Sequence[Tensor],
                  samples: Optional[Sequence]) -> None:
        bad = []
        for name, level in zip(names, levels):
            for i in (~level.isfinite()).flatten().nonzero().flatten().tolist():
                sample = samples[i] if samples else {}
                where = [f'{k} {sample.get(k)}' for k in ('scene', 'start') if k in sample]
                bad.append(f'{name} of sample {i} of the batch' +
                           (f' ({", ".join(where)})' if where else ''))
        raise MultiSSLError(f'samples that are not finite in {"; ".join(bad)}; restore these '
                            'recordings, or run the converter again, which leaves them out')

    def extra_repr(self) -> str:
        s = self.spectrogram
        return (f'n_fft={s.n_fft}, win_length={s.win_length}, hop_length={s.hop_length}, '
                f'bands={self.bands}, rms={self.rms}, floor={self.floor}, sounds={self.sounds}')
