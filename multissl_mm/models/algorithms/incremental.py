"""Incremental learning: one task after the other, without forgetting (section 4.3)."""
from typing import Any, Dict, List, Optional, Sequence, Union

import torch
from mmengine.model import ModuleDict
from torch import Tensor, nn

from ...engine.response_bank import ResponseBank, check_options
from ...errors import MultiSSLError
from ...registry import MODELS
from ..momentum import MomentumEncoder
from ..pretext import Responses
from .base import MultiSSL, Views, needed, prefixed

SOURCES = ('stored', 'teacher')


@MODELS.register_module()
class IncrementalLearning(MultiSSL):
    """Stage k learns task k from its ground truth and holds tasks < k to their old responses.

    The combined loss trains the backbone, the new task's layers and the old tasks' layers. Old
    responses are those that a task gave when it was finished, whichever the stage:

    - ``stored``: recorded to disk when the task's stage ends, as in the paper, and read back
      (:class:`ResponseBank`);
    - ``teacher``: given on the fly by a frozen copy of the backbone and of the task's layers.

    On the same views the two are equal. All modules exist from the start and the stage is a
    buffer, so that a checkpoint of any stage loads and resumes. :class:`ILStageHook` moves the
    model from stage to stage.

    Args:
        responses (dict): ``source``, one of stored and teacher; ``replicas``, how many different
            views per image old responses are kept for: epoch e of a later stage shows the views
            of replica e mod replicas (required for stored; for a teacher, None means new views
            every epoch). For stored also the arguments of :class:`ResponseBank`: ``root``
            (default: ``responses`` in the work directory), ``dtype`` and ``shard_size``.
        distill_weights (float | dict[str, float]): Weights of the old tasks' distillation losses.
            Defaults to 1.

    For the other arguments see :class:`MultiSSL`; the order of ``tasks`` is that of the stages.
    """

    def __init__(self, *args: Any, responses: Optional[dict] = None,
                 distill_weights: Union[float, Dict[str, float]] = 1., **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.task_names: List[str] = list(self.tasks)
        self.bank_cfg = dict(responses or dict(source='teacher'))
        self.source = self.bank_cfg.pop('source', None)
        if self.source not in SOURCES:
            raise MultiSSLError(f'model.responses.source is {self.source!r}; it must be one of '
                                f'{", ".join(SOURCES)}')
        self.replicas: Optional[int] = self.bank_cfg.pop('replicas', None)
        if self.source == 'stored' and not (self.replicas and self.replicas > 0):
            raise MultiSSLError('stored responses belong to given views: set '
                                'model.responses.replicas to how many per image, at least 1')
        check_options(**self.bank_cfg)
        if not isinstance(distill_weights, dict):
            distill_weights = {name: distill_weights for name in self.task_names}
        unknown = set(distill_weights) - set(self.tasks)
        if unknown:
            raise MultiSSLError(f'model.distill_weights names {sorted(unknown)}, but model.tasks '
                                f'has {self.task_names}')
        self.distill_weights = distill_weights

        self.register_buffer('stage', torch.zeros((), dtype=torch.long))
        self._stage = 0  # the same number on the host, where reading it costs no synchronisation
        old = self.task_names[:-1]
        if self.source == 'teacher':
            self.teachers = ModuleDict({
                name: MomentumEncoder(self._responders(name), frozen=True)
                for name in old
            })
        # What a task's bank was recorded from, so that a resumed run refuses any other.
        self.register_buffer('recorded', torch.zeros(len(old), 32, dtype=torch.uint8))
        self.banks: Dict[str, ResponseBank] = {}

    def _responders(self, name: str) -> nn.Module:
        """All that the task's responses come from."""
        return ModuleDict(dict(backbone=self.backbone, layers=self.tasks[name].layers))

    # ------------------------------------------------------------------ stages, see ILStageHook

    def set_stage(self, stage: int) -> None:
        """Learn task ``stage`` (from 0) from now on, and keep the ones before."""
        self.stage.fill_(stage)
        self._stage = stage

    def finish_task(self, name: str) -> None:
        """Freezes the teacher of a task whose stage is over, where there are teachers."""
        if self.source == 'teacher':
            self.teachers[name].sync(self._responders(name))

    @torch.no_grad()
    def current_responses(self, name: str, views: Views) -> Responses:
        """Responses of one task as the model is now, in eval mode, to be recorded."""
        task = self.tasks[name]
        return task.responses(self.encode(self.backbone, views, task.views))

    # ------------------------------------------------------------------ training

    @torch.no_grad()
    def old_responses(self, name: str, views: Views,
                      data_samples: Optional[Sequence]) -> Responses:
        """Responses to this batch that the task gave when it was finished."""
        if self.source == 'stored':
            return self.banks[name].read(data_samples, device=self.stage.device)
        teacher, task = self.teachers[name].module, self.tasks[name]
        return task.responses(self.encode(teacher['backbone'], views, task.views),
                              teacher['layers'])

    def loss(self, views: Views, data_samples: Optional[Sequence]) -> Dict[str, Tensor]:
        new = self.task_names[self._stage]
        old = self.task_names[:self._stage]
        task = self.tasks[new]
        feats = self.encode(self.backbone, views,
                            needed([self.tasks[n] for n in [*old, new]], 'views'))
        key_feats = self.encode_keys(views, [task])
        losses = prefixed(new, task.loss(task.responses(feats), feats, key_feats, data_samples))
        for name in old:
            kept = self.tasks[name].distill_loss(self.tasks[name].responses(feats),
                                                 self.old_responses(name, views, data_samples))
            losses.update(prefixed(name, kept, self.distill_weights.get(name, 1.)))
        return losses
