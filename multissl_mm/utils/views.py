"""How a view travels: from the loader's workers to its device, and from there to another."""
from itertools import permutations
from typing import Any, NamedTuple, Optional, Tuple

import torch
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


class Normalisation(NamedTuple):
    """What makes views of pixels, and reads the pixels off a view again, to the last bit.

    Attributes:
        mean, std (Tensor): Of the channels, (3, 1, 1), of pixels of 0..255.
    """
    mean: Tensor
    std: Tensor

    def view(self, pixels: Tensor) -> Tensor:
        """Float32, of pixels (N, 3, H, W) of any type."""
        return pixels.sub(self.mean).div_(self.std)

    def pixels(self, view: Tensor) -> Tensor:
        """Uint8, of a view whose pixels were whole numbers of 0..255: a quarter of its bytes."""
        return view.mul(self.std).add_(self.mean).round_().to(torch.uint8)

    def marked(self, view: Tensor) -> Tensor:
        """The view, which says from now on that it is of whole numbers; what is made of it not."""
        view._normalisation = self  # type: ignore[attr-defined]
        return view


def normalisation_of(view: Tensor) -> Optional[Normalisation]:
    """By which a view came from whole numbers; None where nobody knows of any."""
    return getattr(view, '_normalisation', None)
