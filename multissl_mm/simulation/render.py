"""Draws a scene as a camera in the street sees it, with instance masks.

Vehicles are boxes in space with painted faces, drawn from far to near. Everything that turns a
point in space into a pixel is :func:`pinhole`; another camera is another such function.
"""
from typing import Callable, Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from .scene import CAMERA_HEIGHT, Scene, State, Vehicle

Array = np.ndarray
Project = Callable[[Array], Array]


class Picture(NamedTuple):
    """What the camera saw.

    image: (H, W, 3), uint8, BGR. masks: per vehicle (H, W), bool, its visible part. areas: per
    vehicle, the number of pixels it would cover if nothing stood before it and the picture went on.
    """
    image: Array
    masks: List[Array]
    areas: List[int]


def pinhole(azimuth: float, view: float, width: int, height: int, horizon: float) -> Project:
    """A camera: maps points (N, 3) in metres to (N, 3), pixel x, pixel y and depth.

    Args:
        azimuth (float): Of the optical axis, degrees.
        view (float): Horizontal field of view, degrees.
        width (int): Of the picture.
        height (int): Of the picture.
        horizon (float): Its height in the picture, 0 at the top, 1 at the bottom.
    """
    a = np.deg2rad(azimuth)
    focal = width / 2 / np.tan(np.deg2rad(view) / 2)

    def project(points: Array) -> Array:
        ahead = points[:, 0] * np.cos(a) + points[:, 1] * np.sin(a)
        left = points[:, 1] * np.cos(a) - points[:, 0] * np.sin(a)
        depth = np.maximum(ahead, 0.3)
        x = width / 2 - focal * left / depth
        y = height * horizon - focal * (points[:, 2] - CAMERA_HEIGHT) / depth
        return np.stack([x, y, ahead], axis=1)

    return project


# ---------------------------------------------------------------------- vehicles

class Box(NamedTuple):
    """Part of a vehicle: extents along, across and up, as shares of its size; its paint."""
    along: Tuple[float, float]
    across: Tuple[float, float]
    up: Tuple[float, float]
    paint: str  # key of the look
    windows: Tuple[int, float, float] = (0, 0., 0.)  # on the sides: count, lower and upper edge
    glass_ends: bool = False


PARTS: Dict[str, List[Box]] = {
    'bus': [Box((-.5, .5), (-.5, .5), (.1, 1), 'body', (7, .45, .85), True)],
    'car': [Box((-.5, .5), (-.5, .5), (.15, .58), 'body'),
            Box((-.3, .22), (-.44, .44), (.58, 1), 'body', (2, .1, .85), True)],
    'tram': [Box((-.5, -.18), (-.5, .5), (.06, .88), 'body', (3, .45, .85), True),
             Box((-.16, .16), (-.5, .5), (.06, .88), 'body', (3, .45, .85), True),
             Box((.18, .5), (-.5, .5), (.06, .88), 'body', (3, .45, .85), True),
             Box((-.19, .19), (-.42, .42), (.1, .82), 'dark'),
             Box((-.05, .02), (-.25, .25), (.88, 1.12), 'dark')],
    'motorcycle': [Box((-.32, .3), (-.16, .16), (.22, .52), 'body'),
                   Box((-.22, .1), (-.42, .42), (.5, 1.02), 'cloth'),
                   Box((-.1, .08), (-.2, .2), (1.02, 1.28), 'helmet'),
                   Box((.22, .32), (-.5, .5), (.6, .72), 'dark')],
    'truck': [Box((.27, .5), (-.48, .48), (.12, .72), 'cab', (1, .5, .9), True),
              Box((-.5, .23), (-.5, .5), (.22, 1), 'body'),
              Box((-.45, .27), (-.4, .4), (.12, .22), 'dark')],
}
WHEELS: Dict[str, Tuple[Sequence[float], float]] = {  # places along, radius in metres
    'bus': ((-.3, .33), .5), 'car': ((-.32, .32), .33), 'tram': ((), 0.),
    'motorcycle': ((-.36, .36), .33), 'truck': ((-.38, -.26, .36), .52),
}


