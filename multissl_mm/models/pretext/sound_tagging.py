"""The supervised baseline of sound: which classes of vehicles are heard?"""
from typing import Optional, Sequence

import torch.nn.functional as F
from torch import nn

from ...registry import MODELS
from .base import PretextTask, Responses, TaskBatch, TaskOutput


@MODELS.register_module()
class SoundTaggingTask(PretextTask):
    """Multi-label classification of a sound, the supervised row of Table 2a (section 5.3).

    The paper's encoder was trained on AudioSet's labels; this task trains one on the labels of any
    data set. It is a task like the others, so that labels can be combined with any of them, too.

    Responses: ``logits`` (N, K), kept by the binary cross-entropy with the old probabilities, from
    which that of the old probabilities with themselves is subtracted.

    Args:
        in_channels (int): Of the sound features.
        num_classes (int): K. Defaults to 5.
        grid (tuple[int, int]): See :class:`SoundProjection`.
    """

    views = ('clip', )
    inputs = ('classes', )

    def __init__(self, in_channels: int, num_classes: int = 5, grid: Sequence[int] = (4, 3),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.head = MODELS.build(dict(type='multissl_mm.SoundProjection', in_channels=in_channels,
                                      out_channels=num_classes, grid=grid))

    @property
    def layers(self) -> nn.Module:
        return self.head

    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        return dict(logits=(layers or self.head)(batch.features['clip']).float())

    def loss(self, batch: TaskBatch) -> TaskOutput:
        logits, classes = self.responses(batch)['logits'], batch.inputs['classes']
        return TaskOutput(dict(loss=F.binary_cross_entropy_with_logits(logits, classes)),
                          dict(accuracy=((logits > 0) == (classes > .5)).float().mean()))

    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        before = old['logits'].sigmoid()
        loss = F.binary_cross_entropy_with_logits(responses['logits'], before)
        entropy = F.binary_cross_entropy_with_logits(old['logits'], before)
        return TaskOutput(dict(loss_distill=loss - entropy))
