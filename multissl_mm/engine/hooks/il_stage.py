"""Leads a model from stage to stage (section 4.3)."""
import os
from itertools import accumulate
from pathlib import Path
from typing import List, Optional, Sequence, cast

from mmengine.dist import broadcast, get_world_size, master_only
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from ...errors import MultiSSLError
from ...models.protocols import Recorded, Staged
from ...registry import HOOKS
from ...responses.recording import check_room, check_writable, keep, keyed_sampler, record
from ...responses.weights import tell_stage
from ...runtime.checks import check_batches
from ...utils.files import link_or_copy
from ...utils.keyed_random import keyed_randomness
from ...utils.model import unwrap
from ..loops.staged import StagedTrainLoop, all_schedulers, tell_stages
from .checkpoint import AtomicCheckpointHook


@HOOKS.register_module()
class ILStageHook(Hook):
    """Derives the stage from the epoch; on a real transition prepares the model for it.

    A transition keeps the finished task's responses (records them, or copies the teacher), makes
    the new task's momentum layers equal to what they follow and its queue empty, and clears the
    optimizer's state. The learning rate restarts by the config's :class:`WarmRestartLR`, whose
    ``restart_weights`` give the stages rates of their own. The finished stage's checkpoint is kept
    as ``stage<k>_<task>.pth``.

    How long the stages are is said by the train loop, see :class:`StagedTrainLoop`.

    Args:
        epochs (sequence[int], optional): Of every stage, where the train loop does not say it.
        warmup_epochs (int): How many epochs at the beginning of every stage but the first train
            the new task's layers alone, with backbone and old layers frozen (Li and Hoiem 2016,
            section 3). Defaults to 0.
        batch_sizes (sequence[int], optional): Of every stage, per GPU. Defaults to the data
            loader's for all. Schedules then have to count epochs, not iterations.
    """

    priority = 'NORMAL'

    def __init__(self, epochs: Optional[Sequence[int]] = None, warmup_epochs: int = 0,
                 batch_sizes: Optional[Sequence[int]] = None) -> None:
        self.epochs = None if epochs is None else [int(e) for e in epochs]
        self.warmup_epochs = warmup_epochs
        self.batch_sizes = batch_sizes
        self.stages: List[int] = []  # epochs of each

    # ------------------------------------------------------------------ checks before the start

    def before_train(self, runner: Runner) -> None:
        model = unwrap(runner.model)
        if not isinstance(model, Staged):
            raise MultiSSLError('ILStageHook leads a multissl_mm.IncrementalLearning, Rehearsal or '
                                f'ProgressiveNet, but model is a {type(model).__name__}; remove '
                                'the hook or change model.type')
        names = model.task_names
        self._find_stages(runner, names)
        if self.warmup_epochs and not isinstance(model, Recorded):
            raise MultiSSLError('ILStageHook.warmup_epochs is for IncrementalLearning, which holds '
                                f'still what it keeps; a {type(model).__name__} does not: remove '
                                'it')
        if self.warmup_epochs and self.warmup_epochs >= min(self.stages[1:], default=1):
            raise MultiSSLError(f'ILStageHook.warmup_epochs is {self.warmup_epochs}, but a stage '
                                f'has only {min(self.stages[1:], default=0)} epochs')
        if self.stages[0] == 0 and not runner._load_from and not runner._resume:
            raise MultiSSLError(f"stage 1 ({names[0]}) has 0 epochs, so load_from must name a "
                                'checkpoint of it; see tools/model_converters/to_stage1.py')
        if self.batch_sizes is not None and (
                len(self.batch_sizes) != len(names) or min(self.batch_sizes) < 1):
            raise MultiSSLError(f'ILStageHook.batch_sizes {list(self.batch_sizes)} must be one '
                                f'positive number for each of the {len(names)} stages')
        self._check_checkpoints(runner)
        if isinstance(model, Recorded) and model.responses.replicas is not None:
            keyed_sampler(runner)
        if isinstance(model, Recorded) and model.responses.stored:
            check_writable(runner, model, names[:-1])
            check_room(runner, model, names[int(cast(Staged, model).stage):-1])
        self._begin = runner.epoch
        if self.batch_sizes is not None:
            self._use_batch_sizes(runner, self.batch_sizes)

    def _find_stages(self, runner: Runner, names: Sequence[str]) -> None:
        """How long the stages are, from the train loop or, where it has none, from ``epochs``."""
        loop, where = runner.train_loop, 'ILStageHook.epochs'
        if isinstance(loop, IterBasedTrainLoop):
            raise MultiSSLError('incremental learning counts epochs, but train_cfg makes an '
                                f'{type(loop).__name__}, which counts iterations; use '
                                "train_cfg=dict(type='multissl_mm.StagedTrainLoop', stages=[...]), "
                                'with the epochs of every stage')
        if isinstance(loop, StagedTrainLoop):
            where = 'train_cfg.stages'
            if self.epochs not in (None, loop.stages):
                raise MultiSSLError(f'ILStageHook.epochs is {self.epochs}, but train_cfg.stages is '
                                    f'{loop.stages}; remove ILStageHook.epochs')
            self.stages = loop.stages
        elif self.epochs is None:
            raise MultiSSLError(f'train_cfg makes an {type(loop).__name__}, which has no stages; '
                                "use train_cfg=dict(type='multissl_mm.StagedTrainLoop', "
                                'stages=[...]), with the epochs of every stage')
        else:
            self.stages = self.epochs
            tell_stages(runner.message_hub, self.stages)
        if len(names) != len(self.stages):
            raise MultiSSLError(f'{where} has {len(self.stages)} stages, but model.tasks has '
                                f'{len(names)}: {", ".join(names)}')
        if sum(self.stages) != runner.max_epochs or min(self.stages[1:], default=1) < 1:
            raise MultiSSLError(f'{where} {self.stages} must be positive and add up to '
                                f'train_cfg.max_epochs, which is {runner.max_epochs}')

    def _steps(self, runner: Runner) -> List[int]:
        """Steps of an epoch, for every stage."""
        loader = runner.train_dataloader
        if self.batch_sizes is None:
            return [len(loader)] * len(self.stages)
        rows = len(loader.sampler)
        return [rows // b if loader.drop_last else -(-rows // b) for b in self.batch_sizes]

    def _check_checkpoints(self, runner: Runner) -> None:
        """A run that is interrupted later still has the checkpoint of a stage's end."""
        hooks = [h for h in runner.hooks if isinstance(h, CheckpointHook) and h.interval > 0]
        steps = [n * per for n, per in zip(self.stages, self._steps(runner))]
        kept = []
        for hook in hooks:
            lengths = self.stages if hook.by_epoch else steps
            ends = [sum(lengths[:k + 1]) for k in range(len(lengths) - 1)]
            kept.append(not any(end % hook.interval for end in ends))
        if hooks and not any(kept):
            raise MultiSSLError(
                f'stages end after {"epochs" if hook.by_epoch else "steps"} {ends}, which must be '
                f'multiples of default_hooks.checkpoint.interval ({hook.interval}), so that a run '
                "interrupted later still has the checkpoint of the stage's end")

    def _use_batch_sizes(self, runner: Runner, batch_sizes: Sequence[int]) -> None:
        if any(not scheduler.by_epoch for scheduler in all_schedulers(runner.param_schedulers)):
            raise MultiSSLError('ILStageHook.batch_sizes: a schedule in param_scheduler counts '
                                'iterations, of which stages have more or fewer; set its by_epoch '
                                'to True and remove convert_to_iter_based')
        per_epoch = list(self._steps(runner))
        for k, (size, steps) in enumerate(zip(batch_sizes, per_epoch)):
            if self.stages[k]:
                check_batches(runner, size, steps, f'ILStageHook.batch_sizes.{k}')
        # What the logger and schedules take for the length of the run.
        runner.train_loop._max_iters = sum(n * per for n, per in zip(self.stages, per_epoch))
        runner.message_hub.update_info('max_iters', runner.max_iters)
        runner.optim_wrapper.initialize_count_status(runner.model, runner.iter, runner.max_iters)
        sizes = ", ".join(map(str, batch_sizes))
        runner.logger.info(f'batches of the stages: {sizes} per process, {get_world_size()} '
                           'processes')

    def stage_at(self, epoch: int) -> int:
        """Stage (from 0) that an epoch (from 0) belongs to."""
        end = 0
        for stage, length in enumerate(self.stages):
            end += length
            if epoch < end:
                return stage
        return len(self.stages) - 1

    # ------------------------------------------------------------------ every epoch

    def before_train_epoch(self, runner: Runner) -> None:
        model = cast(Staged, unwrap(runner.model))  # as before_train has seen
        stage, loaded = self.stage_at(runner.epoch), int(model.stage)
        if loaded > stage:
            raise MultiSSLError(f'the loaded weights are of stage {loaded + 1}, but epoch '
                                f'{runner.epoch + 1} belongs to stage {stage + 1}; resume instead '
                                'of load_from, or change train_cfg.stages')
        for finished in range(loaded, stage):
            self._transition(runner, model, finished)
        begin = sum(self.stages[:stage])
        ends = [0, *accumulate(n * per for n, per in zip(self.stages, self._steps(runner)))]
        tell_stage(runner.message_hub, ends[stage], ends[stage + 1])
        model.set_stage(stage, stage > 0 and runner.epoch - begin < self.warmup_epochs)
        if isinstance(model, Recorded):
            keep(runner, model, model.task_names[:stage])
        if self.batch_sizes is not None:
            # Read anew by every epoch's iterator; the loader's workers stay.
            runner.train_dataloader.batch_sampler.batch_size = self.batch_sizes[stage]

    def _transition(self, runner: Runner, model: Staged, finished: int) -> None:
        name, new = model.task_names[finished], model.task_names[finished + 1]
        stored = isinstance(model, Recorded) and model.responses.stored
        how = '' if not isinstance(model, Recorded) else (
            f' and keeps {", ".join(model.task_names[:finished + 1])} by '
            f'{"stored responses" if stored else "a teacher"}')
        runner.logger.info(f'stage {finished + 1} ({name}) is finished; stage {finished + 2} '
                           f'learns {new}{how}')
        # Batch norm statistics are each rank's own; checkpoints hold rank 0's. Old responses must
        # come from one model.
        _agree(unwrap(runner.model))
        self._keep_checkpoint(runner, f'stage{finished + 1}_{name}.pth')
        if isinstance(model, Recorded) and stored:
            record(runner, model, name)
        model.finish_task(name)
        with keyed_randomness(runner.seed, 'stage', finished + 1):
            model.start_task(new)
        _agree(unwrap(runner.model))  # with diff_rank_seed every rank has drawn its own queues
        # Momentum of the old objective is no start for the new one, and gradients that are still
        # being accumulated are not the new one's.
        runner.optim_wrapper.optimizer.state.clear()
        runner.optim_wrapper.zero_grad()
        # The logger shows the last value of everything it ever saw, and means over the last steps:
        # what the old stage had is history now.
        scalars = runner.message_hub.log_scalars
        for key in [k for k in scalars if k.startswith('train/')]:
            del scalars[key]

    @master_only
    def _keep_checkpoint(self, runner: Runner, name: str) -> None:
        # Weights are those of the newest checkpoint, or what they were loaded from: not those of
        # an earlier run in this work directory.
        loaded = runner._load_from if runner.epoch == self._begin else None
        last = loaded or runner.message_hub.runtime_info.get('last_ckpt')
        if last is None or not os.path.isfile(last):
            return
        saved = [hook.saved_iter for hook in runner.hooks
                 if isinstance(hook, AtomicCheckpointHook)]
        if not loaded and saved and runner.iter not in saved:
            runner.logger.error(f'{name} is not kept: its checkpoint could not be written')
            return
        target = Path(runner.work_dir) / name
        link_or_copy(last, target)
        runner.logger.info(f'kept {target}')


def _agree(model: nn.Module) -> None:
    """All ranks take parameters and buffers of rank 0."""
    for tensor in model.state_dict().values():
        broadcast(tensor, src=0)
