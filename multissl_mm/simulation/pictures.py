"""Pictures with annotated objects, whatever they show: streets, or real products."""
from typing import Callable, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

#: An object smaller than this (pixels, visible) is not annotated at all.
MIN_AREA = 40


class Item(NamedTuple):
    """One annotated object: box (x, y, width, height) and polygons in pixels."""
    kind: str
    box: Tuple[int, int, int, int]
    area: int
    polygons: List[List[float]]
    truncated: bool
    difficult: bool


#: A picture (size, size, 3), BGR, and its objects.
Drawn = Tuple[np.ndarray, List[Item]]


class Pictures(NamedTuple):
    """What is written: names for manifests, classes, and how picture ``index`` is drawn.

    Args:
        name (str): Of manifests.
        classes (tuple[str]): In the order of their labels.
        draw (callable): From seed, part, index, size and whether it is a picture to test on.
        version (int): Raised when the same seed gives other pictures than before.
        kind (str): What all classes are, for COCO's categories.
        description (str): For COCO's file.
        licence (str): Of the pictures.
    """
    name: str
    classes: Tuple[str, ...]
    draw: Callable[[int, str, int, int, bool], Drawn]
    version: int
    kind: str
    description: str
    licence: str


def annotated(image: np.ndarray, kinds: Sequence[str], masks: Sequence[np.ndarray],
              areas: Sequence[int]) -> Drawn:
    """A picture and its objects.

    Args:
        image (array): (H, H, 3).
        kinds (sequence[str]): Of each object.
        masks (sequence[array]): (H, H) of each, where it is seen.
        areas (sequence[int]): Pixels of each if nothing hid it.
    """
    size, items = len(image), []
    for kind, mask, whole in zip(kinds, masks, areas):
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL,
                                       cv2.CHAIN_APPROX_NONE)
        # Box and area are those of the polygons as COCO reads them, without slivers a pixel wide.
        polygons = [c.reshape(-1).astype(float).tolist() for c in contours
                    if cv2.contourArea(c) >= 4]
        if not polygons:
            continue
        mask = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, size, size)))
        area = int(mask.sum())
        if area < MIN_AREA:
            continue
        share = area / max(whole, 1)
        x, y, w, h = cv2.boundingRect(mask)
        box = x, y, w, h
        items.append(Item(kind, box, area, polygons, truncated=_cut_off(box, size),
                          difficult=share < .3 or area < size * size / 160))
    return image, items


def _cut_off(box: Tuple[int, int, int, int], size: int) -> bool:
    """VOC's "truncated": the object goes on beyond the picture."""
    x, y, w, h = box
    return x == 0 or y == 0 or x + w == size or y + h == size
