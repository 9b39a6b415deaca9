"""Incremental learning: one task after the other, without forgetting (section 4.3)."""
from typing import Any, Dict, Optional, Sequence, Union

import torch
from mmengine.model import ModuleDict
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS
from ..contrast.momentum import MomentumEncoder
from ..pretext import Responses
from ...responses.source import ResponseSource
from .base import Views, needed, prefixed
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
            :class:`FeatureDistillation` or :class:`PredictiveDistillation`.
        distill_weights (float | dict[str, float]): Weights of the old tasks' distillation losses.
            Defaults to 1.

    For the other arguments see :class:`MultiSSL`; the order of ``tasks`` is that of the stages.
    """

    def __init__(self, *args: Any, responses: Optional[dict] = None,
                 distill: Optional[dict] = None,
                 distill_weights: Union[float, Dict[str, float]] = 1., **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        old = self.task_names[:-1]
        if not isinstance(distill_weights, dict):
            distill_weights = {name: distill_weights for name in old}
        unknown = set(distill_weights) - set(old)
        if unknown:
            raise MultiSSLError(f'model.distill_weights names {sorted(unknown)}, but the tasks '
                                f'that become old are {old}')
        self.distill_weights = distill_weights
        self.distill = MODELS.build(
            dict(distill or dict(type='multissl_mm.ResponseDistillation'), names=old))
        self.responses = ResponseSource(old, **(responses or dict(source='teacher')))
        if not self.responses.stored:
            self.teachers = ModuleDict({
                name: MomentumEncoder(self.responders(name), frozen=True)
                for name in old
            })

    def responders(self, name: str) -> nn.Module:
        """All that the task's responses come from."""
        return ModuleDict(dict(backbone=self.backbone, layers=self.tasks[name].layers))

    # ------------------------------------------------------------------ stages, see ILStageHook

    def start_task(self, name: str) -> None:
        super().start_task(name)
        self.distill.reset()

    def finish_task(self, name: str) -> None:
        """Freezes the teacher of a task whose stage is over, where there are teachers."""
        if not self.responses.stored:
            self.teachers[name].sync(self.responders(name))

    @torch.no_grad()
    def current_responses(self, name: str, views: Views) -> Responses:
        """What the task is to keep, as the model is now; in eval mode, to be recorded."""
        task = self.tasks[name]
        return self.distill.targets(task, self.encode(self.backbone, views, task.views))

    def train(self, mode: bool = True) -> 'IncrementalLearning':
        super().train(mode)
        if self.warming_up:  # what is frozen keeps its batch norm statistics, too
            for module in (self.backbone, *(self.tasks[n] for n in self.task_names[:self._stage])):
                module.eval()
        return self

    # ------------------------------------------------------------------ training

    @torch.no_grad()
    def old_responses(self, name: str, views: Views,
                      data_samples: Optional[Sequence]) -> Responses:
        """Responses to this batch that the task gave when it was finished."""
        if self.responses.stored:
            return self.responses.read(name, data_samples)
        teacher, task = self.teachers[name].module, self.tasks[name]
        return self.distill.targets(task, self.encode(teacher['backbone'], views, task.views),
                                    teacher['layers'])

    def loss(self, views: Views, data_samples: Optional[Sequence]) -> Dict[str, Tensor]:
        new = self.task_names[self._stage]
        # While the new layers warm up nothing moves that an old response could depend on.
        old = [] if self.warming_up else self.task_names[:self._stage]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.warming_up):
            feats = self.encode(self.backbone, views,
                                needed([self.tasks[n] for n in [*old, new]], 'views'))
        if not self._stage:
            self.distill.check(feats)
        key_feats = self.encode_keys(views, [self.tasks[new]])
        losses = prefixed(new, self.tasks[new].loss(feats, key_feats, data_samples))
        for name in old:
            kept = self.distill.loss(name, self.tasks[name], feats,
                                     self.old_responses(name, views, data_samples))
            losses.update(prefixed(name, kept, self.distill_weights.get(name, 1.)))
        return losses
