"""A run that is asked to stop keeps what it has done, and says how to go on."""
import time
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import all_reduce, barrier, broadcast, get_world_size, is_main_process
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from ...errors import MultiSSLError
from ...registry import HOOKS
from ...utils.files import write_atomically
from ...utils.stopping import Interrupted, let_outlive, requested
from ..loops.epochs import BEGAN
from .checkpoint import accumulated, keep_interrupted

#: In a work directory: behind which epoch (step, where a loop counts these) it was validated last.
VALIDATED = 'last_validation'


@HOOKS.register_module()
class InterruptionHook(Hook):
    """Writes ``interrupted.pth`` when the run is asked to stop, and ends it with status 75.

    SIGTERM, SIGUSR1, SIGUSR2 or SIGINT to any of its processes asks for it. ``--resume`` goes on
    with the next batch of that epoch (see :class:`EpochTrainLoop`) and comes to the same bits.

    One process looks after every step. Several look together, at the same steps, which are about
    ``seconds`` apart: by then each of them is there to agree. Where gradients are accumulated the
    step of the optimizer comes first. ``tools/train.py`` adds this hook to every run, and listens
    (:func:`multissl_mm.utils.stopping.listening`).

    A validation ends, too, but not where an ``EMAHook`` has put its averages into the model, which
    are nothing to go on from. What other hooks look at between two steps (:class:`KNNHook`,
    :class:`ForgettingHook`) is left in the same way.

    Whatever ended a validation, a kill or an error, too, a run that is resumed where one was due
    begins with it: ``last_validation`` in the work directory says what was validated.

    Args:
        seconds (float): Defaults to 2.
        max_steps (int): At most between two looks of several processes. Each waits for the device;
            as many as :class:`LossGuardHook` has, which waits, too. Defaults to 10.
    """

    priority = 'LOWEST'  # after schedules, averages, logs and other checkpoints

    def __init__(self, seconds: float = 2., max_steps: int = 10) -> None:
        self.seconds, self.max_steps = seconds, max_steps
        self._count = 0  # of batches, of training and of validation
        self._looked, self._next = (0, 0.), 1  # at which of them, and when; the next one to look at
        self._batches = 0  # of a validation, that all processes have

    def before_train(self, runner: Runner) -> None:
        for loop in (runner.train_loop, runner.val_loop):
            if loop is not None:
                let_outlive(loop.dataloader)
        _begin_anew(runner.train_loop)
        self._looked = self._count, time.monotonic()
        if runner.val_loop is not None and self._validation_is_due(runner):
            runner.val_loop.run()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        step = runner.iter + 1
        if self._agreed() and self._stepped(runner, step):
            self._end(runner, step, f'epoch {runner.epoch + 1}')

    def before_val_epoch(self, runner: Runner) -> None:
        batches = torch.tensor(len(runner.val_loop.dataloader))
        all_reduce(batches, 'min')
        averaged = any(isinstance(hook, EMAHook) for hook in runner.hooks)
        stepped = self._stepped(runner, runner.iter)
        self._batches = 0 if averaged or not stepped else int(batches)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                       outputs: Optional[Sequence] = None) -> None:
        if batch_idx < self._batches and self._agreed():
            self._end(runner, runner.iter, 'whose validation is left')

    def after_val_epoch(self, runner: Runner, metrics: Optional[dict] = None) -> None:
        self._note_validated(runner, _progress(runner.train_loop)[0])

    def after_look(self, runner: Runner) -> None:
        """Called between two steps, after each of the batches that a hook looks at on all ranks."""
        if self._agreed() and self._stepped(runner, runner.iter):
            self._end(runner, runner.iter, 'a look at which is left')

    def _validation_is_due(self, runner: Runner) -> bool:
        """Whether the run that is resumed ended behind an epoch or a step, but not its validation.

        Checkpoints are written before.
        """
        loop, noted = runner.train_loop, Path(runner.work_dir, VALIDATED)
        now, end = _progress(loop)
        last = torch.tensor(int(noted.read_text()) if is_main_process() and noted.exists() else 0)
        broadcast(last)  # a file may reach other machines later
        if int(last) > now:  # of a run that was there before, or had gone further
            self._note_validated(runner, now)
        began = runner.message_hub.get_info(BEGAN)
        if began is not None and began[0] == now:  # in the middle of the next epoch
            return False
        if int(last) >= now or now < loop.val_begin:
            return False
        loop._decide_current_val_interval()
        return now % loop.val_interval == 0 or now == end

    @staticmethod
    def _note_validated(runner: Runner, done: int) -> None:
        if is_main_process():
            try:
                write_atomically(Path(runner.work_dir, VALIDATED), f'{done}')
            except MultiSSLError as error:  # as on a full disk
                runner.logger.warning(f'{error}; where this run is resumed it may validate twice')

    @staticmethod
    def _end(runner: Runner, step: int, where: str) -> None:
        try:
            path = keep_interrupted(runner, step)
        except MultiSSLError as error:
            last = runner.message_hub.runtime_info.get('last_ckpt')
            raise MultiSSLError(
                f'asked to stop, but step {step} ({where}) cannot be kept: {error}. ' +
                (f'{last} stays; the same command with --resume goes on from there' if last else
                 'No checkpoint of this run is there yet')) from error
        barrier()  # whoever ends first may take the others along
        raise Interrupted(f'asked to stop: step {step} ({where}) is kept in {path}; the same '
                          'command with --resume goes on behind it')

    def _agreed(self) -> bool:
        """Whether any process was asked to stop; the same answer on all, after the same batch."""
        self._count += 1
        if self._count < self._next:
            return False
        if get_world_size() == 1:
            return requested() is not None
        before, since = self._looked
        pace = (time.monotonic() - since) / (self._count - before)
        state = torch.tensor([float(requested() is not None), pace])
        all_reduce(state, 'max')
        asked, pace = state.tolist()
        self._looked = self._count, time.monotonic()
        self._next = self._count + (1 if asked else
                             max(1, min(self.max_steps, int(self.seconds / max(pace, 1e-6)))))
        return bool(asked)

    @staticmethod
    def _stepped(runner: Runner, step: int) -> bool:
        """Whether no gradient waits for the optimizer, which no checkpoint would have."""
        return step % accumulated(runner) == 0 or step == runner.max_iters


def _begin_anew(loop: Any) -> None:
    """Lets MMEngine's loop of steps load what hooks have prepared, by workers that outlive signals.

    That of 0.10.7 starts its workers, which load ahead, when it is built: before any hook.
    """
    batches: Any = getattr(loop, 'dataloader_iterator', None)
    if getattr(batches, '_iterator', None) is not None and loop.dataloader.num_workers:
        with torch.random.fork_rng([]):  # torch draws a seed for the workers
            batches._iterator = loop.dataloader._iterator = None  # ends those that are there
            sampler = getattr(loop.dataloader.batch_sampler, 'sampler', None)
            if isinstance(sampler, InfiniteSampler):  # one stream, which ends with its reader
                sampler.indices = sampler._indices_of_rank()
            batches._iterator = iter(loop.dataloader)


def _progress(loop: Any) -> Tuple[int, int]:
    """Of a training, how many epochs are done, and of how many; steps, where it counts these."""
    if isinstance(loop, EpochBasedTrainLoop):
        return loop.epoch, loop.max_epochs
    return (loop.iter, loop.max_iters) if isinstance(loop, IterBasedTrainLoop) else (0, 0)
