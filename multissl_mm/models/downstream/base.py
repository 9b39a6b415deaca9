"""What the downstream tasks of sound have in common: a pretrained encoder and a decoder on it."""
from abc import abstractmethod
from typing import Dict, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import MODELS
from ..backbones.shapes import output_shapes


class SoundDownstream(BaseModel):
    """A sound encoder, whatever it is, with a decoder for one task (section 5.1).

    Args:
        backbone (dict): The encoder; ``pretrained`` of a config puts it there with its weights.
        frozen (bool): Train the decoder alone: no gradients in the encoder, eval mode. By default
            the whole model is trained, as in the paper; concatenated encoders are always frozen,
            and so are the earlier ones of progressive columns.
        input_shape (sequence[int]): Of a clip's spectrograms to find the features' width with.
        data_preprocessor (dict, optional): See :class:`mmengine.model.BaseModel`.
        init_cfg (dict, optional): See :class:`mmengine.model.BaseModel`.
    """

    #: Entries of a batch that :meth:`loss` needs.
    targets: Tuple[str, ...] = ()

    def __init__(self, backbone: dict, frozen: bool = False,
                 input_shape: Sequence[int] = (2, 64, 64),
                 data_preprocessor: Optional[dict] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.frozen = frozen
        if frozen:
            self.backbone.requires_grad_(False)
        #: C of the encoder's last output (N, C, F', T').
        self.width = output_shapes(self.backbone, input_shape)[-1][0]

    def train(self, mode: bool = True) -> 'SoundDownstream':
        super().train(mode)
        if self.frozen:
            self.backbone.eval()  # batch norm statistics are part of it
        return self

    def extract_feat(self, inputs: Union[Tensor, Mapping[str, Tensor]]) -> Tuple[Tensor, ...]:
        """Encoder features of spectrograms (N, 2, F, T)."""
        clip = inputs['clip'] if isinstance(inputs, Mapping) else inputs
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return tuple(self.backbone(clip))

    def forward(self, inputs: Mapping[str, Tensor], data_samples: Optional[Sequence] = None,
                mode: str = 'tensor') -> Union[Dict[str, Tensor], List[dict], Tuple[Tensor, ...]]:
        """``loss``: named losses; ``predict``: a dict per sample; ``tensor``: encoder features."""
        if mode == 'tensor':
            return self.extract_feat(inputs)
        if mode == 'loss':
            missing = [name for name in self.targets if name not in inputs]
            if missing:
                raise MultiSSLError(f'{type(self).__name__} needs {", ".join(missing)} of a batch, '
                                    f'but it has {", ".join(inputs)}; see PackSound.keys of the '
                                    'pipeline')
            return self.loss(inputs)
        if mode == 'predict':
            found = self.predict(inputs)
            return [{**dict(zip(found, values)), **_meta(data_samples, i)}
                    for i, values in enumerate(zip(*found.values()))]
        raise ValueError(f"mode '{mode}' is not one of 'loss', 'predict', 'tensor'")

    @abstractmethod
    def loss(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """Losses of a batch as the data preprocessor gives it."""

    @abstractmethod
    def predict(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """Predictions (N, ...) by name and, where the batch has them, the targets."""


def _meta(data_samples: Optional[Sequence], i: int) -> dict:
    sample = data_samples[i] if data_samples else None
    return {k: sample.get(k) for k in ('scene', 'start', 'turn') if k in sample} if sample else {}
