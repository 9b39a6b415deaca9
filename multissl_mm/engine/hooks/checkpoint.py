"""Checkpoints that are whole, finite, or not there."""
import os
import os.path as osp
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Union

from mmengine.dist import all_gather_object, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from ...errors import MultiSSLError
from ...registry import HOOKS
from ...runtime import continuity
from ...runtime.processes import decided
from ...runtime.resume import INTERRUPTED
from ...utils.files import free_bytes, link_or_copy, remove_leftovers, write_atomically
from ...utils.model import unwrap
from .finite import check_weights

#: Of a finished run, in its work directory.
FINAL = 'final.pth'


@register_backend('multissl_mm.atomic', force=True)
class AtomicLocalBackend(LocalBackend):
    """MMEngine's local files, written under another name and renamed."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        write_atomically(filepath, obj)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, safe against a kill at any moment and against NaN.

    - Before any checkpoint is written, all ranks look at the losses (of :class:`LossGuardHook`, if
      the run has one) and at all parameters and buffers; a value that is not finite ends the run.
    - A checkpoint is written under another name and renamed when it is on disk; then the pointer
      ``last_checkpoint`` moves; then checkpoints beyond ``max_keep_ckpts`` and the previous best
      one go. (MMEngine deletes first and writes in place, so that a kill can leave a truncated
      newest checkpoint, or none.)
    - One that cannot be written (disk full, no permission) ends nothing: it is said, what is older
      stays, the next one is tried at its time, and the run ends with an error when it is through.
    - When training has ended, ``final.pth`` is another name of its last checkpoint, so that what
      builds on a run need not know how long it was.

    On remote storage, whose writes are atomic by themselves, MMEngine's hook writes and deletes.
    """

    is_local = True
    #: Steps that the last checkpoint's weights have seen.
    saved_iter: Optional[int] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.failures: List[str] = []

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        self.saved_iter = runner.iter  # of a resumed run's checkpoint
        self._warn_of_accumulation(runner)
        self.is_local = isinstance(self.file_backend, LocalBackend)
        if not self.is_local:
            return
        self.backend_args = dict(backend='multissl_mm.atomic')
        decided(partial(check_room, runner, self.out_dir))
        if is_main_process():
            remove_leftovers(self.out_dir)
            if runner.iter < runner.max_iters:  # an earlier run's
                Path(runner.work_dir, FINAL).unlink(missing_ok=True)

    def _warn_of_accumulation(self, runner: Runner) -> None:
        counts = accumulated(runner)
        steps = self.interval * (len(runner.train_dataloader) if self.by_epoch else 1)
        if steps > 0 and steps % counts:
            runner.logger.warning(
                f'gradients of {counts} batches are accumulated, but a checkpoint is written every '
                f'{steps}: a run that is resumed from one may lack what was accumulated; make '
                f'default_hooks.checkpoint.interval a multiple of {counts} steps')

    def after_train(self, runner: Runner) -> None:
        super().after_train(runner)
        last = runner.message_hub.runtime_info.get('last_ckpt')
        if self.is_local and is_main_process() and self.saved_iter == runner.iter and \
                last and osp.isfile(last):
            link_or_copy(last, osp.join(runner.work_dir, FINAL))
        if self.failures:
            raise MultiSSLError(f'training is through, but {len(self.failures)} checkpoints could '
                                f'not be written; the last: {self.failures[-1]}')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: Dict[str, Any]) -> None:
        runner.call_hook('before_checkpoint')
        check_weights(runner, meta['iter'])
        meta[continuity.KEY] = continuity.described(runner)
        if not self.is_local:
            super()._save_checkpoint_with_step(runner, step, meta)
            self.saved_iter = meta['iter']
            return
        path, last = osp.join(self.out_dir, self.filename_tmpl.format(step)), self.last_ckpt
        kept = list(self.keep_ckpt_ids) if self.max_keep_ckpts > 0 else []
        obsolete = self._forget_old(runner, step)
        self._tell(runner, path)
        with self._forgiving(runner):
            runner.save_checkpoint(self.out_dir, osp.basename(path), None, self.save_optimizer,
                                   self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
                                   backend_args=self.backend_args, **self.args)
            if is_main_process():
                write_atomically(osp.join(runner.work_dir, 'last_checkpoint'), path)
                _remove([*obsolete, osp.join(runner.work_dir, INTERRUPTED)])
            self.saved_iter = meta['iter']
            return
        self._tell(runner, last)
        if self.max_keep_ckpts > 0:
            self._keep(runner, kept)

    def _tell(self, runner: Runner, path: Optional[str]) -> None:
        self.last_ckpt = path
        runner.message_hub.update_info('last_ckpt', path)

    @contextmanager
    def _forgiving(self, runner: Runner) -> Iterator[None]:
        """A block that writes; goes on behind it where the system refuses."""
        try:
            yield
        except (MultiSSLError, OSError) as error:
            self.failures.append(str(error))
            runner.logger.error(f'{error}; training goes on without this checkpoint, the next one '
                                'is tried at its time')

    def _forget_old(self, runner: Runner, step: int) -> List[str]:
        """Books the new checkpoint and returns the paths of those that are too many with it."""
        if self.max_keep_ckpts <= 0:
            return []
        kept = [k for k in self.keep_ckpt_ids if k != step] + [step]
        drop, kept = kept[:-self.max_keep_ckpts], kept[-self.max_keep_ckpts:]
        self._keep(runner, kept)
        return [osp.join(self.out_dir, self.filename_tmpl.format(k)) for k in drop]

    def _keep(self, runner: Runner, ids: List[int]) -> None:
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(ids)
        runner.message_hub.update_info('keep_ckpt_ids', list(ids))

    def _save_best_checkpoint(self, runner: Runner, metrics: Dict[str, Any]) -> None:
        if not self.save_best:
            return
        runner.call_hook('before_checkpoint')
        check_weights(runner, runner.iter)
        if not self.is_local:
            super()._save_best_checkpoint(runner, metrics)
            return
        # MMEngine removes what it knows of before it writes: it is told again what was not bettered
        # and what is left is removed when the new one is there.
        previous = self._best
        self._best = {key: None for key in previous}
        new = dict(self._best)
        with self._forgiving(runner):
            super()._save_best_checkpoint(runner, metrics)
            new = self._best
        self._best = {key: new[key] or old for key, old in previous.items()}
        if is_main_process():
            _remove(old for key, old in previous.items() if old and new[key] not in (None, old))

    @property
    def _best(self) -> Dict[str, Optional[str]]:
        """Path of the best checkpoint by metric; MMEngine keeps one apart from several."""
        if len(self.key_indicators) == 1:
            return {'': self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    @_best.setter
    def _best(self, paths: Dict[str, Optional[str]]) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = paths['']
        else:
            self.best_ckpt_path_dict = dict(paths)


def accumulated(runner: Runner) -> int:
    """Of how many batches a step of the optimizer has the gradients."""
    return getattr(runner.optim_wrapper, '_accumulative_counts', 1)


def check_room(runner: Runner, folder: str) -> None:
    """Looks whether a checkpoint of a run fits on a disk, before the first step.

    Raises:
        MultiSSLError: If not; says how much there is.
    """
    tensors = [*unwrap(runner.model).state_dict().values(),
               *(p for p in runner.model.parameters() if p.requires_grad)]  # momentum of these
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    free = free_bytes(folder)
    if needed > free:
        raise MultiSSLError(f'{folder}: a checkpoint takes about {needed / 1e6:.3g} MB, but only '
                            f'{free / 1e6:.3g} MB are free; free some, or choose another '
                            '--work-dir')


def keep_interrupted(runner: Runner, step: int) -> str:
    """Writes a checkpoint of a run that has done ``step`` steps; must be called on all ranks.

    The next one that the run's hook writes takes its place.

    Returns:
        str: Its path.

    Raises:
        MultiSSLError: If a value is not finite, or it cannot be written; what is older stays.
    """
    error = None
    runner.call_hook('before_checkpoint')
    check_weights(runner, step)
    path = osp.join(runner.work_dir, INTERRUPTED)
    try:
        runner.save_checkpoint(runner.work_dir, INTERRUPTED, by_epoch=False,
                               meta={'epoch': runner.epoch, 'iter': step,
                                     continuity.KEY: continuity.described(runner)},
                               backend_args=dict(backend='multissl_mm.atomic'))
        if is_main_process():
            write_atomically(osp.join(runner.work_dir, 'last_checkpoint'), path)
    except MultiSSLError as e:
        error = str(e)
    errors = [text for text in all_gather_object(error) if text]
    if errors:
        raise MultiSSLError(errors[0])
    return path


def _remove(paths: Iterable[str]) -> None:
    for path in paths:
        if osp.isfile(path):
            os.remove(path)
