"""What a listener hears of a scene: four pairs of ears, with a measured head (see ``heads.py``)."""
from functools import partial
from typing import Callable, List, Optional, Sequence, Tuple, Union

import numpy as np
from scipy import fft, signal

from .engines import hump, shaped_noise, vehicle_sound
from .heads import DIRECTIONS, KEMAR, impulse_responses
from .recordings import recorded_sound
from .scene import Scene, Vehicle

Array = np.ndarray
Angles = Union[float, Array]
#: Pressure at one metre of a vehicle, for some seconds, at a rate.
Sounds = Callable[[Vehicle, float, int], Array]
SOUND_SPEED = 343.  # m/s
#: Of a vehicle's loudness at one metre in what is written, so that a near one does not clip.
GAIN = 0.35
#: Metres beyond which a vehicle is neither heard nor seen.
REACH = 90.


def directions(azimuths: Angles) -> Array:
    """Nearest measured direction of azimuths in degrees."""
    return np.rint(np.asarray(azimuths) * DIRECTIONS / 360).astype(int) % DIRECTIONS


class Ears:
    """Sums sources that move around four pairs of ears; (8, samples) comes out.

    Channels are left and right ear of the pairs turned 0, 90, 180 and 270 degrees to the right.

    Args:
        samples (int): Length of what is heard.
        rate (int): Hz.
        head (str): See :func:`impulse_responses`.
    """

    def __init__(self, samples: int, rate: int, head: str = KEMAR) -> None:
        self.samples, self.rate = samples, rate
        taps = impulse_responses(head, rate)
        self.hop = int(.02 * rate)
        self.size = fft.next_fast_len(2 * self.hop + taps.shape[1], real=True)
        self.frames = -(-samples // self.hop) + 1
        self.transfer = fft.rfft(taps, self.size, axis=1).transpose(0, 2, 1)  # (72, 2, bins)
        # The windows of neighbouring frames add up to one.
        ramp = (np.arange(self.hop, dtype=np.float32) + .5) / self.hop
        self.window = np.concatenate([ramp, ramp[::-1]])
        self.spectra = np.zeros((self.frames, 4, 2, self.size // 2 + 1), np.complex64)

    def centres(self) -> Array:
        """Times of the frames in seconds, (frames,), at which directions are wanted."""
        return np.arange(self.frames) * self.hop / self.rate

    def add(self, sound: Array, azimuths: Angles, start: int = 0) -> None:
        """Adds a source.

        Args:
            sound (array): Pressure (n,) at the place of the head.
            azimuths (array): In degrees, one or (frames,).
            start (int): The sample from which on it is heard.
        """
        first = start // self.hop
        lead = start - first * self.hop + self.hop
        padded = np.zeros((-(-(lead + len(sound)) // self.hop) + 1) * self.hop, np.float32)
        padded[lead:lead + len(sound)] = sound
        frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * self.hop)[::self.hop]
        frames = frames[:self.frames - first]
        loud = slice(first, first + len(frames))
        spectra = fft.rfft(frames * self.window, self.size, axis=1)
        at = np.broadcast_to(directions(azimuths), (self.frames, ))[loud]
        for pair in range(4):
            turned = (at + pair * DIRECTIONS // 4) % DIRECTIONS
            self.spectra[loud, pair] += spectra[:, None] * self.transfer[turned]

    def heard(self) -> Array:
        """(8, samples)."""
        out = np.zeros((8, (self.frames + 1) * self.hop + self.size), np.float32)
        frames = fft.irfft(self.spectra.reshape(self.frames, 8, -1), self.size, axis=2)
        for i in range(self.frames):
            out[:, i * self.hop:i * self.hop + self.size] += frames[i]
        return out[:, self.hop:self.hop + self.samples]


def arriving(vehicle: Vehicle, samples: int, rate: int, sounds: Optional[Sounds] = None
             ) -> Tuple[int, Array, Array]:
    """A vehicle's sound where the listener stands, as far as it is within reach.

    What arrives at t was emitted at t - r/c, r being the distance at the time of emission: that is
    the Doppler effect. Pressure falls with 1/r.

    Args:
        vehicle (Vehicle): One that moves.
        samples (int): Length of what is heard.
        rate (int): Hz.
        sounds (callable, optional): What vehicles sound like. Defaults to :func:`vehicle_sound`.

    Returns:
        tuple: The first sample that is heard, the sound (n,) from there on, and the distance (n,)
        in metres.
    """
    (x, y), (u, v) = vehicle.start, vehicle.velocity
    closest, half = -(x * u + y * v) / (u * u + v * v), REACH / np.hypot(u, v)
    start = int(np.clip((closest - half) * rate, 0, samples))
    stop = int(np.clip((closest + half + .3) * rate, 0, samples))
    t = np.arange(start, stop) / rate
    emitted = t
    for _ in range(2):  # each time (v/c)^2 less wrong
        r = np.hypot(x + u * emitted, y + v * emitted)
        emitted = t - r / SOUND_SPEED
    lead = REACH / SOUND_SPEED + .1  # what is heard first was emitted before
    sound = (sounds or vehicle_sound)(vehicle, len(t) / rate + lead + .1, rate)
    place = np.maximum((emitted - start / rate + lead) * rate, 1)
    below = place.astype(np.intp)
    # Cubic (Catmull-Rom) between the samples p1 and p2: linear would dull the treble.
    f = (place - below).astype(np.float32)
    p0, p1, p2, p3 = (sound[below + k] for k in (-1, 0, 1, 2))
    cubic = p1 + .5 * f * (p2 - p0 + f * (2 * p0 - 5 * p1 + 4 * p2 - p3 + f * (
        3 * (p1 - p2) + p3 - p0)))
    fade = np.clip((REACH - r) / (.3 * REACH), 0, 1)
    return start, (cubic * (fade / np.maximum(r, 1.))).astype(np.float32), r


def _place(scene: Scene) -> np.random.Generator:
    return np.random.default_rng([scene.seed, 2])


def _all_around(rng: np.random.Generator) -> Array:
    """Azimuths of sounds that come from everywhere alike: they do not tell where the head looks."""
    return 5. * rng.integers(9) + 45. * np.arange(8)


def _reverberation(scene: Scene, rate: int, head: str) -> Array:
    """Impulse responses (8, taps) of the place: some walls, and a decay with its own colour."""
    rng = _place(scene)
    decay = rng.uniform(.15, .9)  # seconds to -60 dB
    taps = int(decay * rate)
    t = np.arange(taps) / rate
    colour = hump(2**rng.uniform(8.5, 11.5), rng.uniform(.8, 2.))
    hrirs = impulse_responses(head, rate)
    heard = np.zeros((8, taps + hrirs.shape[1]), np.float32)

    def arrive(response: Array, azimuth: float, gain: float) -> None:
        for pair in range(4):
            hrir = hrirs[directions(azimuth + scene.turn + 90 * pair)]
            for ear in range(2):
                out = signal.oaconvolve(response, hrir[:, ear])
                heard[2 * pair + ear, :len(out)] += gain * out

    tail = np.exp(-6.9 * t / decay)
    for azimuth in _all_around(rng):
        noise = shaped_noise(rng, taps, rate, colour) * tail
        arrive(noise / np.linalg.norm(noise), azimuth, .045)
    for _ in range(rng.integers(2, 5)):
        wall = np.zeros(taps, np.float32)
        wall[int(rng.uniform(.01, .06) * rate)] = 1
        arrive(wall, 5. * rng.integers(DIRECTIONS), rng.uniform(.03, .1))
    return heard


def _ambience(scene: Scene, samples: int, rate: int) -> List[Tuple[Array, float]]:
    """Sounds of the place and their azimuths; stationary, so that they tell where but not when."""
    rng = np.random.default_rng([scene.seed, 3])
    slope, bumps = rng.uniform(-1.2, -.4), [
        (hump(2**rng.uniform(7, 12), rng.uniform(.2, .6)), rng.uniform(0, 4)) for _ in range(3)]

    def spectrum(f: Array) -> Array:
        return np.maximum(f, 40.)**slope * (1 + sum(g * h(f) for h, g in bumps))

    level = .0025 * 2**rng.uniform(-1, 1)
    sounds: List[Tuple[Array, float]] = []
    for azimuth in _all_around(rng):
        noise = level * shaped_noise(rng, samples, rate, spectrum)
        sounds.append((noise, azimuth + scene.turn))
    if rng.random() < .7:  # ventilation, a transformer
        tone, t = rng.uniform(90, 700), np.arange(samples) / rate
        hum = sum((np.sin(2 * np.pi * n * tone * t + rng.uniform(0, 6)) / n for n in (1, 2, 3)),
                  np.zeros(samples))
        azimuth = 5. * int(rng.integers(DIRECTIONS)) + scene.turn
        sounds.append((level * hum.astype(np.float32), azimuth))
    return sounds


def hear(scene: Scene, seconds: float, rate: int, vehicles: bool = True,
         place: bool = True, head: str = KEMAR, recordings: Optional[str] = None) -> Array:
    """What four pairs of ears hear of a scene.

    Args:
        scene (Scene): What is there. Parked vehicles are silent.
        seconds (float): From t = 0 on.
        rate (int): Sample rate in Hz.
        vehicles (bool): Whether they are heard; else there is the ambience alone.
        place (bool): Whether the scene's own ambience and reverberation are heard.
        head (str): Whose ears, see :func:`impulse_responses`. Defaults to KEMAR's.
        recordings (str, optional): Folder of what vehicles sound like, see
            :func:`recorded_sound`. Defaults to their physics.

    Returns:
        ndarray: (8, seconds * rate), float32: left and right ear of the pairs that are turned 0,
        90, 180 and 270 degrees to the right (front, right, back, left).
    """
    samples = int(round(seconds * rate))
    ears = Ears(samples, rate, head)
    sounds = partial(recorded_sound, recordings) if recordings else None
    times = ears.centres()
    send = np.zeros(samples, np.float32)
    for vehicle in scene.vehicles if vehicles else ():
        if not vehicle.moves:
            continue
        start, sound, distance = arriving(vehicle, samples, rate, sounds)
        if not len(sound):
            continue
        x, y = (vehicle.start[i] + vehicle.velocity[i] * times for i in (0, 1))
        ears.add(GAIN * sound, np.degrees(np.arctan2(y, x)), start)
        send[start:start + len(sound)] += GAIN * sound * np.sqrt(
            np.maximum(distance, 1.) / 5).astype(np.float32)
    for sound, azimuth in _ambience(scene, samples, rate) if place else ():
        ears.add(sound, azimuth)
    out = ears.heard()
    if place and send.any():
        response = _reverberation(scene, rate, head)
        out += signal.oaconvolve(send[None], response, axes=1)[:, :samples]
    return out


def track_order(pairs: Sequence[Tuple[int, int]]) -> List[int]:
    """The channel of :func:`hear` for each of the tracks 1 to 8, given the tracks of each pair."""
    channel = {track: 2 * k + ear for k, pair in enumerate(pairs) for ear, track in enumerate(pair)}
    return [channel[track] for track in sorted(channel)]
