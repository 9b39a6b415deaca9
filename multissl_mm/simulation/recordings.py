"""Vehicles that sound as real ones that others have recorded, instead of as their physics has it.

A folder per class (``car/*.wav``, ...), of any rates; ``tools/evidence/recordings.py`` fills one
from packages of Debian.
"""
from functools import lru_cache
from pathlib import Path
from typing import Dict, Tuple

import numpy as np

from ..datasets.classes import CLASSES
from ..errors import MultiSSLError
from ..utils.sounds import read_mono
from .engines import vehicle_sound
from .scene import Vehicle

Array = np.ndarray
#: Recordings shorter than this are loops of an engine: they follow each other without a fade.
LOOP = .5  # seconds
PIECE, FADE = 1.5, .1  # seconds, of pieces of longer ones and of what fades over between them


def recorded_sound(folder: str, vehicle: Vehicle, seconds: float, rate: int) -> Array:
    """Sound pressure (seconds * rate,) at one metre of a moving vehicle, of a recording.

    Recordings are short; pieces of one of the class's are put one after the other in random order.
    Which recording, its pieces and its pace (up to 6 % slower or faster) are drawn by the vehicle's
    ``look``. It is as loud as the vehicle is in the simulation.
    """
    rng = np.random.default_rng([vehicle.look, 5])
    waves = recordings(folder, rate)[vehicle.kind]
    wave = waves[rng.integers(len(waves))]
    pace = np.exp(rng.uniform(-.06, .06))
    samples = int(round(seconds * rate))
    sound = lengthened(rng, wave, int(samples * pace) + 2, rate)
    sound = np.interp(np.arange(samples) * pace, np.arange(len(sound)), sound)
    level = vehicle_sound(vehicle, seconds, rate).std() / max(float(sound.std()), 1e-9)
    return (level * sound).astype(np.float32)


def lengthened(rng: np.random.Generator, wave: Array, samples: int, rate: int) -> Array:
    """A recording as long as it is asked for, (samples,)."""
    if len(wave) < LOOP * rate:
        return np.resize(np.roll(wave, -int(rng.integers(len(wave)))), samples)
    fade = int(FADE * rate)
    size = min(int(PIECE * rate), len(wave))
    ramp = np.sin(np.pi / 2 * (np.arange(fade) + .5) / fade).astype(np.float32)
    window = np.concatenate([ramp, np.ones(size - 2 * fade, np.float32), ramp[::-1]])
    out = np.zeros(samples + 2 * size, np.float32)
    for at in range(0, samples + fade, size - fade):  # equal power: neighbours are unlike
        start = int(rng.integers(len(wave) - size + 1))
        out[at:at + size] += window * wave[start:start + size]
    return out[fade:fade + samples]


@lru_cache(maxsize=2)
def recordings(folder: str, rate: int) -> Dict[str, Tuple[Array, ...]]:
    """The waveforms (samples,) of every class.

    Raises:
        MultiSSLError: If a class has none.
    """
    found = {}
    for kind in CLASSES:
        paths = sorted((Path(folder) / kind).glob('*.wav'))
        if not paths:
            raise MultiSSLError(f'{Path(folder) / kind} holds no recording (*.wav); '
                                'tools/evidence/recordings.py fills the folder')
        found[kind] = tuple(read_mono(path, rate) for path in paths)
    return found


def content_of(folder: str) -> str:
    """What tells a folder of recordings from others, wherever it lies: 16 digits."""
    from ..utils.digest import digest, file_digest
    paths = sorted(Path(folder).glob('*/*.wav'))
    return digest({f'{path.parent.name}/{path.name}': file_digest(path) for path in paths})
