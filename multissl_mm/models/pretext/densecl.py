"""Pretext task D: DenseCL, contrast of local features matched across views."""
from types import MappingProxyType
from typing import Any, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS
from ..contrast import unit
from .base import Responses, TaskBatch, TaskOutput
from .momentum_contrast import MomentumContrastTask


@torch.no_grad()
def match_positions(query: Tensor, key: Tensor) -> Tensor:
    """For every position of the query the most similar position of the key (DenseCL, sec. 3.3).

    Args:
        query (Tensor): (N, D, S), backbone features.
        key (Tensor): (N, D, S), momentum backbone features of the same image.

    Returns:
        Tensor: (N, S), positions in the key. No gradient passes through a choice. A key position
        without features (all zero) has no direction and is chosen only where all are so, and then
        it is the first.
    """
    # The query's norm does not change which key position is the closest.
    similar = torch.bmm(query.float().transpose(1, 2), unit(key))  # (N, S, S)
    empty = (key == 0).all(dim=1)  # (N, S)
    return similar.masked_fill(empty.unsqueeze(1), float('-inf')).argmax(dim=2)


def _positions(dense: Tensor, match: Tensor) -> Tensor:
    """Projections (N, S, C) at the positions (N, S)."""
    return dense.gather(1, match.unsqueeze(2).expand_as(dense))


@MODELS.register_module()
class DenseCLTask(MomentumContrastTask):
    """DenseCL (`arXiv:2011.09157 <https://arxiv.org/abs/2011.09157>`_; section 3.2).

    Responses: ``q`` (N, C), the global projection, and ``dense`` (N, S, C), the projections of
    the S positions of the query view, all L2-normalised and kept by the head's distance
    (:class:`QueueContrastHead`) over the queues as they were when the task was finished.

    Args:
        loss_lambda (float): Weight of the dense loss, against 1 - loss_lambda for the global
            one. Defaults to 0.5.

    The neck returns (global (N, C), dense (N, C, S), pooled dense (N, C)), as
    ``mmpretrain.DenseCLNeck`` does; for the other arguments see :class:`MomentumContrastTask`.
    """

    queue_names = ('global', 'dense')
    projections = MappingProxyType(dict(q=('q', ), dense=('dense', )))

    def __init__(self, *args: Any, loss_lambda: float = 0.5, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_lambda = loss_lambda

    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        q, dense, _ = (layers or self.neck)(batch.features['query'][-1:])
        return dict(q=unit(q), dense=unit(dense).transpose(1, 2))

    def loss(self, batch: TaskBatch) -> TaskOutput:
        responses = self.responses(batch)
        query_map = batch.features['query'][-1].detach()  # (N, D, H, W)
        key_map = batch.key_features['key'][-1]
        k, dense_k, pooled_k = self.momentum_neck((key_map, ))
        k = unit(k)  # (N, C)
        dense_k = unit(dense_k).transpose(1, 2)  # (N, S, C)

        match = match_positions(self._grid(query_map, dense_k), self._grid(key_map, dense_k))
        dense_k = _positions(dense_k, match)

        single = self.head.loss(responses['q'], k, self.queues['global'].keys)
        dense = self.head.loss(responses['dense'].flatten(0, 1), dense_k.flatten(0, 1),
                               self.queues['dense'].keys)
        self.queues['global'].enqueue(k)
        self.queues['dense'].enqueue(unit(pooled_k))
        return self._weigh('loss_single', single, 'loss_dense', dense)

    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        single = self.head.distill_loss(responses['q'], old['q'], self.queues['global'].keys)
        dense = self.head.distill_loss(responses['dense'].flatten(0, 1),
                                       old['dense'].flatten(0, 1), self.queues['dense'].keys)
        return self._weigh('loss_distill_single', single, 'loss_distill_dense', dense)

    def match(self, responses: Responses, old: Responses) -> Responses:
        """For every position the old one of the other view with the most similar projection.

        Projections are what is stored. (DenseCL matches by features of the backbone in training.)
        """
        pairs = (responses['dense'].detach(), old['dense'])
        match = match_positions(*(dense.transpose(1, 2) for dense in pairs))
        return dict(old, dense=_positions(old['dense'], match))

    def _weigh(self, single_name: str, single: Tensor, dense_name: str,
               dense: Tensor) -> TaskOutput:
        return TaskOutput({single_name: (1 - self.loss_lambda) * single,
                           dense_name: self.loss_lambda * dense})

    @staticmethod
    def _grid(features: Tensor, dense: Tensor) -> Tensor:
        """(N, D, H, W) to (N, D, S): the positions that the neck's grid, (N, S, C), has."""
        positions = dense.size(1)
        if features.size(2) * features.size(3) != positions:
            features = F.adaptive_avg_pool2d(features, round(positions**0.5))
        return features.flatten(2)
