"""How a view travels from the loader's workers to the device that finishes it."""
from itertools import permutations
from typing import Any, NamedTuple, Tuple

from torch import Tensor

#: The orders in which brightness (0), contrast (1), saturation (2) and hue (3) may follow.
ORDERS: Tuple[Tuple[int, ...], ...] = tuple(permutations(range(4)))


class ViewParams(NamedTuple):
    """Every random number of one view behind its crop, drawn by a worker.

    The defaults change nothing. Of a batch each entry is a column, (N,).
    """
    order: Any = -1.  #: which permutation of the four jitters, of :data:`ORDERS`; -1: no jitter
    brightness: Any = 1.
    contrast: Any = 1.
    saturation: Any = 1.
    hue: Any = 0.  #: in turns
    gray: Any = 0.  #: 0 or 1
    sigma: Any = 0.  #: of the blur, in pixels; 0: none
    flip: Any = 0.  #: 0 or 1


class CroppedView(NamedTuple):
    """One view as a worker leaves it, or a batch of N of them, which collating gives.

    Attributes:
        pixels (Tensor): RGB, (3, H, W) or (N, 3, H, W), uint8.
        params (Tensor): Of :class:`ViewParams`, (8,) or (N, 8), float32.
    """
    pixels: Tensor
    params: Tensor
