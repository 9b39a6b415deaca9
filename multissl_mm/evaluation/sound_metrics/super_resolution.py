"""S3R: is it what the head would hear if it turned?"""
from typing import Any, Dict, List, Sequence

import torch
from torch import Tensor

from ...registry import METRICS
from ...utils.spectra import log_cells, power
from .base import SoundMetric


@METRICS.register_module()
class SuperResolutionMetric(SoundMetric):
    """Spatial sound super resolution (S3R): errors of the pairs at 90, 180 and 270 degrees.

    - ``error``, the table's column: squared error of log power in every frequency and each of
      ``cells`` spans of time, as a share of its variance (about the mean of each direction, ear and
      frequency over all samples), so that the mean predictor has 1. The paper does not say what
      its error is.
    - ``spectrum_error``: the same with one span, the whole clip.
    - ``stft``: L2 distance of complex spectrograms, summed over ears, averaged over directions
      (Gao and Grauman, 2.5D visual sound).
    - ``envelope``: RMSE of the envelopes of the waveforms, by the Hilbert transform.
    - ``copy_*``: the same where the input pair is the prediction.

    Sounds are those that the preprocessor scaled.

    Args:
        n_fft, win_length, hop_length (int): Of the data preprocessor, for waveforms.
        cells (int): See :func:`log_cells`. Defaults to 8.
        floor (float): Of power. Defaults to 1e-5.
    """

    default_prefix = 's3r'

    def __init__(self, n_fft: int = 512, win_length: int = 400, hop_length: int = 160,
                 cells: int = 8, floor: float = 1e-5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spans = dict(error=cells, spectrum_error=1)
        self.window = dict(n_fft=n_fft, win_length=win_length, hop_length=hop_length)
        self.floor = floor

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """``stft``, ``turned_stft`` (3, 2, F, T) and ``clip_stft`` (2, F, T), complex."""
        for sample in data_samples:
            truth = sample['turned_stft']
            own = sample['clip_stft'].unsqueeze(0).expand_as(truth)
            found: Dict[str, Any] = {}
            there = power(truth)
            for key, cells in self.spans.items():
                logs = log_cells(there, cells, self.floor).double()
                found[f'{key} sum'] = logs.mean(-1).float().cpu()
                found[f'{key} squares'] = logs.square().mean(-1).float().cpu()
                for name, said in (('', sample['stft']), ('copy_', own)):
                    differs = log_cells(power(said), cells, self.floor) - logs
                    found[f'{name}{key}'] = differs.square().mean().item()
            for name, said in (('', sample['stft']), ('copy_', own)):
                found[f'{name}stft'] = stft_distance(said, truth).mean().item()
                found[f'{name}envelope'] = envelope_distance(
                    self.waves(said), self.waves(truth)).mean().item()
            self.results.append(found)

    def waves(self, stft: Tensor) -> Tensor:
        """Waveforms (..., S) of spectrograms (..., F, T)."""
        window = torch.hann_window(self.window['win_length'], device=stft.device)
        flat = torch.istft(stft.flatten(0, -3), window=window, **self.window)
        return flat.view(*stft.shape[:-2], -1)

    def summarise(self, results: List[dict]) -> Dict[str, float]:
        """The means over samples."""
        def mean(key: str) -> Any:
            values = (r[key].double() if isinstance(r[key], Tensor) else r[key] for r in results)
            return sum(values) / len(results)

        spread = {key: (mean(f'{key} squares') - mean(f'{key} sum').square()).mean().item()
                  for key in self.spans}
        # One sample, or silence, has no variance to take a share of.
        spread = {key: value or float('nan') for key, value in spread.items()}
        return {f'{name}{key}': mean(f'{name}{key}') / spread.get(key, 1.)
                for name in ('', 'copy_') for key in (*self.spans, 'stft', 'envelope')}


def stft_distance(said: Tensor, truth: Tensor) -> Tensor:
    """L2 distance of complex spectrograms (..., 2, F, T), summed over the two ears."""
    return torch.linalg.vector_norm(said - truth, dim=(-2, -1)).sum(-1)


def envelope(waves: Tensor) -> Tensor:
    """Magnitude of the analytic signal of (..., S), by the Hilbert transform."""
    size = waves.size(-1)
    gain = torch.zeros(size, dtype=waves.dtype, device=waves.device)
    gain[0], gain[1:(size + 1) // 2] = 1, 2
    if size % 2 == 0:
        gain[size // 2] = 1
    return torch.fft.ifft(torch.fft.fft(waves) * gain).abs()


def envelope_distance(said: Tensor, truth: Tensor) -> Tensor:
    """RMSE of envelopes of (..., 2, S), summed over the two ears."""
    return (envelope(said) - envelope(truth)).square().mean(-1).sqrt().sum(-1)
