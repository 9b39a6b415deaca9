"""Pictures of feature maps: what differs in them, as colours over what they were made of."""
from pathlib import Path
from typing import List, Sequence

import cv2
import numpy as np
from PIL import Image
from torch import Tensor

from ..utils.files import atomic_path

#: Longer edge of a drawn picture, px, and the gap between it and the coloured one.
EDGE, GAP = 480, 8
#: How much of a pixel is colour; the rest is the picture in grey.
OPACITY = .65


def principal_colours(maps: Sequence[Tensor]) -> List[np.ndarray]:
    """The three principal components of all positions of some maps, as red, green and blue.

    The components are those of all maps together, so that the same colour is the same feature in
    all of them. Of each component the range from its 2nd to its 98th percentile is shown; one in
    which nothing differs is grey.

    Args:
        maps (sequence[Tensor]): Each (C, h, w); sizes may differ.

    Returns:
        list[ndarray]: Each (h, w, 3), uint8.
    """
    from sklearn.decomposition import PCA
    positions = np.concatenate([m.flatten(1).t().double().numpy() for m in maps])
    values = np.zeros((len(positions), 3))
    if np.ptp(positions, axis=0).any():
        components = PCA(min(3, *positions.shape), random_state=0).fit_transform(positions)
        values[:, :components.shape[1]] = components
    low, high = np.percentile(values, (2, 98), axis=0)
    differs = high - low > 1e-6 * max(float((high - low).max()), 1e-12)
    shown = np.where(differs, (values - low) / np.where(differs, high - low, 1.), .5).clip(0, 1)
    colours = np.split((255 * shown).round().astype(np.uint8),
                       np.cumsum([m[0].numel() for m in maps])[:-1])
    return [c.reshape(*m.shape[1:], 3) for c, m in zip(colours, maps)]


def draw_colours(image: np.ndarray, colours: np.ndarray, path: Path) -> None:
    """Writes a picture, and beside it the same in grey under the colours of its features.

    Args:
        image (ndarray): (H, W, 3), uint8, RGB.
        colours (ndarray): (h, w, 3), uint8, from :func:`principal_colours`.
        path (Path): PNG to write.
    """
    height, width = image.shape[:2]
    scale = EDGE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else
                       cv2.INTER_LINEAR)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    smooth = cv2.resize(colours, size, interpolation=cv2.INTER_LINEAR)
    overlay = (OPACITY * smooth + (1 - OPACITY) * grey).round().astype(np.uint8)
    gap = np.full((size[1], GAP, 3), 255, np.uint8)
    with atomic_path(path) as part:
        Image.fromarray(np.concatenate([image, gap, overlay], axis=1)).save(part, 'PNG')
