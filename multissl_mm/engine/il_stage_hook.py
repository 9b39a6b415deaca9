"""Leads an incremental model from stage to stage (section 4.3)."""
import hashlib
import os
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Sequence

import torch
from mmengine.dist import barrier, broadcast, get_dist_info, is_main_process, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..datasets.keyed import KeyedDataset, KeyedSampler, ViewKey
from ..errors import MultiSSLError
from ..registry import HOOKS
from ..utils.keyed_random import keyed_randomness
from ..utils.model import unwrap
from .response_bank import ResponseBank


@HOOKS.register_module()
class ILStageHook(Hook):
    """Derives the stage from the epoch; on a real transition prepares the model for it.

    A transition keeps the finished task's responses (records them, or copies the teacher), makes
    the new task's momentum layers equal to what they follow and its queue empty, and clears the
    optimizer's state. The learning rate restarts by the config's ``CosineRestartLR``. The finished
    stage's checkpoint is kept as ``stage<k>_<task>.pth``.

    Args:
        epochs (sequence[int]): Of every stage, in the order of the model's tasks. 0 for the first
            means that ``load_from`` brings a finished first task.
    """

    priority = 'NORMAL'

    def __init__(self, epochs: Sequence[int]) -> None:
        self.epochs = [int(e) for e in epochs]

    # ------------------------------------------------------------------ checks before the start

    def before_train(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        names = getattr(model, 'task_names', None)
        if names is None:
            raise MultiSSLError('ILStageHook leads a multissl_mm.IncrementalLearning, but model is '
                                f'a {type(model).__name__}; remove the hook or change model.type')
        if len(names) != len(self.epochs):
            raise MultiSSLError(f'ILStageHook.epochs has {len(self.epochs)} stages, but '
                                f'model.tasks has {len(names)}: {", ".join(names)}')
        if sum(self.epochs) != runner.max_epochs or min(self.epochs[1:], default=1) < 1:
            raise MultiSSLError(f'ILStageHook.epochs {self.epochs} must be positive and add up to '
                                f'train_cfg.max_epochs, which is {runner.max_epochs}')
        if self.epochs[0] == 0 and not runner._load_from and not runner._resume:
            raise MultiSSLError(f"stage 1 ({names[0]}) has 0 epochs, so load_from must name a "
                                'checkpoint of it; see tools/model_converters/to_stage1.py')
        interval = next((h.interval for h in runner.hooks if hasattr(h, 'max_keep_ckpts')), 1)
        ends = [sum(self.epochs[:k + 1]) for k in range(len(names) - 1)]
        if interval > 0 and any(end % interval for end in ends):
            raise MultiSSLError(f'stages end after epochs {ends}, which must be multiples of '
                                f'default_hooks.checkpoint.interval ({interval}), so that a run '
                                'interrupted later still has the checkpoint of the stage\'s end')
        if model.replicas is not None:
            self._keyed(runner)

    def stage_at(self, epoch: int) -> int:
        """Stage (from 0) that an epoch (from 0) belongs to."""
        end = 0
        for stage, length in enumerate(self.epochs):
            end += length
            if epoch < end:
                return stage
        return len(self.epochs) - 1

    # ------------------------------------------------------------------ every epoch

    def before_train_epoch(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        stage, loaded = self.stage_at(runner.epoch), int(model.stage)
        if loaded > stage:
            raise MultiSSLError(f'the loaded weights are of stage {loaded + 1}, but epoch '
                                f'{runner.epoch + 1} belongs to stage {stage + 1}; resume instead '
                                'of load_from, or change ILStageHook.epochs')
        for finished in range(loaded, stage):
            self._transition(runner, model, finished)
        model.set_stage(stage)
        if model.source == 'stored':
            for k, name in enumerate(model.task_names[:stage]):
                if name not in model.banks:
                    model.banks[name] = self._open_bank(runner, model, name,
                                                        bytes(model.recorded[k].tolist()).hex())
        if model.replicas is not None:
            self._keyed(runner).replicas = model.replicas if stage else None

    def _transition(self, runner: Runner, model: nn.Module, finished: int) -> None:
        name, new = model.task_names[finished], model.task_names[finished + 1]
        runner.logger.info(f'stage {finished + 1} ({name}) is finished; stage {finished + 2} '
                           f'learns {new} and keeps {", ".join(model.task_names[:finished + 1])} '
                           f'by {"stored responses" if model.source == "stored" else "a teacher"}')
        # Batch norm statistics are each rank's own; checkpoints hold rank 0's. Old responses must
        # come from one model.
        for tensor in model.state_dict().values():
            broadcast(tensor, src=0)
        self._keep_checkpoint(runner, f'stage{finished + 1}_{name}.pth')
        if model.source == 'stored':
            digest = _digest(model._responders(name))
            model.recorded[finished] = torch.tensor(list(digest), dtype=torch.uint8)
            model.banks[name] = bank = self._open_bank(runner, model, name, digest.hex())
            self._record(runner, model, name, bank)
        model.finish_task(name)
        with keyed_randomness(runner.seed, 'stage', finished + 1):
            model.start_task(new)
        # Momentum of the old objective is no start for the new one.
        runner.optim_wrapper.optimizer.state.clear()
        # The logger shows the last value of everything it ever saw: the old loss is history now.
        scalars = runner.message_hub.log_scalars
        for key in [k for k in scalars if k.startswith(f'train/{name}.')]:
            del scalars[key]

    @master_only
    def _keep_checkpoint(self, runner: Runner, name: str) -> None:
        last = runner.message_hub.runtime_info.get('last_ckpt') or runner._load_from
        target = Path(runner.work_dir) / name
        if last is None or not os.path.isfile(last) or target.exists():
            return
        try:
            os.link(last, target)
        except OSError:  # another file system
            shutil.copyfile(last, target)
        runner.logger.info(f'kept {target}')

    # ------------------------------------------------------------------ stored responses

    @staticmethod
    def _keyed(runner: Runner) -> KeyedSampler:
        """The training sampler, after a check that views are reproducible at all."""
        loader = runner.train_dataloader
        if not isinstance(loader.dataset, KeyedDataset):
            raise MultiSSLError('model.responses.replicas needs reproducible views: make '
                                'train_dataloader.dataset a multissl_mm.KeyedDataset around yours')
        if not isinstance(loader.sampler, KeyedSampler):
            raise MultiSSLError('model.responses.replicas needs reproducible views: set '
                                "train_dataloader.sampler.type to 'multissl_mm.KeyedSampler'")
        return loader.sampler

    def _open_bank(self, runner: Runner, model: nn.Module, name: str, weights: str) -> ResponseBank:
        cfg = dict(model.bank_cfg)
        root = Path(cfg.pop('root', None) or Path(runner.work_dir) / 'responses') / name
        dataset = runner.train_dataloader.dataset
        identity = dict(task=name, weights=weights[:16], samples=len(dataset),
                        seed=self._keyed(runner).seed, **dataset.fingerprint())
        return ResponseBank(root, identity, replicas=model.replicas, **cfg)

    @torch.no_grad()
    def _record(self, runner: Runner, model: nn.Module, name: str, bank: ResponseBank) -> None:
        rank, world = get_dist_info()
        if is_main_process():
            bank.create()
        barrier()
        missing = bank.missing()
        runner.logger.info(f'recording the responses of {name} in {bank.root}: {bank.replicas} x '
                           f'{bank.samples} samples, {len(missing)} of {len(bank.shards())} shards '
                           'to do')
        was_training = model.training
        model.eval()  # with running statistics a response does not depend on its batch
        with _progress(is_main_process()) as progress:
            mine = missing[rank::world]
            bar = progress.add_task(f'responses of {name}',
                                    total=sum(len(bank.rows(s)) for _, s in mine))
            for replica, shard in mine:
                keys = [ViewKey(self._keyed(runner).seed, replica, i) for i in bank.rows(shard)]
                bank.write(replica, shard, self._responses(runner, model, name, keys))
                progress.advance(bar, len(keys))
        model.train(was_training)
        barrier()

    @staticmethod
    def _responses(runner: Runner, model: nn.Module, name: str,
                   keys: List[ViewKey]) -> Iterator[Dict[str, Tensor]]:
        train = runner.train_dataloader
        loader = DataLoader(train.dataset, batch_size=train.batch_size, sampler=keys,
                            num_workers=train.num_workers, collate_fn=train.collate_fn,
                            generator=torch.Generator())
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            yield model.current_responses(name, model.name_views(data['inputs']))


def _progress(enabled: bool) -> Progress:
    return Progress(TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
                    TimeRemainingColumn(), disable=not enabled)


def _digest(module: nn.Module) -> bytes:
    """SHA-256 of names and values of all parameters and buffers."""
    sha = hashlib.sha256()
    for key, value in module.state_dict().items():
        sha.update(key.encode())
        sha.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return sha.digest()
