"""Pretext task M: MoCo v2, instance discrimination on global features."""
from types import MappingProxyType
from typing import Optional

from torch import nn

from ...registry import MODELS
from ..contrast import unit
from .base import Responses, TaskBatch, TaskOutput
from .momentum_contrast import MomentumContrastTask


@MODELS.register_module()
class MoCoV2Task(MomentumContrastTask):
    """MoCo v2 (`arXiv:2003.04297 <https://arxiv.org/abs/2003.04297>`_; section 3.2).

    Response ``q``: (N, C), the L2-normalised projection of the query view, kept by the head's
    distance (:class:`QueueContrastHead`) over the queue as it was when the task was finished.

    The neck returns a tuple whose first entry is (N, C), as ``mmpretrain.MoCoV2Neck`` does; for
    the other arguments see :class:`MomentumContrastTask`.
    """

    projections = MappingProxyType(dict(q=('q', )))

    @property
    def key_layers(self) -> nn.Module:
        return self.momentum_neck

    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        q = (layers or self.neck)(batch.features['query'][-1:])[0]
        return dict(q=unit(q))

    def loss(self, batch: TaskBatch) -> TaskOutput:
        queue, q = self.queues['global'], self.responses(batch)['q']
        k = unit(batch.keys[self.momentum_neck]['key'][0])  # (N, C)
        loss = self.head.loss(q, k, queue.keys)
        queue.enqueue(k)
        return TaskOutput(dict(loss=loss))

    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        loss = self.head.distill_loss(responses['q'], old['q'], self.queues['global'].keys)
        return TaskOutput(dict(loss_distill=loss))
