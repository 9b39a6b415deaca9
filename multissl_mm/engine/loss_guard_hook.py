"""Stops a run whose loss is no number, and says whose loss it was."""
from typing import Dict, List, Optional, Tuple

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from ..errors import MultiSSLError
from ..registry import HOOKS


@HOOKS.register_module()
class LossGuardHook(Hook):
    """Ends the run at the first loss that is NaN or infinite, before a checkpoint is written.

    All losses are kept for ``interval`` steps on their device and looked at together, so that a
    GPU waits for the host once per interval; the first bad step still names its task.

    Args:
        interval (int): Steps between two looks. Defaults to 10.
    """

    priority = 'HIGH'  # before the logger averages the values and a checkpoint is written

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval
        self.seen: List[Tuple[int, Dict[str, Tensor]]] = []

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
        if not rows or torch.isfinite(torch.cat(rows)).all():
            return
        step, losses = next((i, v) for i, v in seen
                            if not all(torch.isfinite(x).all() for x in v.values()))
        bad = sorted(k for k, v in losses.items() if not torch.isfinite(v).all())
        named = [k for k in bad if k != 'loss'] or bad
        last = runner.message_hub.runtime_info.get('last_ckpt')
        raise MultiSSLError(
            f'step {step + 1} (epoch {runner.epoch + 1}): {", ".join(named)} is not finite; '
            f'lower the learning rate or that task\'s weight and resume from '
            f'{last or "the start (no checkpoint yet)"}')
