"""What an old task is held to while a new one is learned (section 4.3)."""
from copy import deepcopy
from typing import Dict, Optional, Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleDict
from torch import Tensor, nn

from ..errors import MultiSSLError
from ..registry import MODELS
from ..utils.model import pooled
from ..models.pretext import Features, PretextTask, Responses


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

    def targets(self, task: PretextTask, feats: Features,
                layers: Optional[nn.Module] = None) -> Responses:
        """What the task is to keep, (N, ...) each, given the features of its views."""
        return task.responses(feats, layers)

    def loss(self, name: str, task: PretextTask, feats: Features,
             old: Responses) -> Dict[str, Tensor]:
        """Distance to :meth:`targets` of the time when the task was finished."""
        return task.distill_loss(task.responses(feats), old)

    def check(self, feats: Features) -> None:
        """Refuses features that could not be kept later, while the first task is learned."""

    def reset(self) -> None:
        """A stage starts."""


@MODELS.register_module()
class FeatureDistillation(ResponseDistillation):
    """The pooled features of the backbone stay where they were: mean squared distance."""

    def targets(self, task: PretextTask, feats: Features,
                layers: Optional[nn.Module] = None) -> Responses:
        return {view: pooled(feats[view]) for view in task.views}

    def loss(self, name: str, task: PretextTask, feats: Features,
             old: Responses) -> Dict[str, Tensor]:
        new = self.targets(task, feats)
        return dict(loss_distill=sum(F.mse_loss(new[v].float(), old[v]) for v in new) / len(new))


@MODELS.register_module()
class PredictiveDistillation(FeatureDistillation):
    """CaSSLe (Fini et al. 2022, section 4): old features must be predictable from the new ones.

    A predictor of two layers goes from new to old pooled features, so that new features may move
    and grow as long as nothing is lost. It starts afresh with every stage. The distance is one
    minus the cosine.

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

    def loss(self, name: str, task: PretextTask, feats: Features,
             old: Responses) -> Dict[str, Tensor]:
        predictor = self.predictors[name]
        far = [1 - F.cosine_similarity(predictor(new), old[view]).mean()
               for view, new in self.targets(task, feats).items()]
        return dict(loss_distill=sum(far) / len(far))

    def reset(self) -> None:
        for layer in self.predictors.modules():
            if hasattr(layer, 'reset_parameters'):
                fresh = deepcopy(layer).cpu()  # drawn there, every rank and device agrees
                fresh.reset_parameters()
                layer.load_state_dict(fresh.state_dict())
