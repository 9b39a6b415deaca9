"""What vehicles sound like, from their physics: combustion cycles, tyres, rails, gears, a bell.

All signals are sound pressure at one metre, in arbitrary units that are the same for all classes.
"""
from typing import Callable, Dict, NamedTuple, Tuple

import numpy as np
from scipy import fft

from .scene import Vehicle

Array = np.ndarray
Spectrum = Callable[[Array], Array]  # amplitude at frequencies in Hz


class Engine(NamedTuple):
    """A four-stroke engine: every cylinder fires once in two turns of the crankshaft."""
    cylinders: Tuple[int, ...]
    rpm: Tuple[float, float]
    uneven: float  # how differently strong and how irregularly spaced the cylinders fire
    rolloff: float  # Hz, beyond which combustion noise falls
    clatter: float  # share of the hammering of diesel combustion, noise in bursts at 1 to 3 kHz
    level: float


class Rolling(NamedTuple):
    """Noise of wheels, a broad hump; its level rises with speed."""
    centre: float  # Hz
    octaves: float
    level: float


ENGINES: Dict[str, Engine] = {
    'car': Engine((3, 4), (1400, 2600), .1, 250., 0., .22),
    'motorcycle': Engine((1, 2), (3200, 6000), .5, 1800., 0., 1.),
    'bus': Engine((6, ), (800, 1300), .12, 160., .05, 1.),
    'truck': Engine((6, 8), (1100, 1900), .25, 420., .55, 1.1),
}
ROLLING: Dict[str, Rolling] = {
    'car': Rolling(950., .8, .55), 'motorcycle': Rolling(900., .9, .05),
    'bus': Rolling(500., 1., .18), 'truck': Rolling(420., .9, .4), 'tram': Rolling(1700., .6, .4),
}


def slow(rng: np.random.Generator, samples: int, rate: float, period: float) -> Array:
    """Smooth random course (samples,) of deviation 1 that turns about every ``period`` seconds."""
    knots = int(samples / rate / period) + 4
    times = np.arange(samples) / rate / period
    return np.interp(times, np.arange(knots), rng.normal(size=knots))


def shaped_noise(rng: np.random.Generator, samples: int, rate: float, spectrum: Spectrum) -> Array:
    """Stationary noise (samples,) of RMS 1 with a given amplitude spectrum."""
    size = fft.next_fast_len(samples, real=True)
    bins = fft.rfft(rng.standard_normal(size, dtype=np.float32))
    bins *= spectrum(np.fft.rfftfreq(size, 1 / rate)).astype(np.float32)
    noise = fft.irfft(bins, size)[:samples]
    return noise / max(float(noise.std()), 1e-9)


def hump(centre: float, octaves: float) -> Spectrum:
    """A bell in log frequency."""
    return lambda f: np.exp(-.5 * (np.log2(np.maximum(f, 1.) / centre) / octaves)**2)


