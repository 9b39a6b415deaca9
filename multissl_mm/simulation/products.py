"""Pictures of real products: photographs of Fashion-MNIST on grounds with a texture.

The photographs are those of the data set (28 x 28, grey, 70,000 of ten classes; Debian's package
``dataset-fashion-mnist``), enlarged, turned and dyed: the colour says nothing of the class. Where
something is, is known: a photograph's own pixels that are not its black ground.
"""
import gzip
import struct
from functools import lru_cache, partial
from pathlib import Path
from typing import List, Tuple

import cv2
import numpy as np

from ..errors import MultiSSLError
from ..utils.keyed_random import key_to_seed
from .pictures import Drawn, Pictures, annotated
from .render import Array, develop, texture

#: In the order of the data set's labels.
PRODUCTS = ('t-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag',
            'ankle_boot')
SIDE = 28
BRIGHT = 20  # of 255: darker pixels may be crumbs
#: Raise it when the same seed gives other pictures than before.
VERSION = 1


@lru_cache(maxsize=4)
def photographs(folder: str, split: str) -> Tuple[Array, Array]:
    """Photographs (N, 28, 28), uint8, and labels (N,) of ``train`` or ``t10k``.

    Raises:
        MultiSSLError: If the files are not there, or are others.
    """
    found = []
    for name, magic in ((f'{split}-images-idx3-ubyte.gz', 2051),
                        (f'{split}-labels-idx1-ubyte.gz', 2049)):
        path = Path(folder) / name
        if not path.is_file():
            raise MultiSSLError(f'{path}: no such file; tools/evidence/fetch.sh products fetches '
                                'the data set')
        content = gzip.decompress(path.read_bytes())
        axes = magic & 255
        start = 4 * (axes + 1)
        kind, *shape = struct.unpack_from(f'>{axes + 1}i', content)
        if kind != magic or len(content) != start + int(np.prod(shape)):
            raise MultiSSLError(f'{path}: this is no file of Fashion-MNIST; fetch it again')
        found.append(np.frombuffer(content, np.uint8, offset=start).reshape(shape))
    return found[0], found[1]


def products(folder: str) -> Pictures:
    """Pictures of the products in a folder with the four files of Fashion-MNIST."""
    for split in ('train', 't10k'):  # an error now, before anything is written
        photographs(folder, split)
    return Pictures('products', PRODUCTS, partial(draw_products, folder), VERSION, 'product',
                    'Products of Fashion-MNIST on textured grounds', 'MIT')


def items_for(labels: Array, seed: int, test: bool) -> Array:
    """Which photographs a picture may show: their numbers.

    Training pictures show those of the data set's training half, test pictures those of its test
    half. Of the latter every second one, by the seed: so settings that are chosen on the pictures
    of one seed have seen nothing that those of the next are tested on.
    """
    every = np.arange(len(labels))
    return every[every % 2 == seed % 2] if test else every


def draw_products(folder: str, seed: int, part: str, index: int, size: int, test: bool) -> Drawn:
    """Picture ``index`` of a part, and its products, from the back to the front.

    Args:
        folder (str): With the files of Fashion-MNIST.
        seed, part, index: What the picture depends on.
        size (int): Its side in pixels.
        test (bool): Whether it is one to test on, see :func:`items_for`.
    """
    rng = np.random.default_rng(key_to_seed('products', seed, part, index))
    images, labels = photographs(folder, 't10k' if test else 'train')
    choice = items_for(labels, seed, test)
    many = rng.random() < .5
    count = int(rng.integers(2, 5) if many else 1)
    picture = ground(rng, size)
    masks: List[Array] = []
    kinds, areas = [], []
    for _ in range(count):
        item = int(choice[rng.integers(len(choice))])
        height = size * (rng.uniform(.35, .6) if many else rng.uniform(.5, .9))
        place = rng.uniform(.15, .85, 2) * size if many else rng.uniform(.35, .65, 2) * size
        shade, cover = placed(rng, images[item], height, place, size)
        whole = placed_area(images[item], height)
        dye = np.clip(rng.uniform(.45, 1.25) + rng.normal(0, .22, 3), .15, 1.5)
        soft = cover[..., None]
        picture = picture * (1 - soft) + soft * (shade[..., None] * dye + 12)
        seen = cover > .5
        masks = [mask & ~seen for mask in masks] + [seen]
        kinds.append(PRODUCTS[labels[item]])
        areas.append(whole)
    return annotated(develop(picture, rng), kinds, masks, areas)


