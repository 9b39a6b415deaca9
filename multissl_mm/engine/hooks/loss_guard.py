"""Stops a run whose loss is no number, and says whose loss it was."""
from typing import Dict, List, Optional, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.runner import Runner
from torch import Tensor

from ...errors import MultiSSLError
from ...registry import HOOKS
from ...utils.model import unwrap

Step = Tuple[int, Dict[str, Tensor]]


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Ends the run at losses that are NaN or infinite, before a checkpoint is written.

    In full precision the first one ends it. In mixed precision the optimizer wrapper skips a step
    without finite gradients; the run ends after ``patience`` such losses in a row, or when batch
    norm statistics are no numbers any more.

    All losses are kept for ``interval`` steps on their device and looked at together, so that a
    GPU waits for the host once per interval; the first bad step still names its task.

    Args:
        interval (int): Steps between two looks. Defaults to 10.
        patience (int): In mixed precision. Defaults to 10.
    """

    priority = 'HIGH'  # before the logger averages the values and a checkpoint is written

    def __init__(self, interval: int = 10, patience: int = 10) -> None:
        self.interval, self.patience = interval, patience
        self.seen: List[Step] = []
        self.in_a_row = 0

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        losses = {k: v.detach() for k, v in (outputs or {}).items()
                  if 'loss' in k and isinstance(v, Tensor)}
        self.seen.append((runner.iter, losses))
        if len(self.seen) >= self.interval:
            self._look(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self._look(runner)

    def _look(self, runner: Runner) -> None:
        seen, self.seen = self.seen, []
        rows = [torch.stack([v.float().mean() for v in losses.values()]) for _, losses in seen
                if losses]
        if not rows:
            return
        if torch.isfinite(torch.cat(rows)).all():
            self.in_a_row = 0
            return
        amp = isinstance(runner.optim_wrapper, AmpOptimWrapper)
        for step, losses in seen:
            bad = sorted(k for k, v in losses.items() if not torch.isfinite(v).all())
            self.in_a_row = self.in_a_row + 1 if bad else 0
            named = ', '.join([k for k in bad if k != 'loss'] or bad)
            if bad and (not amp or self.in_a_row >= self.patience):
                self._stop(runner, step, named)
            if bad:
                runner.logger.warning(f'step {step + 1}: {named} is not finite; the step was '
                                      f'skipped ({self.in_a_row} in a row, {self.patience} end '
                                      'the run)')
        broken = [k for k, v in unwrap(runner.model).named_buffers()
                  if 'running_' in k and not torch.isfinite(v).all()]
        if broken:
            self._stop(runner, seen[-1][0], broken[0])

    def _stop(self, runner: Runner, step: int, named: str) -> None:
        row = f', {self.in_a_row} times in a row' if self.in_a_row > 1 else ''
        last = runner.message_hub.runtime_info.get('last_ckpt')
        raise MultiSSLError(
            f'step {step + 1} (epoch {runner.epoch + 1}): {named} is not finite{row}; '
            f'lower the learning rate or that task\'s weight and resume from '
            f'{last or "the start (no checkpoint yet)"}')