def _look(vehicle: Vehicle) -> Tuple[Dict[str, Array], np.random.Generator]:
    rng = np.random.default_rng(vehicle.look)

    def paint() -> Array:
        hsv = np.array([[[rng.integers(180), rng.integers(20, 255), rng.integers(50, 250)]]],
                       np.uint8)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].astype(float)

    look = {k: paint() for k in ('body', 'cab', 'cloth', 'helmet', 'stripe')}
    look['dark'] = np.full(3, rng.uniform(15, 50))
    look['glass'] = np.array([70., 60, 50]) + rng.uniform(-30, 60)
    return look, rng


class Canvas:
    """Draws polygons in space into a picture and, at once, into a mask."""

    def __init__(self, image: Array, project: Project, light: Array) -> None:
        self.image, self.project, self.light = image, project, light
        self.mask = np.zeros(image.shape[:2], np.uint8)

    def polygon(self, points: Array, color: Array, covers: bool = True) -> None:
        """Points (N, 3) in metres, BGR colour 0..255; ``covers``: is part of the object."""
        xyz = self.project(points)
        if (xyz[:, 2] < 0.5).any():
            return  # behind the camera
        pixels = np.clip(np.round(xyz[:, :2] * 16), -2**20, 2**20).astype(np.int32)
        shade = [float(c) for c in np.clip(color * self.light, 0, 255)]
        cv2.fillPoly(self.image, [pixels], shade, cv2.LINE_AA, 4)
        if covers:
            cv2.fillPoly(self.mask, [pixels], 1, cv2.LINE_8, 4)


def draw_vehicle(canvas: Canvas, vehicle: Vehicle, state: State) -> None:
    """Paints a vehicle at its place; the camera is at the origin."""
    look, rng = _look(vehicle)
    size = np.array(vehicle.size)
    c, s = np.cos(state.heading), np.sin(state.heading)

    def world(local: Array) -> Array:  # (N, 3) in metres along, across and up
        return np.stack([state.x + c * local[:, 0] - s * local[:, 1],
                         state.y + s * local[:, 0] + c * local[:, 1], local[:, 2]], axis=1)

    camera = np.array([-(c * state.x + s * state.y), s * state.x - c * state.y, CAMERA_HEIGHT])
    stripe = rng.random() < 0.5
    advert = rng.random() < 0.5

    shadow = world(np.array([[a, b, 0.02] for a, b in ((-.52, -.6), (.52, -.6), (.52, .6),
                                                       (-.52, .6))]) * [*size[:2], 1])
    canvas.polygon(shadow, np.full(3, 35.), covers=False)
    _wheels(canvas, vehicle, world, camera, far=True)
    boxes = sorted(PARTS[vehicle.kind], key=lambda box: -np.linalg.norm(
        [np.mean(e) * n - p for e, n, p in zip((box.along, box.across, box.up), size, camera)]))
    if vehicle.kind == 'motorcycle':
        boxes = PARTS['motorcycle']
    for box in boxes:
        low = np.array([box.along[0], box.across[0], box.up[0]]) * size
        high = np.array([box.along[1], box.across[1], box.up[1]]) * size
        for axis, side in ((2, 1), (0, -1), (0, 1), (1, -1), (1, 1)):
            edge = high[axis] if side > 0 else low[axis]
            if (camera[axis] - edge) * side <= 0:
                continue  # turned away
            u, v = [i for i in range(3) if i != axis]

            def face(u0: float, u1: float, v0: float, v1: float, axis: int = axis, u: int = u,
                     v: int = v, edge: float = edge, low: Array = low, high: Array = high
                     ) -> Array:
                corners = np.empty((4, 3))
                corners[:, axis] = edge
                corners[:, u] = low[u] + (high[u] - low[u]) * np.array([u0, u1, u1, u0])
                corners[:, v] = low[v] + (high[v] - low[v]) * np.array([v0, v0, v1, v1])
                return world(corners)

            tone = (0.75, 1.0, 1.2)[axis]
            canvas.polygon(face(0, 1, 0, 1), look[box.paint] * tone)
            if axis == 1:
                count, bottom, top = box.windows
                if stripe and box.paint == 'body':
                    canvas.polygon(face(0, 1, .22, .36), look['stripe'])
                if advert and vehicle.kind in ('truck', 'bus') and box.paint == 'body':
                    canvas.polygon(face(.2, .7, .3, .42 if count else .8), look['cab'])
                for i in range(count):
                    canvas.polygon(face((i + .12) / count, (i + .88) / count, bottom, top),
                                   look['glass'])
            if axis == 0 and box.glass_ends:
                canvas.polygon(face(.1, .9, .45, .9), look['glass'] * 1.2)
            if axis == 0 and box.paint in ('body', 'cab') and vehicle.kind != 'motorcycle':
                lamp = np.array([200., 245, 255]) if side > 0 else np.array([30., 30, 230])
                for place in (.05, .78):
                    canvas.polygon(face(place, place + .17, .12, .24), lamp)
    _wheels(canvas, vehicle, world, camera, far=False)


