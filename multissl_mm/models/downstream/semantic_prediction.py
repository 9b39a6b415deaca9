"""SP: where on the panorama is what makes the sound (section 5.1)?"""
from typing import Any, Dict, Mapping, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import MODELS
from .base import SoundDownstream


@MODELS.register_module()
class SemanticPrediction(SoundDownstream):
    """Semantic prediction (section 5.1): classes of sounding objects, pixel by pixel, from sound.

    Label 0 is nothing, 1 to ``num_classes`` are the classes.

    Args:
        backbone (dict): See :class:`SoundDownstream`.
        decoder (dict): From features to logits, e.g. :class:`SemanticDecoder`, without its numbers
            of channels and classes.
        num_classes (int): Defaults to 5, those of ``multissl_mm.datasets.CLASSES``.
        class_weights (sequence[float], optional): Of the cross-entropy, nothing first.

    For the others see :class:`SoundDownstream`.
    """

    targets = ('semantics', )

    def __init__(self, backbone: dict, decoder: dict, num_classes: int = 5,
                 class_weights: Optional[Sequence[float]] = None, **kwargs: Any) -> None:
        super().__init__(backbone, **kwargs)
        if class_weights is not None and len(class_weights) != num_classes + 1:
            raise MultiSSLError(f'SemanticPrediction.class_weights has {len(class_weights)} '
                                f'entries; it needs one for nothing and {num_classes} for the '
                                'classes')
        self.num_classes = num_classes
        self.decoder = MODELS.build(
            dict(decoder, in_channels=self.width, num_classes=num_classes + 1))
        self.register_buffer(
            'class_weights', None if class_weights is None else torch.tensor(class_weights),
            persistent=False)

    def logits(self, inputs: Mapping[str, Tensor], size: Optional[Sequence[int]] = None,
               feats: Optional[Sequence[Tensor]] = None) -> Tensor:
        """(N, 1 + num_classes, H, W), of ``size`` or as the decoder gives them.

        ``feats`` of :meth:`extract_feat` may be given, where they are known.
        """
        logits = self.decoder(self.extract_feat(inputs) if feats is None else feats).float()
        if size is None:
            return logits
        return F.interpolate(logits, tuple(size), mode='bilinear', align_corners=False)

    def loss(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        target = inputs['semantics']
        logits = self.logits(inputs, target.shape[1:])
        return dict(loss=F.cross_entropy(logits, target, self.class_weights))

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """``scores`` (N, 1 + num_classes, H, W), probabilities, and what targets there are."""
        target = inputs.get('semantics')
        scores = self.logits(inputs, None if target is None else target.shape[1:]).softmax(1)
        targets = {k: inputs[k] for k in ('semantics', 'restricted') if k in inputs}
        return dict(scores=scores, **targets)
