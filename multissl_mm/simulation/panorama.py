"""Draws a scene as a 360-degree camera at the listener's place sees it."""
from typing import NamedTuple, Tuple

import cv2
import numpy as np

from .hearing import REACH
from .render import Array, Canvas, Project, _background, draw_vehicle
from .scene import CAMERA_HEIGHT, CLASSES, Scene

#: Noise pictures of a camera, one of which is laid, shifted, over every frame.
GRAINS = 8


class Panorama(NamedTuple):
    """image: (H, W, 3), uint8, BGR. labels: (H, W), uint8, class + 1 of what sounds there, or 0."""
    image: Array
    labels: Array


def equirectangular(width: int, height: int) -> Project:
    """The camera: maps points (N, 3) in metres to (N, 3), pixel x, pixel y and distance.

    Azimuth a is at x = (0.5 - a / 360) * width, elevation e at y = (0.5 - e / 180) * height.
    """

    def project(points: Array) -> Array:
        azimuth = np.arctan2(points[:, 1], points[:, 0])
        distance = np.hypot(points[:, 0], points[:, 1])
        elevation = np.arctan2(points[:, 2] - CAMERA_HEIGHT, distance)
        return np.stack([(.5 - azimuth / (2 * np.pi)) * width, (.5 - elevation / np.pi) * height,
                         distance], axis=1)

    return project


class WrappingCanvas(Canvas):
    """Straight edges in space are curved in the picture, and may cross its seam."""

    def polygon(self, points: Array, color: Array, covers: bool = True) -> None:
        width = self.image.shape[1]
        xy = self._near(self.project(points)[:, :2], width)
        extent = np.ptp(xy, axis=0).max()
        if extent < .5:
            return  # too small to be seen
        if extent > 8:
            share = np.arange(4)[None, :, None] / 4
            edges = points[:, None] * (1 - share) + np.roll(points, -1, axis=0)[:, None] * share
            xy = self._near(self.project(edges.reshape(-1, 3))[:, :2], width)
        shade = [float(c) for c in np.clip(color * self.light, 0, 255)]
        for turn in (-width, 0, width):
            if xy[:, 0].max() + turn < 0 or xy[:, 0].min() + turn >= width:
                continue
            # Pixel i spans i to i + 1, OpenCV's coordinates are those of centres.
            pixels = np.round((xy + [turn - .5, -.5]) * 16).astype(np.int32)
            cv2.fillPoly(self.image, [pixels], shade, cv2.LINE_AA, 4)
            if covers:
                cv2.fillPoly(self.mask, [pixels], 1, cv2.LINE_8, 4)


    @staticmethod
    def _near(xy: Array, width: int) -> Array:
        """The same points, each on that side of the seam that is nearer to the first one."""
        xy[:, 0] -= width * np.rint((xy[:, 0] - xy[0, 0]) / width)
        return xy


class PanoramaCamera:
    """Films a scene; what does not move is drawn once.

    Args:
        scene (Scene): What is there.
        size (tuple[int, int]): Height and width in pixels of the whole sphere.
    """

    def __init__(self, scene: Scene, size: Tuple[int, int] = (128, 256)) -> None:
        self.scene = scene
        height, width = size
        rng = np.random.default_rng([scene.seed, 4])
        self.project = equirectangular(width, height)
        self.light = np.full(3, rng.uniform(.6, 1.15)) * (1 + rng.normal(0, .05, 3))
        over = width // 8  # drawn beyond the seam and blended in, so that the ends meet
        image = _background(rng, height, width + over, .5) * self.light
        share = np.linspace(1, 0, over)[None, :, None]
        image[:, :over] = image[:, width:] * share + image[:, :over] * (1 - share)
        image = np.roll(image[:, :width], -round(scene.turn / 360 * width), axis=1)
        self.still = np.clip(image, 0, 255).astype(np.uint8)
        # They stand beyond the lanes, so whatever moves passes before them.
        parked = [v for v in scene.vehicles if not v.moves]
        for vehicle in sorted(parked, key=lambda v: -v.state(0).distance):
            draw_vehicle(WrappingCanvas(self.still, self.project, self.light), vehicle,
                         vehicle.state(0))
        strength = rng.uniform(1, 5)
        self.grains = np.round(rng.normal(0, strength, (GRAINS, *self.still.shape))).astype(
            np.int16)

    def frame(self, t: float) -> Panorama:
        """The picture at ``t`` seconds."""
        image, labels = self.still.copy(), np.zeros(self.still.shape[:2], np.uint8)
        there = [(v, v.state(t)) for v in self.scene.vehicles if v.moves]
        there = [(v, s) for v, s in there if s.distance < REACH]
        for vehicle, state in sorted(there, key=lambda pair: -pair[1].distance):
            canvas = WrappingCanvas(image, self.project, self.light)
            draw_vehicle(canvas, vehicle, state)
            labels[canvas.mask > 0] = CLASSES.index(vehicle.kind) + 1
        rng = np.random.default_rng([self.scene.seed, int(t * 1000)])
        grain = np.roll(self.grains[rng.integers(GRAINS)], int(rng.integers(image.shape[1])), 1)
        return Panorama(np.clip(image + grain, 0, 255).astype(np.uint8), labels)
