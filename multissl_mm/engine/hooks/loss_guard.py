"""Stops a run whose loss is no number, and says whose loss it was."""
from typing import Dict, List, NamedTuple, Optional

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from ...registry import HOOKS
from .finite import by_rank, check_weights, stop


class Step(NamedTuple):
    """What a model put out in a step: its losses and metrics by name, ``loss`` the total."""
    number: int  # from 1
    values: Dict[str, Tensor]

    def culprits(self) -> List[str]:
        """Names of what is not finite, if the total is not: the parts where they are known."""
        bad = sorted(k for k, v in self.values.items() if not torch.isfinite(v).all())
        return [k for k in bad if k != 'loss'] or bad if 'loss' in bad else []


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Ends the run at losses that are NaN or infinite, before a checkpoint is written.

    In full precision the first one ends it. In mixed precision the optimizer wrapper skips a step
    without finite gradients; the run ends after ``patience`` such losses in a row, or when weights
    or batch norm statistics are no numbers any more.

    What counts is the total, which MMEngine calls ``loss``; a metric that is NaN ends nothing. All
    values are kept for ``interval`` steps on their device and looked at together, on all ranks at
    the same step, so that a GPU waits for the host once per interval, the first bad step still
    names its task and rank, and all ranks end.

    Args:
        interval (int): Steps between two looks. Defaults to 10.
        patience (int): In mixed precision. Defaults to 10.
    """

    priority = 'HIGH'  # before the logger averages the values and a checkpoint is written

    def __init__(self, interval: int = 10, patience: int = 10) -> None:
        self.interval, self.patience = interval, patience
        self.steps: List[Step] = []
        self.in_a_row = 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        values = {k: v.detach() for k, v in (outputs or {}).items() if isinstance(v, Tensor)}
        if 'loss' in values:
            self.steps.append(Step(runner.iter + 1, values))
        if len(self.steps) >= self.interval:
            self.look(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self.look(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Called by :class:`AtomicCheckpointHook` on all ranks."""
        self.look(runner)

    def look(self, runner: Runner) -> None:
        """Looks at the steps since the last look.

        Raises:
            MultiSSLError: On all ranks; names step, loss, rank and checkpoint to go on from.
        """
        steps, self.steps = self.steps, []
        if not steps:
            return
        bad = torch.stack([~torch.isfinite(step.values['loss']).all() for step in steps]).int()
        all_reduce(bad, 'max')
        if not bad.any():
            self.in_a_row = 0
            return
        amp = isinstance(runner.optim_wrapper, AmpOptimWrapper)
        for step, is_bad in zip(steps, bad.tolist()):
            self.in_a_row = self.in_a_row + 1 if is_bad else 0
            if not is_bad:
                continue
            seen = f'step {step.number} (epoch {runner.epoch + 1}): ' + \
                f'{", ".join(by_rank(step.culprits()))} is not finite'
            if not amp or self.in_a_row >= self.patience:
                row = f', {self.in_a_row} times in a row' if self.in_a_row > 1 else ''
                stop(runner, f'{seen}{row}')
            runner.logger.warning(f'{seen}; the step was skipped ({self.in_a_row} in a row, '
                                  f'{self.patience} end the run)')
        check_weights(runner, steps[-1].number)
