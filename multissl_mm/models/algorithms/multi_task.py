"""Multi-task: all pretext tasks at once (section 4.2)."""
from typing import Any, Callable, Dict, List, Optional, Sequence, Set

import torch
from mmengine.dist import all_reduce
from mmengine.logging import MessageHub
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS
from ...utils.keyed_random import key_to_seed
from ...utils.model import refuse_checkpointing, total
from ..pretext import Outputs, PretextTask, TaskOutput, flatten, weighted
from .base import MultiSSL, Views

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
        if weighting == 'pcgrad':
            refuse_checkpointing(self.backbone, "model.weighting 'pcgrad'",
                                 'choose another weighting')
        if weighting == 'uncertainty':
            self.log_vars = nn.Parameter(torch.zeros(len(self.tasks)))

    def learned(self) -> Dict[str, PretextTask]:
        """The tasks that learn now, in their order."""
        return dict(self.tasks.items())

    def loss(self, views: Views, samples: Optional[Sequence]) -> Outputs:
        tasks = self.learned()
        batch = self.learning_batch(views, samples, list(tasks.values()))
        outputs = {name: weighted(task.loss(batch), self.loss_weights.get(name, 1.))
                   for name, task in tasks.items()}
        return self._weigh(outputs) if self.weighting == 'uncertainty' else outputs

    def combine(self, outputs: Outputs) -> TaskOutput:
        return self._project(outputs) if self.weighting == 'pcgrad' else super().combine(outputs)

    def _weigh(self, outputs: Outputs) -> Outputs:
        """The same by their uncertainty."""
        out = {}
        for (name, output), log_var in zip(outputs.items(), self.log_vars):
            weight = torch.exp(-log_var)
            out[name] = TaskOutput(
                dict(weighted(output, weight).losses, loss_uncertainty=log_var / 2),
                dict(output.metrics, weight=weight.detach()))
        return out

    def _project(self, outputs: Outputs) -> TaskOutput:
        """Losses of the same values whose gradient is PCGrad's.

        Zero with that gradient stands on top of the detached losses, so that the optimizer,
        gradient scaler, accumulation and distributed wrapper see an ordinary backward pass.
        """
        totals = [total(output.losses.values()) for output in outputs.values()]
        reached = [_leaves(loss) for loss in totals]
        shared = [p for p in self.backbone.parameters() if p.requires_grad]
        own = [[p for p in self.tasks[name].parameters() if p in leaves]
               for name, leaves in zip(outputs, reached)]
        seed = key_to_seed('pcgrad', MessageHub.get_current_instance().get_info('iter', 0))

        def gradients(scale: Tensor) -> List[Tensor]:
            # Of the scaled losses, as the gradient scaler wants them: in half precision small
            # gradients live, and what overflows is seen by it. PCGrad is linear in the scale.
            rows: List[Tensor] = []
            of_tasks: List[Tensor] = []
            for loss, params in zip(totals, own):
                grads = torch.autograd.grad(loss, [*shared, *params], scale.to(loss.dtype),
                                            retain_graph=True, allow_unused=True)
                rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten().float()
                                       for p, g in zip(shared, grads)]))
                of_tasks.extend(grads[len(shared):])
            flat = torch.stack(rows)  # (K, P)
            all_reduce(flat, op='mean')
            with torch.autocast(flat.device.type, enabled=False):
                # Without the scale, with which squares would overflow long before gradients do.
                projected = project_conflicting(flat / scale, seed).sum(0) * scale
            parts = projected.split([p.numel() for p in shared])
            return [g.view_as(p).to(p.dtype) for p, g in zip(shared, parts)] + of_tasks

        out = flatten(outputs)
        losses = {key: value.detach() for key, value in out.losses.items()}
        first = next(iter(losses))
        losses[first] = losses[first] + _ComputedGradient.apply(
            gradients, *shared, *(p for params in own for p in params))
        return out._replace(losses=losses)


class _ComputedGradient(torch.autograd.Function):
    """Zero, whose gradient in the parameters a function computes when it is asked for."""

    @staticmethod
    def forward(ctx: Any, gradients: Callable[[Tensor], List[Tensor]], *params: Tensor) -> Tensor:
        ctx.gradients = gradients
        return params[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return (None, *ctx.gradients(grad))


def _leaves(loss: Tensor) -> Set[Tensor]:
    """The parameters that a loss depends on: others must not get a gradient, not even zero."""
    nodes, seen, found = [loss.grad_fn], set(), set()
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            found.add(node.variable)
        nodes.extend(parent for parent, _ in node.next_functions)
    return found


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
