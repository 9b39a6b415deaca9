"""Is an old task forgotten? Its own loss on held-out views, now and when it was finished."""
from copy import deepcopy
from itertools import accumulate
from typing import Any, Dict, Iterable, List, Optional, Sequence

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...datasets.keyed import KeyedDataset
from ...errors import MultiSSLError
from ...models.algorithms import MultiSSL
from ...models.backbones import ProgressiveColumns
from ...models.contrast import NegativeQueue
from ...models.pretext import PretextTask
from ...models.pretext.base import behind_layers
from ...models.protocols import Staged, Watchable
from ...registry import HOOKS
from ...utils.model import looking_at, total, unwrap
from ..loops.staged import stage_lengths
from .watching import build_dataset, loader, report, while_wanted

#: Where the losses of finished tasks stand in MMEngine's message hub, and so in checkpoints.
FINISHED = 'multissl_mm/heldout_when_finished'


@HOOKS.register_module()
class ForgettingHook(Hook):
    """The tasks' own losses on held-out views, and by how much those of old tasks have grown.

    Logs ``heldout/<task>`` for every task learned so far, and for old tasks (section 4.3)
    ``forgetting/<task>``: that loss minus what it was when the task was finished. Where all tasks
    are learned at once nothing is old, and only ``heldout/`` is logged.

    Samples and views are always the same. A loss is that of the task as it is now, with keys from
    the present backbone and layers (no momentum) and, where there are queues, candidates from the
    first half of the samples; the second half is measured. So "then" and "now" differ in weights
    only. It happens in eval mode on a copy of the task: training does not notice.

    "Then" is measured as soon as :class:`ILStageHook` has made the task old, and is kept in
    checkpoints.

    Args:
        dataset (dict): Config of a dataset with held-out samples. Without a ``pipeline`` it gets
            that of the training data.
        interval (int): Epochs between two looks; there is one at every change of stage and after
            the last epoch, too. Defaults to 10.
        max_samples (int): Defaults to 4096.
        batch_size (int, optional): Per rank. Defaults to that of the training data.
    """

    priority = 'BELOW_NORMAL'  # after ILStageHook has changed the stage

    def __init__(self, dataset: dict, interval: int = 10, max_samples: int = 4096,
                 batch_size: Optional[int] = None) -> None:
        self.cfg, self.interval = dataset, interval
        self.max_samples, self.batch_size = max_samples, batch_size or 0
        self.watches = False  # whether there is anything to watch
        self.dataset: KeyedDataset
        self.warned = False

    def before_train(self, runner: Runner) -> None:
        """Builds the dataset: what is wrong with it shows now, not after the first epochs."""
        model = unwrap(runner.model)
        if not isinstance(model, Watchable) or not len(model.tasks) or \
                isinstance(model.backbone, ProgressiveColumns):
            runner.logger.info(f'ForgettingHook has nothing to do: a {type(model).__name__} has no '
                               'tasks that could disturb each other')
            return
        self.watches = True
        self.dataset = build_dataset(runner, self.cfg, 'ForgettingHook.dataset')
        self.batch_size = self.batch_size or runner.train_dataloader.batch_size
        if len(self._batches(runner)) < 2:
            raise MultiSSLError(
                f'ForgettingHook needs two batches of {self.batch_size} on each of '
                f'{get_world_size()} processes, one for candidates and one to measure, but there '
                f'are {min(len(self.dataset), self.max_samples)} samples; lower its batch_size')

    def before_train_epoch(self, runner: Runner) -> None:
        """Measures what has just become old."""
        if not self.watches:
            return
        unknown = [name for name in old_tasks(runner) or () if name not in self._finished(runner)]
        ends = stage_ends(runner)
        fresh = [name for name in unknown if ends.get(name) == runner.epoch]
        if fresh:
            now = self._measure(runner, fresh)
            finished = dict(runner.message_hub.runtime_info.get(FINISHED, {}))
            finished[self._samples] = dict(self._finished(runner), **now)
            runner.message_hub.update_info(FINISHED, finished)
            self._report(runner, now, runner.epoch)
        late = [name for name in unknown if name not in fresh]
        if late and not self.warned:
            self.warned = True
            runner.logger.warning(
                f'ForgettingHook was not there, or had other samples, when {", ".join(late)} was '
                'finished: its loss can be logged, but not by how much it has grown')

    def after_train_epoch(self, runner: Runner) -> None:
        if self.watches and (self.every_n_epochs(runner, self.interval) or
                                         self.is_last_train_epoch(runner)):
            tasks, old = list(unwrap(runner.model).tasks), old_tasks(runner)
            learned = tasks[:len(old) + 1] if old is not None else tasks
            self._report(runner, self._measure(runner, learned), runner.epoch + 1)

    def _measure(self, runner: Runner, names: Sequence[str]) -> Dict[str, float]:
        batches = self._batches(runner)
        return heldout_losses(unwrap(runner.model), while_wanted(runner, batches), names,
                              len(batches) // 2 * self.batch_size * get_world_size())

    def _report(self, runner: Runner, now: Dict[str, float], epoch: int) -> None:
        scalars = {f'heldout/{name}': loss for name, loss in now.items()}
        scalars.update({f'forgetting/{name}': now[name] - then
                        for name, then in self._finished(runner).items() if name in now})
        report(runner, scalars, epoch, runner.iter)

    def _batches(self, runner: Runner) -> DataLoader:
        return loader(runner, self.dataset, self.max_samples, self.batch_size, whole_batches=True)

    @property
    def _samples(self) -> str:
        """Of what "then" was measured: other samples or views are no comparison."""
        return f'{self.max_samples} of {self.dataset.fingerprint()}'

    def _finished(self, runner: Runner) -> Dict[str, float]:
        """Losses of old tasks when they were finished, as far as they are known."""
        return runner.message_hub.runtime_info.get(FINISHED, {}).get(self._samples, {})


def old_tasks(runner: Runner) -> Optional[List[str]]:
    """Tasks of finished stages; None where there are no stages."""
    model = unwrap(runner.model)
    return model.task_names[:int(model.stage)] if isinstance(model, Staged) else None


def stage_ends(runner: Runner) -> Dict[str, int]:
    """How many epochs of the run are over when a task's stage is."""
    model, ends = unwrap(runner.model), accumulate(stage_lengths(runner.message_hub) or [])
    return dict(zip(model.task_names, ends)) if isinstance(model, Staged) else {}


def heldout_losses(model: MultiSSL, batches: Iterable[dict], names: Sequence[str],
                   candidates: int) -> Dict[str, float]:
    """Losses of tasks as they are now, averaged over batches and ranks.

    Args:
        model (nn.Module): A :class:`MultiSSL`. Nothing of it changes.
        batches (iterable[dict]): As in training, of the same size on all ranks.
        names (sequence[str]): Of the tasks.
        candidates (int): How many of the samples (of all ranks) come first and are not measured:
            they fill the tasks' queues.
    """
    with looking_at(model):
        tasks = {name: emptied(model.tasks[name], candidates) for name in names}
        key_views = {view for task in tasks.values() for view in task.key_views}
        losses, seen = [], 0
        for data in batches:
            data = model.data_preprocessor(data, False)
            views, samples = model.name_views(data['inputs']), data['data_samples']
            batch = model.batch(views, samples, list(tasks.values()))
            batch.keys = behind_layers(tasks.values(), model.encode(
                model.backbone, model.make(views, samples, tasks.values()), key_views))
            step = [total(task.loss(batch).losses.values()) for task in tasks.values()]
            if seen >= candidates:
                losses.append(torch.stack(step).float())
            seen += len(next(iter(views.values()))) * get_world_size()
        mean = torch.stack(losses).mean(0)
        all_reduce(mean, op='mean')
    return dict(zip(tasks, mean.tolist()))


def emptied(task: PretextTask, candidates: int) -> PretextTask:
    """Copy of a task: momentum layers equal to the trained ones, queues for a few candidates.

    With queues of the full length, of which held-out keys fill a part, the rest would be random
    directions, which are too easy to tell from a key.
    """
    # What copies find in `memo` they take as it is, so the long queues are not copied.
    memo: Dict[int, Any] = {id(queue.keys): queue.keys[:candidates].clone()
            for queue in task.modules() if isinstance(queue, NegativeQueue)}
    copy = deepcopy(task, memo).eval()
    copy.reset()
    return copy