def _wheels(canvas: Canvas, vehicle: Vehicle, world: Callable[[Array], Array], camera: Array,
            far: bool) -> None:
    places, radius = WHEELS[vehicle.kind]
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    near_side = 1 if camera[1] > 0 else -1
    offset = (-1 if far else 1) * near_side * vehicle.size[1] * .5
    if vehicle.kind == 'motorcycle':
        offset = 0.
    for place in places:
        for share, grey in ((1., 25.), (.55, 120.)):
            rim = np.stack([place * vehicle.size[0] + share * radius * np.cos(turn),
                            np.full(16, offset), radius + share * radius * np.sin(turn)], axis=1)
            canvas.polygon(world(rim), np.full(3, grey))


# ---------------------------------------------------------------------- surroundings

def texture(rng: np.random.Generator, height: int, width: int, grain: int,
            strength: float) -> Array:
    """Smooth noise (height, width, 1), of spots about ``grain`` pixels wide."""
    coarse = rng.normal(0, strength, (max(2, height // grain), max(2, width // grain), 1))
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]


def _background(rng: np.random.Generator, height: int, width: int, horizon: float) -> Array:
    """Sky, houses, trees, pavement and road (H, W, 3), float."""
    image: Array = np.empty((height, width, 3))
    top = int(height * horizon)
    sky = [np.array(c, float) for c in (
        (235, 200, 150), (200, 195, 190), (140, 150, 230), (90, 60, 45), (225, 225, 225))]
    a, b = sky[rng.integers(len(sky))], sky[rng.integers(len(sky))]
    ramp = np.linspace(0, 1, max(top, 1))[:, None, None]
    image[:top] = a * (1 - ramp) + b * ramp
    image[top:] = np.full(3, rng.uniform(60, 150)) + rng.normal(0, 8, 3)
    image += texture(rng, height, width, 6, 9) + texture(rng, height, width, 2, 6)
    image = np.ascontiguousarray(image)
    x = -float(rng.uniform(0, 30))
    while x < width:  # houses
        w, h = rng.uniform(.12, .45) * width, rng.uniform(.25, 1.1) * top
        if rng.random() < .75:
            wall = rng.uniform(50, 210, 3) * .5 + rng.uniform(60, 200) * .5
            cv2.rectangle(image, (int(x), int(top - h)), (int(x + w), top + 3), wall.tolist(), -1)
            rows, columns = rng.integers(2, 7), rng.integers(2, 7)
            pane = rng.uniform(20, 230, 3).tolist()
            for i in range(rows):
                for j in range(columns):
                    cx, cy = x + (j + .5) * w / columns, top - h + (i + .5) * h / rows
                    dx, dy = .28 * w / columns, .3 * h / rows
                    cv2.rectangle(image, (int(cx - dx), int(cy - dy)), (int(cx + dx), int(cy + dy)),
                                  pane, -1)
        x += float(w * rng.uniform(.8, 1.3))
    for _ in range(rng.integers(0, 5)):  # trees
        trunk, r = rng.uniform(0, width), rng.uniform(.05, .16) * height
        green = np.array([rng.uniform(20, 70), rng.uniform(60, 140), rng.uniform(20, 110)])
        cv2.line(image, (int(trunk), top + 4), (int(trunk), int(top - r)), (30, 50, 70), 3)
        for _ in range(9):
            at = (int(trunk + rng.normal(0, r * .5)), int(top - 1.3 * r + rng.normal(0, r * .4)))
            cv2.circle(image, at, int(r * rng.uniform(.3, .7)),
                       (green * rng.uniform(.7, 1.3)).tolist(), -1)
    for _ in range(rng.integers(0, 4)):  # lines on the road
        y = rng.uniform(top + 5, height)
        cv2.line(image, (0, int(y)), (width, int(y + rng.normal(0, 12))),
                 (rng.uniform(120, 240), ) * 3, int(rng.integers(1, 4)))
    return image


def _occluders(canvas: Canvas, rng: np.random.Generator, height: int, width: int) -> None:
    """Posts and leaves near the camera."""
    for _ in range(rng.integers(0, 3)):
        x, w = int(rng.uniform(0, width)), int(rng.integers(2, max(3, width // 28)))
        color = rng.uniform(20, 160, 3).tolist()
        for target, paint in ((canvas.image, color), (canvas.mask, 1)):
            cv2.rectangle(target, (x, 0), (x + w, height), paint, -1)
    if rng.random() < .25:
        cx, cy = rng.uniform(0, width), rng.choice([0, height])
        for _ in range(12):
            at = (int(cx + rng.normal(0, 14)), int(cy + rng.normal(0, 12)))
            r, color = int(rng.integers(3, 9)), (30., rng.uniform(60, 130), rng.uniform(20, 80))
            for target, paint in ((canvas.image, color), (canvas.mask, 1)):
                cv2.circle(target, at, r, paint, -1)


def render(scene: Scene, t: float = 0., size: Tuple[int, int] = (160, 160), azimuth: float = 0.,
           view: float = 60.) -> Picture:
    """A picture of a scene at a time.

    Args:
        scene (Scene): What is there.
        t (float): Seconds.
        size (tuple[int, int]): Height and width in pixels.
        azimuth (float): Where the camera looks, degrees.
        view (float): Its horizontal field of view, degrees.
    """
    height, width = size
    rng = np.random.default_rng(scene.seed)
    horizon = rng.uniform(.38, .6)
    image = _background(rng, height, width, horizon)
    project = pinhole(azimuth, view, width, height, horizon)
    light = np.full(3, rng.uniform(.55, 1.15)) * (1 + rng.normal(0, .06, 3))
    image *= light
    masks, areas = [], []
    states = scene.state(t)
    order = sorted(range(len(states)), key=lambda i: -states[i].distance)
    found: Dict[int, Array] = {}
    for i in order:
        canvas = Canvas(image, project, light)
        draw_vehicle(canvas, scene.vehicles[i], states[i])
        for mask in found.values():
            mask &= canvas.mask == 0
        found[i] = canvas.mask > 0
    front = Canvas(image, project, light)
    _occluders(front, rng, height, width)
    for i, vehicle in enumerate(scene.vehicles):
        masks.append(found[i] & (front.mask == 0))
        # The same camera in the middle of a picture three times as large: nothing is cut off.
        whole = Canvas(np.zeros((3 * height, 3 * width, 3)),
                       lambda p: project(p) + [width, height, 0], light)
        draw_vehicle(whole, vehicle, states[i])
        areas.append(int(whole.mask.sum()))
    return Picture(develop(image, rng), masks, areas)


def develop(image: Array, rng: np.random.Generator) -> Array:
    """Contrast, blur and noise of the camera; to uint8."""
    image = (image - 110) * rng.uniform(.75, 1.2) + 110 + rng.uniform(-18, 18)
    if rng.random() < .35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(.4, 1.1))
    image += rng.normal(0, rng.uniform(1, 7), image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)
