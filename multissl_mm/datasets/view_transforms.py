"""What a loader's worker does for views that :class:`multissl_mm.models.ViewPreprocessor` finishes.

Three transforms stand where MMPretrain has ``LoadImageFromFile``, ``MultiView`` and ``PackInputs``.
A worker decodes a picture once, cuts its views out, and draws all their random numbers; the
operations that take long are left to the model's device.
"""
from copy import copy
from io import BytesIO
from math import ceil, floor
from types import SimpleNamespace
from typing import Any, Callable, Collection, Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.fileio import get
from mmengine.structures import BaseDataElement
from PIL import Image, ImageOps
from torch import Tensor

from ..errors import MultiSSLError
from ..registry import TRANSFORMS
from ..utils.views import ORDERS, CroppedView, ViewParams

#: The EXIF tag of which way up a picture is, and its values that swap width and height.
ORIENTATION, ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
#: Scales at which a JPEG can be decoded: one of so many pixels in each direction.
REDUCTIONS = (8, 4, 2, 1)


class Memory:
    """So many bytes, of which parts are taken and never given back."""

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, size: int) -> bool:
        """Whether there was room."""
        fits = size <= self.left
        self.left -= size if fits else 0
        return fits


class Picture:
    """A file in memory, decoded on demand.

    Args:
        data (bytes): Its content.
        memory (Memory, optional): What it may take to stay decoded.
    """

    def __init__(self, data: bytes, memory: Optional[Memory] = None) -> None:
        self._data, self._memory = data, memory
        self._decoded: Dict[int, Image.Image] = {}
        self._opened: Optional[Image.Image] = Image.open(BytesIO(data))
        self._reducible = self._opened.format == 'JPEG'
        self._orientation = self._opened.getexif().get(ORIENTATION, 1)
        width, height = self._opened.size
        #: Width and height, the right way up.
        self.size = (height, width) if self._orientation in ON_ITS_SIDE else (width, height)

    def reductions(self) -> Sequence[int]:
        """By how much it can be reduced while it is decoded, which is faster."""
        return REDUCTIONS if self._reducible else (1, )

    def decode(self, reduction: int = 1) -> Image.Image:
        """In RGB, the right way up, one of ``reduction`` pixels in each direction."""
        image = self._decoded.get(reduction)
        if image is None:
            image = self._decode(reduction)
            # Pillow has four bytes for a pixel of RGB.
            if self._memory is not None and self._memory.take(4 * image.width * image.height):
                self._decoded[reduction] = image
        return image

    def _decode(self, reduction: int) -> Image.Image:
        image = Image.open(BytesIO(self._data)) if self._opened is None else self._opened
        self._opened = None
        if reduction > 1:
            image.draft(image.mode, tuple(n // reduction for n in image.size))
        image.load()  # refuses what is truncated
        if self._orientation != 1:
            image = ImageOps.exif_transpose(image)
        return image if image.mode == 'RGB' else image.convert('RGB')


@TRANSFORMS.register_module()
class OpenPicture(BaseTransform):
    """Reads ``img_path``; ``picture``, of which only the header is looked at.

    Args:
        cache_mb (float): Pictures stay in memory, decoded, until they take so many MB; for data
            sets that fit. Every worker has a memory of its own, and keeps it from epoch to epoch
            only if ``persistent_workers`` is set. Defaults to 0.
        backend_args (dict, optional): See :func:`mmengine.fileio.get`.
    """

    def __init__(self, cache_mb: float = 0, backend_args: Optional[dict] = None) -> None:
        self.backend_args = backend_args
        self.memory = Memory(int(cache_mb * 2 ** 20))
        self.kept: Dict[str, Picture] = {}

    def transform(self, results: dict) -> dict:
        path = results['img_path']
        picture = self.kept.get(path)
        if picture is None:
            data = get(path, backend_args=self.backend_args)
            if self.memory.take(len(data)):
                picture = self.kept[path] = Picture(data, self.memory)
            else:
                picture = Picture(data)
        results['picture'] = picture
        return results


class Crop(NamedTuple):
    """Part of a picture, in its pixels, and the size that it will have."""
    left: int
    top: int
    width: int
    height: int
    size: Sequence[int]  # height, width

    def allows(self, reduction: int) -> bool:
        """Whether a reduced picture still has all the pixels that are wanted."""
        return (self.height >= reduction * self.size[0] and
                self.width >= reduction * self.size[1])

    def cut(self, image: Image.Image, reduction: int, resample: int) -> Tensor:
        """Of a picture that was reduced by so much: (3, H, W), uint8."""
        left, top, right, bottom = (n / reduction for n in (
            self.left, self.top, self.left + self.width, self.top + self.height))
        x, y = floor(left), floor(top)
        part = image.crop((x, y, ceil(right), ceil(bottom))).resize(
            tuple(self.size[::-1]), resample, box=(left - x, top - y, right - x, bottom - y))
        return torch.from_numpy(np.array(part)).permute(2, 0, 1).contiguous()


class ViewRecipe:
    """Draws for one view what the transforms of an MMPretrain pipeline would draw.

    They draw themselves, in their order, so that the same key gives the same crop and parameters
    as in MMPretrain's own pipeline.

    Args:
        pipeline (sequence[dict]): ``RandomResizedCrop``, then any of ``ColorJitter``,
            ``RandomGrayscale``, ``GaussianBlur`` and ``RandomFlip``, in this order, each alone or
            in a ``RandomApply``.
    """

    def __init__(self, pipeline: Sequence[dict]) -> None:
        self.crop, *self.transforms = Compose(pipeline).transforms or [None]
        names = [_name(self.crop), *(_name(t) for t in _unwrap(self.transforms))]
        if names != sorted(set(names) & set(_DRAWS), key=list(_DRAWS).index) or \
                names[0] != 'RandomResizedCrop':
            raise MultiSSLError(
                f'CropViews.transforms: a view is made by {", ".join(names)}, but can be made by '
                f'{", ".join(_DRAWS)} alone, in this order and starting with the first; use '
                'LoadImageFromFile, MultiView and PackInputs for others')
        for transform in (self.crop, *_unwrap(self.transforms)):
            for key, value in _ALIKE.get(_name(transform), {}).items():
                if getattr(transform, key) != value:
                    raise MultiSSLError(f'CropViews.transforms: {_name(transform)}.{key} is '
                                        f'{getattr(transform, key)!r}, but can only be {value!r}')
        self.resample = Image.Resampling[self.crop.interpolation.upper()]

    def draw_crop(self, width: int, height: int) -> Crop:
        top, left, rows, columns = self.crop.rand_crop_params(
            SimpleNamespace(shape=(height, width)))
        return Crop(left, top, columns, rows, self.crop.scale)

    def draw_params(self) -> ViewParams:
        return ViewParams(**_draw(self.transforms))


@TRANSFORMS.register_module()
class CropViews(BaseTransform):
    """``views`` of ``picture``: cropped and resized as MMPretrain's ``RandomResizedCrop`` does it,
    to the last bit, and every other random number of the view.

    All is drawn first, so that it is known whether all crops of a sample are large enough for a
    JPEG to be decoded at a reduced scale.

    Args:
        transforms (list[list[dict]]): As of ``MultiView``: pipelines, each of a
            :class:`ViewRecipe`.
        num_views (int | list[int]): How many views each of them makes.
    """

    def __init__(self, transforms: List[List[dict]], num_views: Union[int, List[int]]) -> None:
        counts = [num_views] if isinstance(num_views, int) else num_views
        if len(counts) != len(transforms):
            raise MultiSSLError(f'CropViews.num_views {num_views}: give one number for each of '
                                f'the {len(transforms)} pipelines in transforms')
        self.recipes = [recipe for pipeline, count in zip(transforms, counts)
                        for recipe in [ViewRecipe(pipeline)] * count]
        self.wanted: Collection[int] = range(len(self.recipes))

    def only(self, wanted: Collection[int]) -> 'CropViews':
        """A copy that puts out the views of these numbers alone, without the work for others."""
        some = copy(self)
        some.wanted = wanted
        return some

    def transform(self, results: dict) -> dict:
        picture = results['picture']
        # Crops and parameters of one view after the other, as MMPretrain draws them.
        drawn = [(recipe.draw_crop(*picture.size), recipe.draw_params())
                 for recipe in self.recipes]
        reduction = next(r for r in picture.reductions()
                         if r == 1 or all(crop.allows(r) for crop, _ in drawn))
        image = picture.decode(reduction)
        results['views'] = [
            CroppedView(crop.cut(image, reduction, recipe.resample), torch.tensor(params))
            for i, (recipe, (crop, params)) in enumerate(zip(self.recipes, drawn))
            if i in self.wanted]
        return results


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """What a model gets: ``inputs``, a list of :class:`CroppedView`, and ``data_samples``."""

    def transform(self, results: dict) -> Dict[str, Any]:
        return dict(inputs=results['views'],
                    data_samples=BaseDataElement(metainfo=dict(img_path=results['img_path'])))


# ---------------------------------------------------------------------- what each transform draws

def _draw(transforms: Sequence[Any]) -> Dict[str, float]:
    drawn: Dict[str, float] = {}
    for transform in transforms:
        if _name(transform) != 'RandomApply':
            drawn.update(_DRAWS[_name(transform)](transform))
        elif transform.random_apply():
            drawn.update(_draw(transform.transforms.transforms))
    return drawn


def _jitter(transform: Any) -> Dict[str, float]:
    order, *factors = transform._rand_params()
    names = 'brightness', 'contrast', 'saturation', 'hue'
    return dict(order=_ORDER_NUMBERS[tuple(order)],
                **{name: factor for name, factor in zip(names, factors) if factor is not None})


def _gray(transform: Any) -> Dict[str, float]:
    return dict(gray=float(transform._random_prob() < transform.prob))


def _blur(transform: Any) -> Dict[str, float]:
    if transform.random_disable():
        return {}
    given = transform.radius is not None
    return dict(sigma=transform.radius if given else transform.random_magnitude())


def _flip(transform: Any) -> Dict[str, float]:
    return dict(flip=float(transform._choose_direction() is not None))


_ORDER_NUMBERS = {order: float(number) for number, order in enumerate(ORDERS)}
#: In the order in which :func:`multissl_mm.models.view_ops.augment` applies them.
_DRAWS: Dict[str, Callable[[Any], Dict[str, float]]] = dict(
    RandomResizedCrop=lambda transform: {}, ColorJitter=_jitter, RandomGrayscale=_gray,
    GaussianBlur=_blur, RandomFlip=_flip)
#: Settings that are not looked at any further.
_ALIKE = dict(RandomResizedCrop=dict(backend='pillow'),
              RandomGrayscale=dict(keep_channels=True, color_format='bgr',
                                   channel_weights=(0.114, 0.587, 0.2989)),
              RandomFlip=dict(direction='horizontal'))


def _name(transform: Any) -> str:
    return type(transform).__name__


def _unwrap(transforms: Sequence[Any]) -> List[Any]:
    """Those inside of ``RandomApply``, too, without it."""
    return [inner for transform in transforms
            for inner in (_unwrap(transform.transforms.transforms)
                          if _name(transform) == 'RandomApply' else [transform])]
