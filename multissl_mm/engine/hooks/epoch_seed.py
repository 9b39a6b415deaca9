"""Random numbers of the model, as reproducible as those of the data."""
from typing import Optional

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ...utils.keyed_random import seed_all


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds python, NumPy and torch at every epoch and step from (seed, epoch or step, rank).

    MMEngine's checkpoints hold no generator state: without this, dropout or shuffling BN draw
    other numbers in a resumed run than in one that was never interrupted.
    """

    priority = 'LOWEST'  # after every hook that may draw numbers of its own before an epoch

    def before_train_epoch(self, runner: Runner) -> None:
        seed_all(runner.seed, 'epoch', runner.epoch, get_rank())

    def before_train_iter(self, runner: Runner, batch_idx: int,
                          data_batch: Optional[dict] = None) -> None:
        seed_all(runner.seed, 'step', runner.iter, get_rank())
