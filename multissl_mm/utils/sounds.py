"""Short recordings as waveforms."""
from math import gcd

import numpy as np

from ..errors import MultiSSLError
from .files import AnyPath


def read_mono(path: AnyPath, rate: int) -> np.ndarray:
    """A recording of any rate and number of channels, as one of ``rate`` Hz: (samples,), float32.

    Raises:
        MultiSSLError: If it cannot be read, or holds nothing.
    """
    import soundfile
    from scipy.signal import resample_poly
    try:
        sound, own = soundfile.read(path, dtype='float32', always_2d=True)
    except soundfile.LibsndfileError as e:
        raise MultiSSLError(f'{path}: cannot be read as a sound ({e})') from e
    if not len(sound):
        raise MultiSSLError(f'{path}: the recording holds no sound')
    common = gcd(rate, own)
    return resample_poly(sound.mean(1), rate // common, own // common).astype(np.float32)
