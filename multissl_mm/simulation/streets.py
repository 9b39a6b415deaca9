"""Pictures of streets with vehicles."""
import numpy as np

from ..utils.keyed_random import key_to_seed
from .pictures import Drawn, Pictures, annotated
from .render import render
from .scene import CLASSES, random_scene


def draw(seed: int, part: str, index: int, size: int, test: bool = False) -> Drawn:
    """Picture ``index`` of a part, (size, size, 3) BGR, and its vehicles.

    No vehicle comes twice, so ``test`` changes nothing.
    """
    rng = np.random.default_rng(key_to_seed('picture', seed, part, index))
    many = rng.random() < .5
    scene = random_scene(rng, int(rng.integers(2, 5) if many else 1), view=60.,
                         fill=rng.uniform(.35, .6) if many else rng.uniform(.5, .8))
    picture = render(scene, t=0., size=(size, size))
    return annotated(picture.image, [vehicle.kind for vehicle in scene.vehicles], picture.masks,
                     picture.areas)


STREETS = Pictures('streets', CLASSES, draw, 2, 'vehicle', 'Simulated street scenes', 'Apache-2.0')
