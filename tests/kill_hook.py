"""Kills the run it is part of, as a scheduler or a power cut would."""
import os
import signal
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from multissl_mm.registry import HOOKS
from multissl_mm.responses.bank import ResponseBank


def kill(*args: Any, **kwargs: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class KillHook(Hook):
    """SIGKILL at one of: ``iter:<n>``, ``record`` (in the middle of a shard), ``save:<epoch>``."""

    def __init__(self, at: str) -> None:
        self.at, _, number = at.partition(':')
        self.number = int(number or 0)

    def before_train(self, runner: Runner) -> None:
        if self.at == 'record':
            flush, self.shards = ResponseBank.write, 0

            def write(bank, replica, shard, batches):
                self.shards += 1
                if self.shards == 3:
                    next_batch = next(iter(batches))
                    batches = iter([next_batch, Deadly()])
                return flush(bank, replica, shard, batches)

            ResponseBank.write = write
        if self.at == 'save':
            replace = os.replace

            def torn(source, target):
                if os.path.basename(target) == f'epoch_{self.number}.pth':
                    os.truncate(source, os.path.getsize(source) // 2)
                    kill()
                replace(source, target)

            os.replace = torn

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None,
                         outputs: Any = None) -> None:
        if self.at == 'iter' and runner.iter + 1 == self.number:
            kill()


class Deadly(dict):
    """Responses that nobody lives to write."""

    items = kill
