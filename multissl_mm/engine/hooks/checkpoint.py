"""Checkpoints that are whole or not there."""
import os
import os.path as osp

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from ...registry import HOOKS
from ...utils.files import partial_path, remove_leftovers, replacing


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, safe against a kill at any moment.

    A checkpoint is written under another name and renamed when it is on disk; then the pointer
    ``last_checkpoint`` moves; then checkpoints beyond ``max_keep_ckpts`` go. (MMEngine deletes
    first and writes in place, so that a kill can leave a truncated newest checkpoint, or none.)
    On remote storage, whose writes are atomic by themselves, it is MMEngine's hook.
    """

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        if not isinstance(self.file_backend, LocalBackend):
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        path = osp.join(self.out_dir, self.filename_tmpl.format(step))
        obsolete = self._forget_old(runner, step)
        self.last_ckpt = path
        runner.message_hub.update_info('last_ckpt', path)
        part = partial_path(path)
        runner.save_checkpoint(self.out_dir, part.name, self.file_client_args, self.save_optimizer,
                               self.save_param_scheduler, meta=meta, by_epoch=self.by_epoch,
                               backend_args=self.backend_args, **self.args)
        if not is_main_process():
            return
        _replace(str(part), path)
        remove_leftovers(path)
        with replacing(osp.join(runner.work_dir, 'last_checkpoint'), sync=True) as pointer:
            pointer.write_text(path)
        for old in obsolete:
            if osp.isfile(old):
                os.remove(old)

    def _forget_old(self, runner: Runner, step: int) -> list:
        """Books the new checkpoint and returns the paths of those that are too many with it."""
        if self.max_keep_ckpts <= 0:
            return []
        kept: list = [k for k in self.keep_ckpt_ids if k != step] + [step]
        drop, kept = kept[:-self.max_keep_ckpts], kept[-self.max_keep_ckpts:]
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(kept)
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        return [osp.join(self.out_dir, self.filename_tmpl.format(k)) for k in drop]


def _replace(source: str, target: str) -> None:
    """Renames after the bytes are on disk, so that a power cut cannot leave an empty target."""
    with open(source, 'rb') as f:
        os.fsync(f.fileno())
    os.replace(source, target)
