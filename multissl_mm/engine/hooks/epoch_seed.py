"""Random numbers of the model, as reproducible as those of the data."""
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ...utils.keyed_random import seed_all


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seeds python, NumPy and torch at every epoch from (seed, epoch, rank).

    MMEngine's checkpoints hold no generator state: without this, dropout or shuffling BN draw
    other numbers in a resumed run than in one that was never interrupted.
    """

    priority = 'LOWEST'  # after every hook that may draw numbers of its own before an epoch

    def before_train_epoch(self, runner: Runner) -> None:
        seed_all(runner.seed, 'epoch', runner.epoch, get_rank())
