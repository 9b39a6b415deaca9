"""What happens in a street: vehicles that move past a listener. No drawing, no sound here.

Metres and seconds; the listener and camera stand at the origin, x points ahead, y to the left,
z up. Azimuth is 0 ahead and positive to the left, in degrees, as is usual for binaural sound.
"""
from dataclasses import dataclass, replace
from math import atan2, cos, degrees, hypot, pi, radians, sin
from typing import Dict, List, NamedTuple, Tuple

import numpy as np

from ..datasets.classes import CLASSES

#: (length, width, height) in metres, before a random factor of 0.85 to 1.15
SIZES: Dict[str, Tuple[float, float, float]] = {
    'bus': (11., 2.5, 3.1), 'car': (4.3, 1.8, 1.45), 'tram': (20., 2.4, 3.3),
    'motorcycle': (2.1, 0.7, 1.3), 'truck': (8.5, 2.5, 3.4),
}
CAMERA_HEIGHT = 1.7


class State(NamedTuple):
    """Of one vehicle at one time, as the listener finds it."""
    x: float
    y: float
    azimuth: float  # degrees
    distance: float  # metres
    heading: float  # radians, direction of travel
    angular_width: float  # degrees


@dataclass(frozen=True)
class Vehicle:
    """A vehicle on a straight track; ``look`` seeds everything about its appearance."""
    kind: str
    size: Tuple[float, float, float]
    start: Tuple[float, float]
    velocity: Tuple[float, float]  # m/s; (0, 0) is parked, along ``heading``
    heading: float
    look: int

    def state(self, t: float) -> State:
        """Where it is at ``t`` seconds."""
        x, y = self.start[0] + self.velocity[0] * t, self.start[1] + self.velocity[1] * t
        distance = max(hypot(x, y), 1e-6)
        turn = self.heading - atan2(y, x)
        across = abs(self.size[0] * sin(turn)) + abs(self.size[1] * cos(turn))
        return State(x, y, degrees(atan2(y, x)), distance, self.heading,
                     degrees(2 * atan2(across / 2, distance)))


    @property
    def moves(self) -> bool:
        """Parked vehicles are silent."""
        return self.velocity != (0., 0.)

    def rotated(self, angle: float) -> 'Vehicle':
        """The same vehicle with all directions turned by ``angle`` degrees to the left."""
        c, s = cos(radians(angle)), sin(radians(angle))
        (x, y), (u, v) = self.start, self.velocity
        return replace(self, start=(c * x - s * y, s * x + c * y),
                       velocity=(c * u - s * v, s * u + c * v) if self.moves else (0., 0.),
                       heading=self.heading + radians(angle))


@dataclass(frozen=True)
class Scene:
    """A street: its vehicles, and the seed of its surroundings, light and acoustics.

    ``turn`` is the direction, in degrees, in which the surroundings lie that were drawn ahead.
    """
    seed: int
    vehicles: Tuple[Vehicle, ...]
    turn: float = 0.

    def state(self, t: float) -> List[State]:
        """States of all vehicles at ``t`` seconds."""
        return [vehicle.state(t) for vehicle in self.vehicles]

    def rotated(self, angle: float) -> 'Scene':
        """The whole scene turned by ``angle`` degrees to the left around the listener."""
        return replace(self, vehicles=tuple(v.rotated(angle) for v in self.vehicles),
                       turn=self.turn + angle)


def _size(rng: np.random.Generator, kind: str) -> Tuple[float, float, float]:
    length, width, height = (np.array(SIZES[kind]) * rng.uniform(0.85, 1.15, 3)).tolist()
    return length, width, height


def random_vehicle(rng: np.random.Generator, kind: str, azimuth: float, distance: float) -> Vehicle:
    """A vehicle that is at ``azimuth`` (degrees) and ``distance`` (metres) at t = 0."""
    size = _size(rng, kind)
    direction = azimuth * pi / 180
    # Mostly across the view, at times towards or away.
    heading = direction + rng.choice([-1, 1]) * (pi / 2 + rng.normal(0, 0.5))
    speed = rng.uniform(4, 15) if rng.random() < 0.9 else 0.
    return Vehicle(kind, size, (distance * cos(direction), distance * sin(direction)),
                   (speed * cos(heading), speed * sin(heading)), float(heading),
                   int(rng.integers(2**31)))


def random_scene(rng: np.random.Generator, vehicles: int, view: float = 60.,
                 fill: float = 0.5) -> Scene:
    """A scene with vehicles of random classes ahead of the listener.

    Args:
        rng (Generator): Source of all choices.
        vehicles (int): How many.
        view (float): Degrees ahead in which they are at t = 0.
        fill (float): Median share of the view that a vehicle fills from end to end.
    """
    found = []
    for _ in range(vehicles):
        kind = str(rng.choice(CLASSES))
        share = np.clip(fill * np.exp(rng.normal(0, 0.35)), 0.12, 1.0)
        width = share * view * pi / 180
        distance = max(SIZES[kind][0] * 0.85 / width, 3.5)
        found.append(random_vehicle(rng, kind, rng.uniform(-0.36, 0.36) * view, distance))
    return Scene(int(rng.integers(2**31)), tuple(found))


#: Lateral places of the lanes in metres from the middle of the road, and their direction.
LANES = ((-8.5, 1), (-5., 1), (5., -1), (8.5, -1))


def street_scene(rng: np.random.Generator, seconds: float, per_minute: float = 9.,
                 parked: int = 3) -> Scene:
    """A road that traffic passes along, all around a listener on an island or a pavement.

    Args:
        rng (Generator): Source of all choices.
        seconds (float): How long the scene lasts.
        per_minute (float): Median number of vehicles that pass in a minute.
        parked (int): At most this many silent vehicles stand beyond the lanes.
    """
    along = rng.uniform(0, 2 * pi)
    # Of the listener, across the road: on an island in its middle, or at either side of it.
    own = rng.choice([0., 0., -12., 12.]) + rng.uniform(-.5, .5)

    def vehicle(s: float, lane: float, velocity: float) -> Vehicle:
        kind = str(rng.choice(CLASSES))
        size = _size(rng, kind)
        c, n, y = cos(along), sin(along), lane - own
        return Vehicle(kind, size, (c * s - n * y, n * s + c * y),
                       (c * velocity, n * velocity) if velocity else (0., 0.),
                       along + (pi if velocity < 0 else 0.), int(rng.integers(2**31)))

    vehicles = []
    # Some lanes are busy; their vehicles follow each other at the lane's speed, some seconds apart.
    busy = rng.permutation(len(LANES))[:rng.integers(1, 3)]
    gap = len(busy) * 60 / (per_minute * rng.uniform(.8, 1.25))
    for lane, direction in (LANES[i] for i in busy):
        speed = direction * rng.uniform(4., 9.)
        passing = rng.uniform(-gap / 2, gap / 2)
        while passing < seconds + gap / 2:
            vehicles.append(vehicle(-speed * passing, lane, speed))
            passing += max(gap * rng.uniform(.6, 1.4), 26 / abs(speed))
    for _ in range(rng.integers(0, parked + 1)):
        side = rng.choice([-1, 1])
        edge = side * (max(LANES[-1][0], side * own) + rng.uniform(3.5, 6.))
        vehicles.append(vehicle(rng.uniform(-20, 20), edge, 0.))
    return Scene(int(rng.integers(2**31)), tuple(vehicles))
