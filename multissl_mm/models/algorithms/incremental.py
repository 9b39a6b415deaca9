"""Incremental learning: one task after the other, without forgetting (section 4.3)."""
from typing import Any, Dict, Iterable, Optional, Sequence, Tuple, Union

import torch
from mmengine.model import ModuleDict
from torch import nn

from ...registry import MODELS
from ..contrast import MomentumEncoder
from ..pretext import Features, Outputs, PretextTask, Responses
from .base import Views
from .staged import StagedMultiSSL


@MODELS.register_module()
class IncrementalLearning(StagedMultiSSL):
    """Stage k learns task k from its ground truth and holds tasks < k to their old responses.

    The combined loss trains the backbone, the new task's layers and the old tasks' layers. Old
    responses are those that a task gave when it was finished, whichever the stage:

    - ``stored``: recorded to disk when the task's stage ends, as in the paper, and read back
      (:class:`ResponseBank`);
    - ``teacher``: given on the fly by a frozen copy of the backbone and of the task's layers.

    On the same views the two are equal.

    Args:
        responses (dict): See :class:`ResponseSource`. Defaults to teachers.
        distill (dict): What is kept of an old task: :class:`ResponseDistillation` (the default),
            :class:`FeatureDistillation`, :class:`PredictiveDistillation` or :class:`CaSSLe`.
        distill_weights (float | dict): Weights of the old tasks' distillation losses: a number for
            all, numbers by task name, or the config of :class:`FixedWeights`,
            :class:`FallingWeights` or :class:`RatioWeights`. Defaults to 1.

    For the other arguments see :class:`MultiSSL`; the order of ``tasks`` is that of the stages.
    """

    def __init__(self, *args: Any, responses: Optional[dict] = None,
                 distill: Optional[dict] = None,
                 distill_weights: Union[float, Dict[str, Any]] = 1., **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        old = self.task_names[:-1]
        if not isinstance(distill_weights, dict) or 'type' not in distill_weights:
            distill_weights = dict(type='multissl_mm.FixedWeights', weights=distill_weights)
        self.distill_weights = MODELS.build(dict(distill_weights, names=old))
        self.distill_weights.check(self.backbone)
        self.distill = MODELS.build(
            dict(distill or dict(type='multissl_mm.ResponseDistillation'), names=old))
        for name in old:
            self.distill.admit(name, self.tasks[name])
        self.responses = MODELS.build(dict(responses or dict(source='teacher'),
                                           type='multissl_mm.ResponseSource', names=old))
        if not self.responses.stored:
            self.teachers = ModuleDict({
                name: MomentumEncoder(self.responders(name), frozen=True)
                for name in old
            })
            self.accelerate(self.teachers, encoders=[
                teacher.module['backbone'] for teacher in self.teachers.values()])

    def responders(self, name: str) -> nn.Module:
        """All that the task's responses come from."""
        return ModuleDict(dict(backbone=self.backbone, layers=self.tasks[name].layers))

    def _load_from_state_dict(self, state_dict: Dict[str, Any], prefix: str, *args: Any) -> None:
        # In stage 1 nothing is old: a checkpoint of it fits any way of keeping tasks, and what that
        # way adds (teachers, predictors, weights) starts with stage 2.
        if int(state_dict.get(f'{prefix}stage', -1)) == 0:
            added = tuple(f'{prefix}{part}.' for part in ('teachers', 'distill', 'distill_weights'))
            for key, value in self.state_dict(prefix=prefix).items():
                if key.startswith(added):
                    state_dict.setdefault(key, value)
        super()._load_from_state_dict(state_dict, prefix, *args)

    # ------------------------------------------------------------------ stages, see ILStageHook

    def start_task(self, name: str) -> None:
        super().start_task(name)
        self.distill.reset()
        self.distill_weights.reset()

    def finish_task(self, name: str) -> None:
        """Freezes the teacher of a task whose stage is over, where there are teachers."""
        if not self.responses.stored:
            self.teachers[name].sync(self.responders(name))

    def response_kind(self) -> str:
        """Which kind of distillation the responses are for."""
        return type(self.distill).__name__

    def response_views(self, name: str) -> Tuple[str, ...]:
        """Entries of a batch's inputs that the task's responses are made of."""
        task = self.tasks[name]
        return (*self.distill.kept_views(task), *task.inputs, *task.made_from)

    @torch.no_grad()
    def current_responses(self, name: str, views: Views,
                          samples: Optional[Sequence] = None) -> Responses:
        """What the task is to keep, as the model is now; in eval mode, to be recorded."""
        task = self.tasks[name]
        return self.distill.targets(
            task, self.batch(views, samples, [task], names=self.distill.kept_views(task)))

    def train(self, mode: bool = True) -> 'IncrementalLearning':
        super().train(mode)
        if self.warming_up:  # what is frozen keeps its batch norm statistics, too
            for module in (self.backbone, self.momentum_backbone,
                           *(self.tasks[n] for n in self.task_names[:self._stage])):
                if module is not None:
                    module.eval()
        return self

    # ------------------------------------------------------------------ training

    def move_copies(self, tasks: Sequence[PretextTask]) -> None:
        super().move_copies(tasks)
        if self.responses.momentum is not None:
            for name in self.task_names[:self._stage]:
                self.teachers[name].follow(self.responders(name), self.responses.momentum)

    @torch.no_grad()
    def old_responses(self, name: str, made: Views, samples: Optional[Sequence]) -> Responses:
        """Responses to this batch, of :meth:`make`, that the task gave when it was finished."""
        if self.responses.stored:
            return self.responses.read(name, samples)
        teacher, task = self.teachers[name].module, self.tasks[name]
        batch = self._batch(made, samples, [task], teacher['backbone'],
                            self.distill.kept_views(task))
        return self.distill.targets(task, batch, teacher['layers'])

    def loss(self, views: Views, samples: Optional[Sequence]) -> Outputs:
        new = self.task_names[self._stage]
        # While the new layers warm up nothing moves that an old response could depend on.
        old = [] if self.warming_up else self.task_names[:self._stage]
        kept, learns = [self.tasks[name] for name in old], [self.tasks[new]]
        # Once, for the teachers, too: without keys a second time would give other labels.
        made = self.make(views, samples, [*kept, *learns])
        batch = self.learning_batch(
            views, samples, learns, kept,
            {view for task in kept for view in self.distill.learned_views(task)}, made)
        for name in (*old, new):
            if name in self.distill.names:
                self.distill.check(name, self.tasks[name], batch)
        learned = self.tasks[new].loss(batch)
        distilled = {name: self.distill.loss(name, self.tasks[name], batch,
                                             self.old_responses(name, made, samples))
                     for name in old}
        return {new: learned, **self.distill_weights(learned, distilled, self.backbone)}

    def encode(self, backbone: nn.Module, views: Views, names: Iterable[str]) -> Features:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.warming_up):
            return super().encode(backbone, views, names)
