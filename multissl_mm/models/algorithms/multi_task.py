"""Multi-task: all pretext tasks at once (section 4.2)."""
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from mmengine.dist import all_reduce
from mmengine.logging import MessageHub
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS
from ...utils.keyed_random import key_to_seed
from .base import MultiSSL, Views, needed, of_task, prefixed

WEIGHTINGS = ('fixed', 'uncertainty', 'pcgrad')


@MODELS.register_module()
class MultiTask(MultiSSL):
    """Weighted sum of the tasks' losses on one pass of the backbone (section 4.2).

    With a single task this is that task's own pretraining.

    Args:
        loss_weights (dict[str, float], optional): By task name; tasks that are not named count 1.
        weighting (str): What happens to the weighted losses L_k of the tasks:

            - ``fixed``: their sum is minimised, as in the paper.
            - ``uncertainty``: the sum of exp(-s_k) L_k + s_k / 2 with learned log variances s_k
              (Kendall et al. 2018, eq. 7). Keep weight decay away from them with
              ``paramwise_cfg=dict(custom_keys={'log_vars': dict(decay_mult=0.)})``.
            - ``pcgrad``: of two tasks whose gradients on the backbone point apart, each loses its
              component along the other (Yu et al. 2020, algorithm 1). One backward pass of the
              backbone per task; on several ranks the gradients of all of them are compared.

    For the other arguments see :class:`MultiSSL`.
    """

    def __init__(self, *args: Any, loss_weights: Optional[Dict[str, float]] = None,
                 weighting: str = 'fixed', **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_weights = dict(loss_weights or {})
        unknown = set(self.loss_weights) - set(self.tasks)
        if unknown:
            raise MultiSSLError(f'model.loss_weights names {sorted(unknown)}, but model.tasks has '
                                f'{list(self.tasks)}')
        if weighting not in WEIGHTINGS:
            raise MultiSSLError(f"model.weighting is '{weighting}'; it must be one of "
                                f'{", ".join(WEIGHTINGS)}')
        self.weighting = weighting
        if weighting == 'uncertainty':
            self.log_vars = nn.Parameter(torch.zeros(len(self.tasks)))

    def loss(self, views: Views, data_samples: Optional[Sequence]) -> Dict[str, Tensor]:
        tasks = list(self.tasks.values())
        feats = self.encode(self.backbone, views, needed(tasks, 'views'))
        key_feats = self.encode_keys(views, tasks)
        losses: Dict[str, Tensor] = {}
        for name, task in self.tasks.items():
            own = task.loss(feats, key_feats, data_samples)
            losses.update(prefixed(name, own, self.loss_weights.get(name, 1.)))
        return losses

    def combine(self, losses: Dict[str, Tensor]) -> Dict[str, Tensor]:
        if self.weighting == 'uncertainty':
            return self._weigh_by_uncertainty(losses)
        if self.weighting == 'pcgrad':
            return self._operate(losses)
        return losses

    def _weigh_by_uncertainty(self, losses: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        out: Dict[str, Tensor] = {}
        for name, log_var in zip(self.tasks, self.log_vars):
            weight = torch.exp(-log_var)
            out.update({key: weight * value for key, value in of_task(losses, name).items()})
            out[f'{name}.loss_uncertainty'] = log_var / 2
            out[f'{name}.weight'] = weight.detach()  # for the log; no loss by its name
        return out

    def _operate(self, losses: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """Losses of the same values whose gradient is the operated one.

        Zero with that gradient stands on top of the detached losses, so that the optimizer,
        gradient scaler, accumulation and distributed wrapper see an ordinary backward pass.
        """
        shared = [p for p in self.backbone.parameters() if p.requires_grad]
        rows: List[Tensor] = []
        params: List[Tensor] = list(shared)
        given: List[Tensor] = []
        for name, task in self.tasks.items():
            own = [p for p in task.parameters() if p.requires_grad]
            total = sum(of_task(losses, name).values())
            # In half precision small gradients would vanish on their way; see the gradient scaler.
            scale = 1024. if torch.is_autocast_enabled() else 1.
            grads = torch.autograd.grad(scale * total, [*shared, *own], retain_graph=True,
                                        allow_unused=True)
            rows.append(torch.cat([
                (p.new_zeros(p.numel()) if g is None else g.flatten() / scale)
                for p, g in zip(shared, grads)]))
            for p, g in zip(own, grads[len(shared):]):
                if g is not None:
                    params.append(p)
                    given.append(g / scale)
        gradients = torch.stack(rows)  # (K, P)
        all_reduce(gradients, op='mean')
        step = MessageHub.get_current_instance().get_info('iter', 0)
        with torch.autocast(gradients.device.type, enabled=False):
            operated = project_conflicting(gradients, key_to_seed('pcgrad', step))
        flat = operated.sum(0).split([p.numel() for p in shared])
        given = [g.view_as(p) for p, g in zip(shared, flat)] + given
        out = {key: value.detach() for key, value in losses.items()}
        first = next(key for key in out if 'loss' in key)
        out[first] = out[first] + _GivenGradient.apply(given, *params)
        return out


class _GivenGradient(torch.autograd.Function):
    """Zero, whose gradient in the parameters is given."""

    @staticmethod
    def forward(ctx: Any, gradients: List[Tensor], *params: Tensor) -> Tensor:
        ctx.gradients = gradients
        return params[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return (None, *(grad * g for g in ctx.gradients))


def project_conflicting(gradients: Tensor, seed: int = 0) -> Tensor:
    """PCGrad (algorithm 1): every task's gradient without what conflicts with the others'.

    Args:
        gradients (Tensor): (K, P), of K tasks on P shared parameters.
        seed (int): Of the order in which the others are taken; the same on all ranks.

    Returns:
        Tensor: (K, P).
    """
    generator = torch.Generator().manual_seed(seed % 2**63)
    squared = gradients.square().sum(1).clamp_min(1e-20)  # (K,)
    out = gradients.clone()
    for i, g in enumerate(out):
        for j in torch.randperm(len(out), generator=generator).tolist():
            if j != i:  # clamped, not compared: a comparison would wait for the device
                g.sub_(gradients[j] * ((g @ gradients[j]).clamp_max(0.) / squared[j]))
    return out
