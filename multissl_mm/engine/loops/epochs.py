"""Epochs that can be left and entered anywhere."""
import logging
from itertools import islice
from typing import Any, Iterable

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import BatchSampler

from ...datasets.keyed import KeyedSampler
from ...registry import LOOPS

#: In MMEngine's message hub, and so in checkpoints: an epoch, the step that it began with, and the
#: samples of a step on all ranks.
BEGAN = 'multissl_mm/epoch_began'


@LOOPS.register_module()
class EpochTrainLoop(EpochBasedTrainLoop):
    """MMEngine's loop, except that a run goes on in the middle of an epoch.

    From a checkpoint of that epoch the batches that it has seen do not come again and none is
    left out. (MMEngine begins the epoch anew.) A :class:`KeyedSampler` begins behind them; from
    any other sampler they are loaded and dropped. ``tools/train.py`` takes this loop where a
    config names none.
    """

    def run_epoch(self) -> None:
        """Iterates what is left of an epoch."""
        self.runner.call_hook('before_train_epoch')  # a stage may begin, with batches of its own
        done = self._done()
        self.runner.message_hub.update_info(
            BEGAN, [self._epoch, self._iter - done, self._samples()])
        self.runner.model.train()
        for idx, data_batch in enumerate(self._rest(done), done):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _done(self) -> int:
        """How many batches of this epoch the model has seen."""
        began = self.runner.message_hub.get_info(BEGAN)
        if began is not None:
            epoch, step, samples = began
            if epoch != self._epoch:
                return 0
            seen = (self._iter - step) * samples
            done, again = divmod(seen, self._samples())
            if again:  # other batches than before, which was accepted
                print_log(f'epoch {epoch + 1} goes on behind {seen} samples, of which {again} come '
                          'again', logger='current', level=logging.WARNING)
            return done
        if 0 < self._iter - self._epoch * len(self.dataloader) < len(self.dataloader):
            print_log('the checkpoint is from the middle of an epoch, but does not say where: '
                      f'epoch {self._epoch + 1} begins anew, and its first samples come twice',
                      logger='current', level=logging.WARNING)
        return 0

    def _samples(self) -> int:
        sampler = self.dataloader.batch_sampler  # its number: stages may have batches of their own
        return (getattr(sampler, 'batch_size', None) or 1) * get_world_size()

    def _rest(self, done: int) -> Iterable[Any]:
        loader = self.dataloader
        if done and isinstance(loader.sampler, KeyedSampler) and \
                type(loader.batch_sampler) is BatchSampler:
            loader.sampler.seen = done * loader.batch_sampler.batch_size
            return loader
        return islice(loader, done, None) if done else loader
