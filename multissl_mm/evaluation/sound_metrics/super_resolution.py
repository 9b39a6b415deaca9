"""S3R: is it what the head would hear if it turned?"""
from typing import Any, Dict, List

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

    Sounds are those that the preprocessor scaled; it also turns spectrograms into waveforms.
    Errors as a share of the variance are NaN where there is none: of silence, and with one span of
    one sample alone.

    Args:
        cells (int): See :func:`log_cells`. Defaults to 8.
        floor (float): Of power. Defaults to 1e-5.
    """

    default_prefix = 's3r'
    needs = ('stft', 'turned_stft', 'clip_stft', 'waves', 'turned_waves', 'clip_waves')

    def __init__(self, cells: int = 8, floor: float = 1e-5, **kwargs: Any) -> None:
        for window in ('n_fft', 'win_length', 'hop_length'):
            kwargs.pop(window, None)  # in configs that older runs left; sounds come with samples
        super().__init__(**kwargs)
        self.spans = dict(error=cells, spectrum_error=1)
        self.floor = floor

    def measure(self, sample: dict) -> dict:
        """Errors of ``stft`` and of ``clip_stft`` (2, F, T) against ``turned_stft`` (3, 2, F, T).

        All are complex; ``waves``, ``clip_waves`` (2, S) and ``turned_waves`` (3, 2, S) are the
        same as waveforms.
        """
        target, target_waves = sample['turned_stft'], sample['turned_waves']
        target_power = power(target)
        predictions = {'': (sample['stft'], sample['waves']),
                       'copy_': (sample['clip_stft'].unsqueeze(0).expand_as(target),
                                 sample['clip_waves'].unsqueeze(0).expand_as(target_waves))}
        found: Dict[str, Any] = {}
        for key, cells in self.spans.items():
            logs = log_cells(target_power, cells, self.floor).double()
            found[f'{key} sum'] = logs.mean(-1).cpu()
            found[f'{key} squares'] = logs.square().mean(-1).cpu()
            for name, (predicted, _) in predictions.items():
                error = log_cells(power(predicted), cells, self.floor) - logs
                found[f'{name}{key}'] = error.square().mean().item()
        for name, (predicted, waves) in predictions.items():
            found[f'{name}stft'] = stft_distance(predicted, target).mean().item()
            found[f'{name}envelope'] = envelope_distance(waves, target_waves).mean().item()
        return found

    def summarise(self, results: List[dict]) -> Dict[str, float]:
        """The means over samples."""
        def mean(key: str) -> Any:
            return sum(r[key] for r in results) / len(results)

        spread = {}
        for key in self.spans:
            squares = mean(f'{key} squares')
            value = (squares - mean(f'{key} sum').square()).mean().item()
            # Of equal numbers rounding leaves some 1e-16 of it.
            spread[key] = value if value > 1e-9 * squares.mean().item() else float('nan')
        return {f'{name}{key}': mean(f'{name}{key}') / spread.get(key, 1.)
                for name in ('', 'copy_') for key in (*self.spans, 'stft', 'envelope')}


def stft_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """L2 distance of complex spectrograms (..., 2, F, T), summed over the two ears."""
    return torch.linalg.vector_norm(predicted - target, dim=(-2, -1)).sum(-1)


def envelope(waves: Tensor) -> Tensor:
    """Magnitude of the analytic signal of (..., S), by the Hilbert transform."""
    size = waves.size(-1)
    gain = torch.zeros(size, dtype=waves.dtype, device=waves.device)
    gain[0], gain[1:(size + 1) // 2] = 1, 2
    if size % 2 == 0:
        gain[size // 2] = 1
    return torch.fft.ifft(torch.fft.fft(waves) * gain).abs()


def envelope_distance(predicted: Tensor, target: Tensor) -> Tensor:
    """RMSE of envelopes of (..., 2, S), summed over the two ears."""
    return (envelope(predicted) - envelope(target)).square().mean(-1).sqrt().sum(-1)
