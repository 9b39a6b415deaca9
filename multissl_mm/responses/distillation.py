"""What an old task is held to while a new one is learned (section 4.3)."""
from copy import deepcopy
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleDict
from torch import nn

from ..errors import MultiSSLError
from ..models.pretext import Features, PretextTask, Responses, TaskBatch, TaskOutput
from ..registry import MODELS
from ..utils.model import pooled


@MODELS.register_module()
class ResponseDistillation(BaseModule):
    """Learning without Forgetting: the task's own layers keep putting out what they did.

    How far responses have moved is the task's to say (:meth:`PretextTask.distill_loss`).

    Args:
        names (sequence[str]): Of the tasks that become old; the algorithm gives them.
    """

    def __init__(self, names: Sequence[str], init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.names = list(names)

    def targets(self, task: PretextTask, batch: TaskBatch,
                layers: Optional[nn.Module] = None) -> Responses:
        """What the task is to keep, (N, ...) each, given a batch with the features of its views."""
        return task.responses(batch, layers)

    def loss(self, name: str, task: PretextTask, batch: TaskBatch, old: Responses) -> TaskOutput:
        """Distance to :meth:`targets` of the time when the task was finished."""
        return task.distill_loss(task.responses(batch), old)

    def check(self, feats: Features) -> None:
        """Refuses features that could not be kept later, while the first task is learned."""

    def reset(self) -> None:
        """A stage starts."""


@MODELS.register_module()
class FeatureDistillation(ResponseDistillation):
    """The pooled features of the backbone stay where they were: mean squared distance."""

    def targets(self, task: PretextTask, batch: TaskBatch,
                layers: Optional[nn.Module] = None) -> Responses:
        return {view: pooled(batch.features[view]) for view in task.views}

    def loss(self, name: str, task: PretextTask, batch: TaskBatch, old: Responses) -> TaskOutput:
        new = self.targets(task, batch)
        distances = [F.mse_loss(new[v].float(), old[v]) for v in new]
        return TaskOutput(dict(loss_distill=torch.stack(distances).mean()))


@MODELS.register_module()
class PredictiveDistillation(FeatureDistillation):
    """CaSSLe (Fini et al. 2022, section 4): old features must be predictable from the new ones.

    A predictor of two layers goes from new to old pooled features, so that new features may move
    and grow as long as nothing is lost. It starts afresh with every stage. The distance is one
    minus the cosine. The batch norm of a predictor sees the batch of its own rank, or with
    ``sync_bn = 'torch'`` in the config, which MMEngine turns all batch norms by, those of all.

    Args:
        in_channels (int): Of the backbone's last stage.
        hid_channels (int): Defaults to 2048.
    """

    def __init__(self, names: Sequence[str], in_channels: int, hid_channels: int = 2048,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(names, init_cfg)
        self.in_channels = in_channels
        self.predictors = ModuleDict({
            name: nn.Sequential(nn.Linear(in_channels, hid_channels, bias=False),
                                nn.BatchNorm1d(hid_channels), nn.ReLU(inplace=True),
                                nn.Linear(hid_channels, in_channels))
            for name in names
        })

    def check(self, feats: Features) -> None:
        width = next(iter(feats.values()))[-1].size(1)
        if width != self.in_channels:
            raise MultiSSLError(f'model.distill.in_channels is {self.in_channels}, but the '
                                f"backbone's features have {width} dimensions")

    def loss(self, name: str, task: PretextTask, batch: TaskBatch, old: Responses) -> TaskOutput:
        predictor = self.predictors[name]
        distances = [1 - F.cosine_similarity(predictor(new), old[view]).mean()
                     for view, new in self.targets(task, batch).items()]
        return TaskOutput(dict(loss_distill=torch.stack(distances).mean()))

    def reset(self) -> None:
        for layer in self.predictors.modules():
            if hasattr(layer, 'reset_parameters'):
                fresh = deepcopy(layer).cpu()  # drawn there, every rank and device agrees
                fresh.reset_parameters()
                layer.load_state_dict(fresh.state_dict())
