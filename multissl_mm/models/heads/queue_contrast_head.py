"""Contrast with a queue of negatives, without ever holding all the logits."""
from typing import Any, Optional, Tuple

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import MODELS

#: Queue entries whose similarities are held at once. 1568 dense queries of a batch of 32 then
#: take 51 MB of logits instead of 411 MB at the usual queue of 65,536 (and as much again for
#: the softmax and for its gradient).
CHUNK = 8192


class _QueueSoftmax(torch.autograd.Function):
    """log-sum-exp over a queue and the softmax-weighted mean of the queue, in one pass.

    With s_j = q . n_j / T, the gradient of ``lse = log sum_j exp(s_j)`` in q is
    ``sum_j softmax(s)_j n_j / T``. So the weighted mean, accumulated next to the sum, is all that
    the backward pass needs.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, queue: Tensor, temperature: float) -> Tuple[Tensor, Tensor]:
        # |q| = |n_j| = 1, so 1/T bounds every logit: subtracting it keeps exp() in range without
        # a pass over the logits to find their maximum.
        bound = 1 / temperature
        total = q.new_zeros(q.size(0), dtype=torch.float32)
        mean = q.new_zeros(q.shape, dtype=torch.float32)
        scaled = q * bound
        for keys in queue.split(CHUNK):  # (k, C)
            weights = (scaled @ keys.t()).float().sub_(bound).exp_()  # (P, k)
            total += weights.sum(1)
            # At low temperatures half precision would round these weights to zero.
            with torch.autocast(q.device.type, enabled=False):
                mean += weights @ keys.float()
        mean /= total.unsqueeze(1)
        ctx.save_for_backward(mean)
        ctx.bound, ctx.dtype = bound, q.dtype
        ctx.mark_non_differentiable(mean)
        return total.log() + bound, mean

    @staticmethod
    def backward(ctx: Any, grad_lse: Tensor, _: Tensor) -> Tuple[Tensor, None, None]:
        mean, = ctx.saved_tensors
        return (grad_lse.unsqueeze(1) * mean * ctx.bound).to(ctx.dtype), None, None


def queue_softmax(q: Tensor, queue: Tensor, temperature: float) -> Tuple[Tensor, Tensor]:
    """Softmax statistics of queries against a queue.

    Args:
        q (Tensor): (P, C), L2-normalised queries.
        queue (Tensor): (K, C), L2-normalised candidates; gets no gradient.
        temperature (float): T, at least 0.02 (below, float32 cannot hold exp(-2/T)).

    Returns:
        tuple: ``lse`` (P,), log sum_j exp(q . n_j / T), differentiable in q, and ``mean``
        (P, C), sum_j softmax_j n_j, a constant.
    """
    if temperature < 0.02:
        raise ValueError(f'temperature {temperature} is below 0.02, where the softmax over the '
                         'queue leaves the range of float32; raise `temperature` of the task')
    return _QueueSoftmax.apply(q, queue, temperature)


def info_nce(q: Tensor, k: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries with one positive each and the queue as negatives (MoCo, eq. 1).

    Args:
        q (Tensor): (P, C), L2-normalised.
        k (Tensor): (P, C), L2-normalised positives, constants.
        queue (Tensor): (K, C).
        temperature (float): T.

    Returns:
        Tensor: Scalar, the mean over P.
    """
    positive = (q.float() * k.float()).sum(1) / temperature  # (P,)
    lse, _ = queue_softmax(q, queue, temperature)
    return (torch.logaddexp(lse, positive) - positive).mean()


