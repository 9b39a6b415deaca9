"""Which files a run does without."""
from typing import Dict, Optional

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from ...registry import HOOKS


@HOOKS.register_module()
class LeftOutHook(Hook):
    """Lists at the end of every epoch the damaged files that other samples stood in for.

    They are those of all workers and all ranks, which :class:`KeyedDataset` notes in the samples
    that stand in. A run with ``max_skip`` has this hook by itself.
    """

    def __init__(self) -> None:
        self._files: Dict[str, str] = {}

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        samples = data_batch.get('data_samples') if isinstance(data_batch, dict) else None
        for sample in samples or []:
            if isinstance(sample, BaseDataElement):
                self._files.update(sample.get('left_out', {}))

    def after_train_epoch(self, runner: Runner) -> None:
        files = {file: what for rank in all_gather_object(self._files)
                 for file, what in rank.items()}
        self._files = {}
        if files:
            listed = ''.join(f'\n  {files[file]}' for file in sorted(files))
            runner.logger.warning(f'epoch {runner.epoch + 1}: {len(files)} damaged '
                                  f'file{"s were" if len(files) > 1 else " was"} left out, other '
                                  f'samples stood in:{listed}')

    def after_train(self, runner: Runner) -> None:
        self.after_train_epoch(runner)  # of a loop without epochs