def placed(rng: np.random.Generator, photograph: Array, height: float, place: Array, size: int
           ) -> Tuple[Array, Array]:
    """A photograph in a picture: its grey values (size, size), and how much it covers (0 to 1).

    Args:
        rng (Generator): Of its turn (up to 25 degrees, either side) and its mirroring.
        photograph (array): (28, 28).
        height (float): Of the photograph in the picture, in pixels.
        place (array): Of its middle: x and y.
        size (int): Side of the picture.
    """
    if rng.random() < .5:
        photograph = photograph[:, ::-1]
    scale = height / SIDE
    middle = (SIDE - 1) / 2
    matrix = np.array(cv2.getRotationMatrix2D((middle, middle), rng.uniform(-25, 25), scale))
    matrix[:, 2] = matrix[:, 2] + place - middle
    there = silhouette(photograph)
    # Beyond its edge a product goes on in its own colour, so that no black ground shines through.
    filled = cv2.inpaint(np.ascontiguousarray(photograph), 1 - there, 2, cv2.INPAINT_TELEA)
    shade = cv2.warpAffine(filled.astype(np.float32), matrix, (size, size), flags=cv2.INTER_CUBIC,
                           borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.warpAffine(there.astype(np.float32), matrix, (size, size), flags=cv2.INTER_CUBIC)
    return np.clip(shade, 0, 255), np.clip((cover - .5) * 2 * min(scale, 3) / 2 + .5, 0, 1)


def silhouette(photograph: Array) -> Array:
    """Where the product is, (28, 28), 0 or 1.

    Its pixels that are not black; around many products the data set has left crumbs of what the
    photograph's ground was, dark and a pixel or two away. So what is dark belongs to the product
    only where something bright touches it, or surrounds it.
    """
    there, bright = photograph > 0, (photograph > BRIGHT).astype(np.uint8)
    touched = cv2.dilate(bright, np.ones((3, 3), np.uint8)) > 0
    pixels = ((there & touched) | (bright > 0)).astype(np.uint8)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(pixels)
    core = np.isin(parts, [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= 8])
    outlines, _ = cv2.findContours(core.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    inside = cv2.drawContours(np.zeros_like(bright), outlines, -1, 1, -1) > 0
    return (core | (inside & there)).astype(np.uint8)


def placed_area(photograph: Array, height: float) -> int:
    """Pixels that a product would cover if nothing hid it."""
    return int(silhouette(photograph).sum() * (height / SIDE)**2)


def ground(rng: np.random.Generator, size: int) -> Array:
    """What products lie on (size, size, 3): cloth, boards, tiles or plaster, of any colour."""
    base = rng.uniform(40, 215) + rng.normal(0, 28, 3)
    other = base + rng.normal(0, 45) + rng.normal(0, 15, 3)
    y, x = np.mgrid[:size, :size].astype(np.float32) / size
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    period = rng.uniform(.05, .3)
    bent = along + .3 * period * texture(rng, size, size, max(size // 6, 2), 1.)[..., 0]
    share = {
        0: lambda: .5 + .5 * np.sin(2 * np.pi * bent / period),  # stripes, boards
        1: lambda: ((np.floor(along / period) + np.floor(across / period)) % 2),  # tiles
        2: lambda: .5 + .25 * (np.sign(np.sin(2 * np.pi * along / period)) +
                               np.sign(np.sin(2 * np.pi * across / period))) / 2,  # checked cloth
        3: lambda: np.zeros_like(x),  # plaster
    }[int(rng.integers(4))]()
    image = base + share[..., None] * (other - base)
    for grain in (max(size // 5, 2), 7, 2):
        image = image + texture(rng, size, size, grain, rng.uniform(1, 8))
    light = 1 + rng.uniform(-.25, .25) * (x - .5) + rng.uniform(-.25, .25) * (y - .5)
    return np.clip(image * light[..., None], 0, 255)
