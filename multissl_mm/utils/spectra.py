"""What spectrograms are compared by."""
import torch.nn.functional as F
from torch import Tensor, view_as_real


def power(stft: Tensor) -> Tensor:
    """Power of complex spectrograms, of their shape."""
    real, imag = view_as_real(stft).unbind(-1)
    return real.square() + imag.square()


def log_cells(power: Tensor, cells: int, floor: float) -> Tensor:
    """Log of power averaged over spans of time: (N, ..., F, T) to (N, ..., F, cells).

    Where T is no multiple of ``cells``, neighbouring spans share a frame.

    Single values of a power spectrogram of noise have a spread of 5.6 dB that nobody can predict;
    over a quarter of a second it becomes small.
    """
    means = F.adaptive_avg_pool1d(power.flatten(0, -3), cells)
    return means.view(*power.shape[:-1], cells).clamp_min(floor).log()
