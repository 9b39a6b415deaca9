"""A run that is asked to stop keeps what it has done, and says how to go on."""
import time
from typing import Optional

import torch
from mmengine.dist import all_reduce, barrier, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ...utils.stopping import Interrupted, OutliveSignals, requested
from .checkpoint import keep_interrupted


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Writes ``interrupted.pth`` when the run is asked to stop, and ends it with status 75.

    SIGTERM, SIGUSR1, SIGUSR2 or SIGINT to any of its processes asks for it. ``--resume`` goes on
    with the next batch of that epoch (see :class:`EpochTrainLoop`) and comes to the same bits.

    One process looks after every step. Several look together, at the same steps, which are about
    ``seconds`` apart: by then each of them is there to agree. Where gradients are accumulated the
    step of the optimizer comes first. ``tools/train.py`` adds this hook to every run, and listens
    (:func:`multissl_mm.utils.stopping.listening`).

    Args:
        seconds (float): Defaults to 2.
        max_steps (int): At most between two looks of several processes. Each waits for the device;
            as many as :class:`LossGuardHook` has, which waits, too. Defaults to 10.
    """

    priority = 'LOWEST'  # after schedules, averages, logs and other checkpoints

    def __init__(self, seconds: float = 2., max_steps: int = 10) -> None:
        self.seconds, self.max_steps = seconds, max_steps
        self._looked, self._next = (0, 0.), 0  # at which step and when; the next step to look at

    def before_train(self, runner: Runner) -> None:
        loader = runner.train_dataloader
        if loader.num_workers:
            loader.worker_init_fn = OutliveSignals(loader.worker_init_fn)
        self._looked, self._next = (runner.iter, time.monotonic()), runner.iter + 1

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        step = runner.iter + 1
        if step >= self._next and self._agreed(step) and self._stepped(runner, step):
            path = keep_interrupted(runner)
            barrier()  # whoever ends first may take the others along
            raise Interrupted(f'asked to stop: step {step} (epoch {runner.epoch + 1}) is kept in '
                              f'{path}; the same command with --resume goes on behind it')

    def _agreed(self, step: int) -> bool:
        """Whether any process was asked to stop; the same answer on all of them."""
        if get_world_size() == 1:
            return requested() is not None
        before, since = self._looked
        now = time.monotonic()
        state = torch.tensor([float(requested() is not None), (now - since) / (step - before)])
        all_reduce(state, 'max')
        asked, pace = state.tolist()
        self._looked = step, time.monotonic()
        self._next = step + (1 if asked else
                             max(1, min(self.max_steps, int(self.seconds / max(pace, 1e-6)))))
        return bool(asked)

    @staticmethod
    def _stepped(runner: Runner, step: int) -> bool:
        """Whether no gradient waits for the optimizer, which no checkpoint would have."""
        return step % getattr(runner.optim_wrapper, '_accumulative_counts', 1) == 0 or \
            step == runner.max_iters
