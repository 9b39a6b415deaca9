"""Short recordings as waveforms."""
from io import BytesIO
from math import gcd

import numpy as np

from ..errors import MultiSSLError
from .files import AnyPath, write_atomically


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


def write_sound(path: AnyPath, sound: np.ndarray, rate: int, subtype: str = 'PCM_16') -> None:
    """Writes a WAV file, whole or not at all.

    Args:
        path (str | Path): To write.
        sound (ndarray): (samples,) or (samples, channels).
        rate (int): In Hz.
        subtype (str): Of its samples, as soundfile names it.

    Raises:
        MultiSSLError: If the system refuses to write.
    """
    import soundfile
    data = BytesIO()  # libsndfile would not say what the system refused, nor of which file
    soundfile.write(data, sound, rate, subtype, format='WAV')
    write_atomically(path, data.getvalue())
