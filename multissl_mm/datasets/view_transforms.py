"""What a loader's worker does for views that :class:`multissl_mm.models.ViewPreprocessor` finishes.

Three transforms stand where MMPretrain has ``LoadImageFromFile``, ``MultiView`` and ``PackInputs``.
A worker decodes a picture once, cuts its views out, and draws all their random numbers; the
operations that take long are left to the model's device.
"""
from copy import copy
from math import ceil, floor
from types import SimpleNamespace
from typing import Any, Callable, Collection, Dict, List, NamedTuple, Sequence, Tuple, Union

import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose
from mmengine.structures import BaseDataElement
from PIL import Image
from torch import Tensor

from ..errors import MultiSSLError
from ..registry import TRANSFORMS
from ..utils.views import ORDERS, CroppedView, ViewParams


class Crop(NamedTuple):
    """Part of a picture, in its pixels, and the size that it will have."""
    left: int
    top: int
    width: int
    height: int
    size: Tuple[int, int]  # height, width

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
            (self.size[1], self.size[0]), resample,
            box=(left - x, top - y, right - x, bottom - y))
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
        self.transforms: List[Any]
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
                found = getattr(transform, key)
                if (tuple(found) if isinstance(found, list) else found) != value:
                    raise MultiSSLError(f'CropViews.transforms: {_name(transform)}.{key} is '
                                        f'{found!r}, but can only be {value!r}')
        self.resample = Image.Resampling[self.crop.interpolation.upper()]

    def draw_crop(self, width: int, height: int) -> Crop:
        top, left, rows, columns = self.crop.rand_crop_params(
            SimpleNamespace(shape=(height, width)))
        return Crop(left, top, columns, rows, tuple(self.crop.scale))

    def draw_params(self) -> ViewParams:
        return ViewParams(**_draw(self.transforms))


@TRANSFORMS.register_module()
class CropViews(BaseTransform):
    """``views`` of ``picture``: its crops, resized, and every other random number of each view.

    All is drawn first. Where all crops of a sample leave enough pixels, a JPEG is decoded at a
    reduced scale; otherwise crops are those of MMPretrain's ``RandomResizedCrop`` to the last bit.

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
_ALIKE: Dict[str, Dict[str, Any]] = dict(
    RandomResizedCrop=dict(backend='pillow'), ColorJitter=dict(backend='pillow'),
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
