"""What a run notes of its steps, without a wait for the device in each of them."""
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Union

from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from ...registry import HOOKS
from ...utils.device import to_host

Values = Dict[str, Union[Tensor, float]]


@HOOKS.register_module()
class DeferredInfoHook(RuntimeInfoHook):
    """Notes losses and metrics as MMEngine's hook does, but reads them from the device later.

    That one asks for every value of every step, and its optimizer wrapper for the norm of clipped
    gradients, so the host can never prepare the next step while the device is busy with this one.
    Here they are read all at once when somebody looks at them: before the logger writes, before a
    checkpoint, and at the end of an epoch. What is noted is the same.
    """

    def __init__(self) -> None:
        self.steps: List[Values] = []
        self.clipped: Values = {}  # of this step

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self.take_norms(runner.optim_wrapper)

    def take_norms(self, optim_wrapper: Any) -> None:
        """Keeps from an optimizer wrapper the norms of gradients, which it would read at once."""
        clip = getattr(optim_wrapper, 'clip_func', None)
        if clip is not None and getattr(clip, 'func', None) != self._clip:
            optim_wrapper.clip_func = partial(self._clip, clip, optim_wrapper.grad_name)

    def _clip(self, clip: Callable[..., Optional[Tensor]], name: str, *args: Any,
              **kwargs: Any) -> None:
        norm = clip(*args, **kwargs)
        if norm is not None:
            self.clipped = {name: norm}

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        values, self.clipped = dict(self.clipped, **(outputs or {})), {}
        self.steps.append({k: v.detach() if isinstance(v, Tensor) else v
                           for k, v in values.items()})
        intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        if self.end_of_epoch(runner.train_dataloader, batch_idx) or any(
                self.every_n_inner_iters(batch_idx, interval) for interval in intervals):
            self.note(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self.note(runner)

    def before_checkpoint(self, runner: Runner) -> None:
        """Called by :class:`AtomicCheckpointHook` on all ranks."""
        self.note(runner)

    def note(self, runner: Runner) -> None:
        """Writes down the steps since the last time, in their order."""
        steps, self.steps = self.steps, []
        values = iter(to_host([v.double().reshape(()) for step in steps for v in step.values()
                               if isinstance(v, Tensor)]))
        for step in steps:
            for key, value in step.items():
                runner.message_hub.update_scalar(
                    f'train/{key}', next(values) if isinstance(value, Tensor) else value)
