"""Do the tasks pull the backbone the same way?"""
from functools import partial
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...models.pretext import TaskOutput
from ...models.protocols import Watchable
from ...registry import HOOKS
from ...utils.model import flat_gradients, refuse_checkpointing, total, unwrap
from .watching import report


@HOOKS.register_module()
class GradientHook(Hook):
    """Cosine and ratio of the norms of the tasks' gradients on the backbone, every N steps.

    Of every two tasks a, b of a step, with their losses as they are minimised (weights included,
    and learned ones; of an old task that is its distillation loss; before PCGrad changes them):

    - ``gradient_cosine/a-b``: of the angle between the gradients, taken as one vector over all
      parameters of the backbone. Below zero a step for one undoes the other.
    - ``gradient_norm_ratio/a-b``: length of a's gradient by the length of b's.
    - ``gradient_norm/a``: the length. Where it is 0, as of a task with a weight of 0, there is
      nothing to compare it with.

    On several ranks the gradients are averaged before they are compared: these are what the
    optimizer steps along. (Averages of each rank's own cosines would shrink with the noise of its
    smaller batch.) Such a step costs one more backward pass through the backbone per task, and
    changes nothing: gradients are taken with :func:`torch.autograd.grad`, beside the step's own.

    Args:
        interval (int): Steps between two looks. Defaults to 200: 25 times in an ImageNet epoch.
    """

    def __init__(self, interval: int = 200) -> None:
        self.interval = interval
        self._found: Optional[Tuple[Sequence[str], Tensor]] = None

    def before_train(self, runner: Runner) -> None:
        """Refuses models whose losses, or whose gradients, it cannot see."""
        model = unwrap(runner.model)
        if not isinstance(model, Watchable):
            raise MultiSSLError('GradientHook looks at the losses of a model of multissl_mm, but '
                                f'model is a {type(model).__name__}; remove the hook')
        if len(model.tasks) != 1:  # with one there is nothing to compare
            refuse_checkpointing(model.backbone, 'GradientHook', 'remove the hook')

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Optional[dict] = None) -> None:
        if self.every_n_train_iters(runner, self.interval):
            model = unwrap(runner.model)
            scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
            model.on_outputs = partial(self._look, model.backbone,
                                      1. if scaler is None else scaler.get_scale())

    def _look(self, backbone: nn.Module, scale: float, outputs: Mapping[str, TaskOutput]) -> None:
        # Scaled as the optimizer wrapper does it: in half precision small gradients would vanish.
        tasks = {name: scale * loss for name, loss in by_task(outputs).items()}
        if len(tasks) > 1:
            gradients = flat_gradients(tasks, backbone) / scale
            all_reduce(gradients, op='mean')
            with torch.autocast(gradients.device.type, enabled=False):  # not in half precision
                self._found = list(tasks), gradients @ gradients.t()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        if not self.every_n_train_iters(runner, self.interval):
            return
        unwrap(runner.model).on_outputs = None
        if self._found is not None:
            # The step is queued by now: the one wait for the device is at its end.
            report(runner, compare(*self._found), runner.epoch + 1, runner.iter + 1)
            self._found = None


def by_task(outputs: Mapping[str, TaskOutput]) -> Dict[str, Tensor]:
    """The minimised losses of every task that have a gradient, summed."""
    losses = {name: [v.mean() for v in output.losses.values() if v.requires_grad]
              for name, output in outputs.items()}
    return {name: total(values) for name, values in losses.items() if values}


def compare(names: Sequence[str], gram: Tensor) -> Dict[str, float]:
    """What :class:`GradientHook` reports, from the inner products of the gradients.

    Args:
        names (sequence[str]): Of K tasks.
        gram (Tensor): (K, K).
    """
    products: List[List[float]] = gram.double().tolist()  # one copy to the host
    norms = [row[i] ** .5 for i, row in enumerate(products)]
    out = {f'gradient_norm/{name}': norm for name, norm in zip(names, norms)}
    for i, a in enumerate(names):
        for j, b in enumerate(names[:i]):
            if norms[i] and norms[j]:
                out[f'gradient_cosine/{b}-{a}'] = products[j][i] / (norms[i] * norms[j])
                out[f'gradient_norm_ratio/{b}-{a}'] = norms[j] / norms[i]
    return out
