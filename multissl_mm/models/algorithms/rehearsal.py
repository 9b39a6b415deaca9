"""Rehearsal: one task after the other, each learned on to the end (not in the paper)."""
from typing import Dict

from ...registry import MODELS
from ..pretext import PretextTask
from .multi_task import MultiTask
from .staged import StagedMultiSSL


@MODELS.register_module()
class Rehearsal(MultiTask, StagedMultiSSL):
    """Stage k learns tasks 1 to k at once, each from its own ground truth.

    In its last stage it is :class:`MultiTask`, but on features that earlier tasks have made. It is
    meant for tasks that need good features to begin with: DenseCL matches the positions of two
    views by the backbone's features, at random where these are. (docs/results says how it
    fares.) Other than in :class:`IncrementalLearning` nothing is recorded and no response holds a
    task where it was; an old task goes on costing what it costs in multi-task learning.

    For the arguments see :class:`MultiTask`; the order of ``tasks`` is that of the stages.
    """

    def learned(self) -> Dict[str, PretextTask]:
        return {name: self.tasks[name] for name in self.task_names[:self._stage + 1]}
