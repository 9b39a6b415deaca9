"""What turns crops into views: operations on batches whose samples have parameters of their own.

Pixels are float32 RGB, (N, 3, H, W), of 0..255. All is done as Pillow does it, which MMPretrain's
transforms use, down to the rounding after each colour jitter and at the end. What becomes of a
sample does not depend, to the last bit, on the others in its batch: everything is done pixel by
pixel, and the one sum, the mean luma of :func:`contrast`, is one of whole numbers.

torchvision knows one factor per batch only. kornia (0.9) knows one per sample, but does not round
as Pillow does, its hue takes 5.7 times as long on a CPU (brightness, contrast and saturation as
long as these), and with two threads its means depend on the batch in the last bits.
"""
from math import ceil, exp
from typing import Callable, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..utils.device import to_device
from ..utils.views import ORDERS, ViewParams


def to_gray(x: Tensor) -> Tensor:
    """Luma of ITU-R 601, (N, 3, H, W) to (N, 1, H, W)."""
    from torchvision.transforms.functional import rgb_to_grayscale  # who only hears needs it not
    return rgb_to_grayscale(x)


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Away from black. Of the jitters, each ``factor`` is (N, 1, 1, 1), and ``x`` is used up."""
    return x.mul_(factor).clamp_(0, 255).floor_()


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Away from the mean luma of each picture."""
    # Of whole numbers, as in Pillow: their sum is exact in any order.
    luma = to_gray(x).round_().sum((1, 2, 3), keepdim=True, dtype=torch.float64)
    mean = (luma / (x.size(2) * x.size(3))).float()
    return torch.addcmul(mean * (1 - factor), x, factor).clamp_(0, 255).floor_()


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Away from the luma of each pixel."""
    gray = to_gray(x).mul_(1 - factor)
    return x.mul_(factor).add_(gray).clamp_(0, 255).floor_()


def hue(x: Tensor, turns: Tensor) -> Tensor:
    """Rotates the hue of HSV, in turns; value and saturation stay."""
    red, green, blue = x.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    span = high - low
    # 1 where a channel is below the highest, else 0. Products: torch.where on a CPU guesses at each
    # pixel which it will be, is mostly wrong, and takes the longer for it.
    not_red, is_blue = (high - red).sign_(), (high - green).sign_()
    is_blue.mul_(not_red)
    is_green = not_red - is_blue
    sector = green - blue
    sector.addcmul_(not_red, sector, value=-1).addcmul_(is_green, blue - red)
    sector.addcmul_(is_blue, red - green)
    sector.div_(span.clamp_min(1e-6))  # a gray pixel has no hue: 0
    sector.add_(is_green, alpha=2).add_(is_blue, alpha=4)
    sector.add_((turns[:, 0] * 255).trunc_() / 255, alpha=6)  # Pillow's hue is of 8 bits
    sector.sub_((sector / 6).floor_(), alpha=6)  # 0..6, red at both ends
    out = torch.empty_like(x)
    for channel, (middle, sign, offset) in enumerate(((3, 1, -1), (2, -1, 2), (4, -1, 2))):
        share = (sector - middle).abs_().mul_(sign).add_(offset).clamp_(0, 1)
        torch.addcmul(low, span, share, out=out[:, channel])
    return out


def gray(x: Tensor) -> Tensor:
    """The luma of each pixel in all three channels."""
    return to_gray(x).floor_().repeat(1, 3, 1, 1)


def flip(x: Tensor) -> Tensor:
    """Left and right change places."""
    return x.flip(-1)


def blur(x: Tensor, taps: Tensor) -> Tensor:
    """Symmetric separable filters, one per sample; beyond the border its pixels repeat.

    Args:
        x (Tensor): (N, 3, H, W).
        taps (Tensor): (N, R + 1), from the middle outwards.
    """
    radius = taps.size(1) - 1
    weights = taps.view(*taps.shape, 1, 1, 1).unbind(1)  # R + 1 of (N, 1, 1, 1)
    for axis, padding in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        size = x.size(axis)
        padded = F.pad(x, padding, mode='replicate')
        x = padded.narrow(axis, radius, size) * weights[0]
        for offset in range(1, radius + 1):
            for start in (radius - offset, radius + offset):
                x.addcmul_(padded.narrow(axis, start, size), weights[offset])
    return x


def gaussian_taps(sigmas: Sequence[float]) -> Tensor:
    """For :func:`blur`, (N, R + 1) on the CPU: each up to three sigmas, and zeros from there."""
    rows = []
    for sigma in sigmas:  # one by one: vectors of other lengths may round otherwise
        half = [exp(-.5 * (i / sigma) ** 2) for i in range(ceil(3 * sigma) + 1)]
        total = half[0] + 2 * sum(half[1:])
        rows.append([value / total for value in half])
    width = max(map(len, rows))
    return torch.tensor([row + [0.] * (width - len(row)) for row in rows])


def augment(pixels: Tensor, params: Tensor) -> Tensor:
    """Makes views of crops: jitter in each sample's order, gray, blur, flip.

    What is done to which sample is worked out on the CPU, so that a GPU is never waited for.

    Args:
        pixels (Tensor): (N, 3, H, W), uint8, on any device.
        params (Tensor): Of :class:`ViewParams`, (N, 8), on the CPU.

    Returns:
        Tensor: (N, 3, H, W), float32, whole numbers of 0..255.
    """
    device, x = pixels.device, pixels.to(torch.float32, copy=True)  # what follows writes into it
    plan = _plan(ViewParams(*params.t().tolist()))
    rows = torch.tensor([row for _, part in plan for row in part], dtype=torch.long)
    rows = to_device(rows, device)
    factors = to_device(params, device).view(*params.shape, 1, 1, 1)
    for (operation, part), index in zip(plan, rows.split([len(part) for _, part in plan])):
        every = len(part) == len(x)
        some = x if every else x.index_select(0, index)
        if operation in _COLUMNS:
            column = factors[:, _COLUMNS[operation]]
            some = operation(some, column if every else column.index_select(0, index))
        elif operation is blur:
            sigmas = params[part, ViewParams._fields.index('sigma')].tolist()
            some = blur(some, to_device(gaussian_taps(sigmas), device))
        else:
            some = operation(some)
        x = some if every else x.index_copy_(0, index, some)
    return x.round_()


_JITTERS = (brightness, contrast, saturation, hue)
_COLUMNS = {operation: ViewParams._fields.index(operation.__name__) for operation in _JITTERS}


def _plan(params: ViewParams) -> List[Tuple[Callable[..., Tensor], List[int]]]:
    """Which operation comes next, and to which samples; of columns that are lists."""
    orders = [ORDERS[int(order)] if order >= 0 else () for order in params.order]
    plan: List[Tuple[Callable[..., Tensor], List[int]]] = [
        (operation, [i for i, order in enumerate(orders) if order and order[place] == number])
        for place in range(len(_JITTERS)) for number, operation in enumerate(_JITTERS)]
    plan += [(operation, [i for i, value in enumerate(column) if value > 0])
             for operation, column in ((gray, params.gray), (blur, params.sigma),
                                       (flip, params.flip))]
    return [(operation, rows) for operation, rows in plan if rows]