def _combustion(rng: np.random.Generator, engine: Engine, cylinders: int, cycle: Array, rpm: float,
                rate: float) -> Tuple[Array, Array]:
    """Exhaust note and firing envelope; ``cycle`` (samples,) counts engine cycles."""
    size = 2048  # one cycle, as a table that is read at the pace of the engine
    firing = (np.arange(cylinders) + engine.uneven * rng.uniform(-.3, .3, cylinders)) / cylinders
    strength = 1 + engine.uneven * rng.normal(0, .6, cylinders)
    order = np.arange(size // 2 + 1)
    pulses = (strength * np.exp(-2j * np.pi * order[:, None] * firing)).sum(1)
    f = order * rpm / 120  # Hz
    tone = 1 / (1 + (f / engine.rolloff)**2)
    for _ in range(3):  # resonances of exhaust and body
        tone = tone * (1 + 2 * hump(engine.rolloff * 2**rng.uniform(-1, 1.6), .15)(f))
    tone[0] = 0
    tone[f > .45 * rate / 1.2] = 0  # the pace wavers: nothing may fold
    table = np.fft.irfft(pulses * tone)
    burst = np.zeros(size)
    ramp = np.exp(-np.arange(size) / (size / cylinders / 4))
    for at, gain in zip(firing, strength):
        burst += np.roll(gain * ramp, int(at * size))
    index = (cycle % 1 * size).astype(np.intp)
    return table[index] / table.std(), burst[index] / burst.mean()


def _tram(rng: np.random.Generator, samples: int, rate: float, speed: float) -> Array:
    """Whine of gears and inverter, and now and then the bell."""
    times = np.arange(samples) / rate
    teeth = rng.uniform(60, 85)  # gear mesh in Hz for 1 m/s
    phase = 2 * np.pi * np.cumsum(teeth * speed * (1 + .01 * slow(rng, samples, rate, .7))) / rate
    whine = sum(a * np.sin(n * phase + rng.uniform(0, 6)) for n, a in ((1, 1.), (2, .7), (3, .35))
                if n * teeth * speed < .45 * rate)
    inverter = rng.uniform(1900, 2600)
    if inverter < .45 * rate:
        whine = whine + .35 * np.sin(2 * np.pi * inverter * times)
    sound = .5 * whine * (1 + .25 * slow(rng, samples, rate, 1.))
    strike = rng.uniform(0, 12)
    while strike < times[-1]:
        base = rng.uniform(900, 1300)
        for again in (0., rng.uniform(.3, .45)):
            start = int((strike + again) * rate)
            after = times[:max(samples - start, 0)]
            ring = sum(a * np.exp(-after / d) * np.sin(2 * np.pi * base * n * after)
                       for n, a, d in ((1., 1., .9), (2., .6, .5), (2.41, .5, .4), (3., .3, .25))
                       if base * n < .45 * rate)
            sound[start:] += 1.5 * ring
        strike += rng.uniform(10, 25)
    return sound


def vehicle_sound(vehicle: Vehicle, seconds: float, rate: float) -> Array:
    """Sound pressure (seconds * rate,) at one metre of a moving vehicle.

    ``vehicle.look`` seeds everything that differs among vehicles of a class.
    """
    rng = np.random.default_rng([vehicle.look, 1])
    samples = int(round(seconds * rate))
    speed = float(np.hypot(*vehicle.velocity))
    rolling = ROLLING[vehicle.kind]
    centre = rolling.centre * 2**rng.uniform(-.25, .25) * (speed / 10)**.15
    sound = rolling.level * (speed / 10)**1.2 * shaped_noise(
        rng, samples, rate, hump(centre, rolling.octaves))
    if vehicle.kind == 'tram':
        return (sound + .45 * _tram(rng, samples, rate, speed)).astype(np.float32)
    engine = ENGINES[vehicle.kind]
    low, high = engine.rpm
    share = np.clip((speed - 5) / 9 + rng.normal(0, .25), 0, 1)  # faster in a higher gear, or not
    rpm = low + (high - low) * share
    pace = rpm / 120 * (1 + .02 * slow(rng, samples, rate, .8))  # cycles per second
    cycle = np.cumsum(pace) / rate + rng.random()
    note, firing = _combustion(rng, engine, int(rng.choice(engine.cylinders)), cycle, rpm, rate)
    load = 1 + .2 * slow(rng, samples, rate, 1.2)
    sound = sound + engine.level * load * note
    if engine.clatter:
        clatter = shaped_noise(rng, samples, rate, hump(rng.uniform(1500, 2300), .5))
        sound = sound + engine.clatter * engine.level * clatter * firing
    if vehicle.kind == 'bus':  # the fan of the engine at the back: a tone that blades make
        fan = rng.uniform(9, 12) * rng.uniform(26, 34)
        t = 2 * np.pi * fan * np.arange(samples) / rate
        sound = sound + .35 * (np.sin(t) + .6 * np.sin(2 * t) + .3 * np.sin(3 * t))
    return sound.astype(np.float32)
