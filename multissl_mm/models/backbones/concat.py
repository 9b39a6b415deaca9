"""Concatenation: the features of several pretrained encoders, side by side (section 4.1)."""
from typing import Optional, Sequence, Tuple

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import MODELS
from .frozen import FrozenEncoders


@MODELS.register_module()
class ConcatBackbone(BaseModule):
    """Frozen encoders whose stage outputs are concatenated on channels (section 4.1).

    A backbone for any mmpretrain or mmdet config: stage s puts out
    (N, C_1s + ... + C_Ks, H_s, W_s), so that ``in_channels`` of what follows are the sums. The
    encoders may be of different architectures if they have the same stages and strides.

    Weights: either ``init_cfg`` of every encoder, or one checkpoint for all, which
    ``tools/model_converters/concat_backbones.py`` writes.

    Args:
        encoders (sequence[dict]): Configs of the K backbones.
        init_cfg (dict, optional): Of the whole, see :class:`mmengine.model.BaseModule`.

    Raises:
        MultiSSLError: In the first forward pass, if stages or their sizes differ.
    """

    def __init__(self, encoders: Sequence[dict], init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if not encoders:
            raise MultiSSLError('ConcatBackbone.encoders is empty; name at least one encoder')
        self.frozen = FrozenEncoders(encoders)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Concatenated stage outputs of a batch (N, ...)."""
        outs = [out if isinstance(out, (tuple, list)) else (out, ) for out in self.frozen(x)]
        for k, out in enumerate(outs):
            if len(out) != len(outs[0]):
                raise MultiSSLError(
                    f'ConcatBackbone.encoders.{k} ({self._kind(k)}) puts out {len(out)} stages, '
                    f'encoders.0 ({self._kind(0)}) {len(outs[0])}; set their out_indices alike')
            for s, (a, b) in enumerate(zip(out, outs[0])):
                if a.shape[2:] != b.shape[2:]:
                    raise MultiSSLError(
                        f'ConcatBackbone.encoders.{k} ({self._kind(k)}): output {s} is '
                        f'{_size(a)}, that of encoders.0 ({self._kind(0)}) {_size(b)}, for an '
                        f'input of {_size(x)}; encoders need the same strides')
        return tuple(torch.cat(stage, dim=1) for stage in zip(*outs))

    def _kind(self, k: int) -> str:
        return type(self.frozen.encoders[k]).__name__


def _size(x: Tensor) -> str:
    return ' x '.join(map(str, x.shape[2:])) or 'a vector'