def similarity_kl(q: Tensor, old_q: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """KL(old || new) of the similarity distributions over the same candidates.

    The distribution of a query is the softmax of its similarities to the queue. Both entropies
    need nothing but the statistics of :func:`queue_softmax`:
    KL = (lse_new - q . m / T) - (lse_old - old_q . m / T), m the old softmax-weighted mean.

    Args:
        q (Tensor): (P, C), new responses, L2-normalised.
        old_q (Tensor): (P, C), responses to keep, L2-normalised, constants.
        queue (Tensor): (K, C), candidates, the same for both.
        temperature (float): T.

    Returns:
        Tensor: Scalar, the mean over P; zero where new and old agree.
    """
    with torch.no_grad():
        old_q = old_q.to(q.dtype)
        old_lse, mean = queue_softmax(old_q, queue, temperature)
    lse, _ = queue_softmax(q, queue, temperature)
    moved = ((q.float() - old_q.float()) * mean).sum(1) / temperature  # (P,)
    return (lse - old_lse - moved).mean()


def info_nce_moved(q: Tensor, old: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE of queries with old responses as positives, beyond its value at these.

    Zero where new and old agree. That is not the minimum: there the old response still pushes away
    from the queue, so that the least value is a little below zero and a little off the old one.

    Args:
        q (Tensor): (P, C), new responses, L2-normalised.
        old (Tensor): (P, C), responses to keep, L2-normalised, constants.
        queue (Tensor): (K, C), negatives.
        temperature (float): T.

    Returns:
        Tensor: Scalar, the mean over P.
    """
    with torch.no_grad():
        old = old.to(q.dtype)
        least = info_nce(old, old, queue, temperature)
    return info_nce(q, old, queue, temperature) - least


#: How far responses have moved, by the name of the option ``distill`` of contrastive heads.
DISTANCES = dict(kl=similarity_kl, info_nce=info_nce_moved)


def check_distance(distill: str, key: str) -> None:
    """Refuses a name that is none of :data:`DISTANCES`; ``key`` is that of the config."""
    if distill not in DISTANCES:
        raise MultiSSLError(f'{key} is {distill!r}; it must be one of {", ".join(DISTANCES)}')


def temperature_of(given: Optional[float], distill: str, own: float) -> float:
    """Temperature of a distance: the one given, else a loss's own and 0.2 of similarities."""
    return given if given is not None else own if distill == 'info_nce' else 0.2


@MODELS.register_module()
class QueueContrastHead(BaseModule):
    """Contrast of normalised vectors with a queue; MoCo's and DenseCL's objective.

    Against ``mmpretrain.ContrastiveHead`` it never holds all the logits (:data:`CHUNK`), and it
    knows the distance to older responses that incremental learning asks for.

    Args:
        temperature (float): Of :meth:`loss`. Defaults to 0.2.
        distill_temperature (float, optional): Of :meth:`distill_loss`. Defaults to 0.2 for ``kl``,
            to ``temperature`` for ``info_nce``.
        distill (str): Which distance to older responses: ``kl`` of the similarities to the queue
            (:func:`similarity_kl`, the default), or ``info_nce``, the head's own loss with the old
            response as the positive (:func:`info_nce_moved`). How hard they pull, as gradients
            against that of InfoNCE in training (positives at a cosine of 0.8, T = 0.2), where new
            and old response have a cosine of 0.99 / 0.9 / 0.7: ``kl`` at T = 0.2 0.05 / 0.14 /
            0.23, at T = 0.1 0.14 / 0.43 / 0.79, at T = 0.07 0.25 / 0.77 / 1.4; ``info_nce`` at
            T = 0.2 0.35 / 0.74 / 1.2.
    """

    def __init__(self,
                 temperature: float = 0.2,
                 distill_temperature: Optional[float] = None,
                 distill: str = 'kl',
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        check_distance(distill, 'QueueContrastHead.distill')
        self.temperature = temperature
        self.distill_temperature = temperature_of(distill_temperature, distill, temperature)
        self.distill = distill

    def loss(self, q: Tensor, k: Tensor, queue: Tensor) -> Tensor:
        """:func:`info_nce` of (P, C) queries with (P, C) positives against a (K, C) queue."""
        return info_nce(q, k, queue, self.temperature)

    def distill_loss(self, q: Tensor, old_q: Tensor, queue: Tensor) -> Tensor:
        """From (P, C) responses to older ones, with the (K, C) queue; see ``distill``."""
        return DISTANCES[self.distill](q, old_q, queue, self.distill_temperature)
