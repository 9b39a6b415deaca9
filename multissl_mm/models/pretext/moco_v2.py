"""Pretext task M: MoCo v2, instance discrimination on global features."""
from typing import Dict, Optional, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS
from .base import Features, Responses
from .momentum_contrast import MomentumContrastTask


@MODELS.register_module()
class MoCoV2Task(MomentumContrastTask):
    """MoCo v2 (`arXiv:2003.04297 <https://arxiv.org/abs/2003.04297>`_; section 3.2).

    Response ``q``: (N, C), the L2-normalised projection of the query view, kept by the KL
    divergence of its similarities to the queue as it was when the task was finished.

    The neck returns a tuple whose first entry is (N, C), as ``mmpretrain.MoCoV2Neck`` does; for
    the other arguments see :class:`MomentumContrastTask`.
    """

    def responses(self, feats: Features, layers: Optional[nn.Module] = None) -> Responses:
        q = (layers or self.neck)(feats['query'][-1:])[0]
        return dict(q=F.normalize(q, dim=1))

    def loss(self, feats: Features, key_feats: Features,
             data_samples: Optional[Sequence] = None) -> Dict[str, Tensor]:
        queue, q = self.queues['global'], self.responses(feats)['q']
        k = F.normalize(self.momentum_neck(key_feats['key'][-1:])[0], dim=1)  # (N, C)
        loss = self.head.loss(q, k, queue.keys)
        queue.enqueue(k)
        return dict(loss=loss)

    def distill_loss(self, responses: Responses, old: Responses) -> Dict[str, Tensor]:
        return dict(loss_distill=self.head.distill_loss(responses['q'], old['q'],
                                                        self.queues['global'].keys))
