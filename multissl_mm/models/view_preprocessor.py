"""From crops to the views that an encoder sees, in batches on its device."""
from typing import Any, Dict, List, Mapping, Sequence, Tuple, Union

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from ..errors import MultiSSLError
from ..registry import MODELS
from ..utils.views import CroppedView, Normalisation
from .view_ops import augment

#: On a CPU views of more pixels go through one by one, so that its cache holds what comes in
#: between; of smaller ones so many pixels together, where the number of calls counts more.
CPU_LARGE, CPU_CHUNK = 2 ** 15, 2 ** 18
#: Changes whenever the same crop and parameters give other pixels; stored responses are to views.
VERSION = 2

View = Union[CroppedView, Tensor]


@MODELS.register_module()
class ViewPreprocessor(BaseDataPreprocessor):
    """Finishes the views that :class:`multissl_mm.datasets.CropViews` has begun.

    Colour jitter, gray, blur, flip and normalisation are batched operations on the device, with
    the parameters that the worker drew. All views of the same size go through together, in float32
    (mixed precision has no part in any of this), and what becomes of one does not depend, to the
    last bit, on the others in its batch. Before they are normalised views are of whole numbers, as
    MMPretrain's are, and say so: between ranks they travel as uint8.

    Pictures without parameters, from a pipeline that ends with ``PackInputs``, are normalised as
    ``mmpretrain.SelfSupDataPreprocessor`` does it.

    Args:
        mean, std (sequence[float]): Of R, G and B, of pixels of 0..255.
        to_rgb (bool): Whether pictures without parameters come as BGR. Defaults to False.
        non_blocking (bool): Whether to go on while batches travel from pinned memory.
            Defaults to True.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], to_rgb: bool = False,
                 non_blocking: bool = True) -> None:
        super().__init__(non_blocking)
        self.to_rgb = to_rgb
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), False)

    @torch.no_grad()
    def forward(self, data: Dict[str, Any], training: bool = False) -> Dict[str, Any]:
        """Finishes a batch.

        Args:
            data (dict): ``inputs``, of which each is a :class:`CroppedView` of a batch or
                pictures (N, 3, H, W): a list, a dict by name, or one of them. ``data_samples``.
            training (bool): Makes no difference.

        Returns:
            dict: The same with ``inputs`` (N, 3, H, W), float32.
        """
        inputs = data['inputs']
        made: Any
        if isinstance(inputs, Mapping):
            made = dict(zip(inputs, self.finish(list(inputs.values()))))
        elif isinstance(inputs, (CroppedView, Tensor)):
            made, = self.finish([inputs])
        else:
            made = self.finish(inputs)
        return dict(data, inputs=made, data_samples=self.cast_data(data.get('data_samples')))

    def finish(self, views: Sequence[View]) -> List[Tensor]:
        """What becomes of each view, (N, 3, H, W), float32."""
        made: List[Tensor] = [torch.empty(0)] * len(views)
        crops: Dict[Tuple[int, ...], Dict[int, CroppedView]] = {}  # what goes through together
        for i, view in enumerate(views):
            if isinstance(view, CroppedView):
                crops.setdefault(tuple(view.pixels.shape[-2:]), {})[i] = view
            elif isinstance(view, Tensor):
                pixels = self.cast_data(view)
                made[i] = self._normalise((pixels.flip(1) if self.to_rgb else pixels).float())
                if pixels.dtype == torch.uint8:
                    self.normalisation.marked(made[i])
            else:
                raise MultiSSLError(f'ViewPreprocessor got a {type(view).__name__} as a view; '
                                    'set train_dataloader.collate_fn to dict(type='
                                    "'default_collate')")
        for same in crops.values():
            done = self._augment(
                torch.cat([self.cast_data(crop.pixels) for crop in same.values()]),
                torch.cat([crop.params.cpu() for crop in same.values()]))
            for i, part in zip(same, done.split([len(crop.pixels) for crop in same.values()])):
                made[i] = self.normalisation.marked(part)
        return made

    def _augment(self, pixels: Tensor, params: Tensor) -> Tensor:
        if pixels.device.type != 'cpu':
            return self._normalise(augment(pixels, params))
        size = pixels.size(2) * pixels.size(3)
        chunk = 1 if size > CPU_LARGE else CPU_CHUNK // size
        return torch.cat([self._normalise(augment(*part))
                          for part in zip(pixels.split(chunk), params.split(chunk))])

    @property
    def normalisation(self) -> Normalisation:
        """By what pixels become views."""
        return Normalisation(self.mean, self.std)

    def _normalise(self, pixels: Tensor) -> Tensor:
        return self.normalisation.view(pixels)

    def extra_repr(self) -> str:
        """All that a view depends on besides its crop and parameters."""
        return (f'mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}, '
                f'to_rgb={self.to_rgb}, version={VERSION}')
