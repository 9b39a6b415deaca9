"""What an old task is held to while a new one is learned (section 4.3)."""
from copy import deepcopy
from dataclasses import replace
from typing import Any, Dict, Optional, Sequence, Set, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleDict
from torch import Tensor, nn

from ..errors import MultiSSLError
from ..models.contrast import batch_info_nce, unit
from ..models.pretext import PretextTask, Responses, TaskBatch, TaskOutput
from ..registry import MODELS
from ..utils.model import pooled


@MODELS.register_module()
class ResponseDistillation(BaseModule):
    """Learning without Forgetting: the task's own layers keep putting out what they did.

    How far responses have moved is the task's to say (:meth:`PretextTask.distill_loss`); how its
    heads measure that, an option of theirs (``distill``).

    Args:
        names (sequence[str]): Of the tasks that become old; the algorithm gives them.
        view (str): Of which view the old response is that a new one is held to. ``same`` (the
            default); or ``other``: the old response to the key view, for the new one to the query
            view, as in the task's own contrast. It costs no more: only the other view is recorded,
            only the task's own is learned on. (The loss is then not zero where nothing moved.)
    """

    def __init__(self, names: Sequence[str], view: str = 'same',
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if view not in ('same', 'other'):
            raise MultiSSLError(f"model.distill.view is {view!r}; it must be 'same' or 'other'")
        self.names = list(names)
        self.view = view

    def admit(self, name: str, task: PretextTask) -> None:
        """Makes room for a task that will become old; refuses one that it could not keep."""
        if self.view == 'other' and not set(task.views) <= set(task.other_views):
            raise MultiSSLError(f"model.distill.view is 'other', but of {', '.join(task.views)}, "
                                f"which {name} sees, there is no other view; use 'same'")

    def kept_views(self, task: PretextTask) -> Tuple[str, ...]:
        """The views that :meth:`targets` needs the features of."""
        if self.view == 'same':
            return task.views
        return tuple(task.other_views[view] for view in task.views)

    def learned_views(self, task: PretextTask) -> Tuple[str, ...]:
        """The views that :meth:`loss` needs the features of."""
        return task.views

    def targets(self, task: PretextTask, batch: TaskBatch,
                layers: Optional[nn.Module] = None) -> Responses:
        """What the task is to keep, (N, ...) each, of a batch with features of `kept_views`."""
        return task.responses(batch if self.view == 'same' else _other(task, batch), layers)

    def loss(self, name: str, task: PretextTask, batch: TaskBatch, old: Responses) -> TaskOutput:
        """Distance to :meth:`targets` of the time when the task was finished."""
        responses = task.responses(batch)
        return task.distill_loss(
            responses, old if self.view == 'same' else task.match(responses, old))

    def check(self, name: str, task: PretextTask, batch: TaskBatch) -> None:
        """Refuses a task whose widths could not be kept, on its batches while it is learned."""

    def reset(self) -> None:
        """A stage starts."""


def _other(task: PretextTask, batch: TaskBatch) -> TaskBatch:
    """The batch, where every view of the task shows the other one."""
    return replace(batch, features={view: batch.features[other]
                                    for view, other in task.other_views.items()})


@MODELS.register_module()
class FeatureDistillation(ResponseDistillation):
    """The pooled features of the backbone stay where they were.

    Args:
        distance (str): ``unit`` (the default), the squared distance of L2-normalised features,
            which is two times one minus their cosine; or ``mean_squared``, the mean over samples
            and dimensions of the squared difference. Against InfoNCE in training ``unit`` pulls at
            the direction of features 0.09 / 0.29 / 0.47 as hard when that has moved to a cosine of
            0.99 / 0.9 / 0.7; ``mean_squared`` weaker by the mean square of a feature, which is
            next to nothing where features are small.
    """

    def __init__(self, names: Sequence[str], distance: str = 'unit',
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(names, init_cfg=init_cfg)
        if distance not in ('unit', 'mean_squared'):
            raise MultiSSLError(f"model.distill.distance is {distance!r}; it must be 'unit' or "
                                "'mean_squared'")
        self.distance = distance

    def targets(self, task: PretextTask, batch: TaskBatch,
                layers: Optional[nn.Module] = None) -> Responses:
        return {view: pooled(batch.features[view]) for view in task.views}

    def loss(self, name: str, task: PretextTask, batch: TaskBatch, old: Responses) -> TaskOutput:
        distances = [self._distance(new.float(), old[view])
                     for view, new in self.targets(task, batch).items()]
        return TaskOutput(dict(loss_distill=torch.stack(distances).mean()))

    def _distance(self, new: Tensor, old: Tensor) -> Tensor:
        if self.distance == 'mean_squared':
            return F.mse_loss(new, old)
        return (unit(new) - unit(old)).square().sum(1).mean()


@MODELS.register_module()
class PredictiveDistillation(FeatureDistillation):
    """Old features must be predictable from the new ones, which so may move and grow.

    The idea of :class:`CaSSLe` on pooled features of the backbone, where any task has them: a
    predictor of two layers goes from new to old features, and the distance is one minus the
    cosine, of the task's own views. It starts afresh with every stage, so that the loss is not zero
    where nothing moved. The batch norm of a predictor sees the batch of its own rank, or with
    ``sync_bn = 'torch'`` in the config, which MMEngine turns all batch norms by, those of all.

    Args:
        in_channels (int): Of the backbone's last stage.
        hid_channels (int): Defaults to 2048.
    """

    def __init__(self, names: Sequence[str], in_channels: int, hid_channels: int = 2048,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(names, init_cfg=init_cfg)
        self.in_channels = in_channels
        self.predictors = ModuleDict({name: _predictor(in_channels, hid_channels)
                                      for name in names})

    def check(self, name: str, task: PretextTask, batch: TaskBatch) -> None:
        width = batch.features[task.views[0]][-1].size(1)
        if width != self.in_channels:
            raise MultiSSLError(f'model.distill.in_channels is {self.in_channels}, but the '
                                f"backbone's features have {width} dimensions")

    def loss(self, name: str, task: PretextTask, batch: TaskBatch, old: Responses) -> TaskOutput:
        predictor = self.predictors[name]
        distances = [1 - F.cosine_similarity(predictor(new), old[view]).mean()
                     for view, new in self.targets(task, batch).items()]
        return TaskOutput(dict(loss_distill=torch.stack(distances).mean()))

    def reset(self) -> None:
        _start_afresh(self.predictors)


@MODELS.register_module()
class CaSSLe(ResponseDistillation):
    """Self-supervised models are continual learners (Fini et al. 2022, sections 4 and 5).

    `arXiv:2112.04215 <https://arxiv.org/abs/2112.04215>`_ for contrastive tasks, as its authors
    released it for SimCLR and MoCo v2+: a predictor of two layers goes from the new projections of
    both views to the old ones of the same view; the loss is symmetric InfoNCE between the two,
    whose negatives are the other projections of the batch, of both views (here of all ranks). The
    predictor starts afresh with every stage, so that the loss is not zero where nothing moved.

    Beyond the publication: a task with several projectors (DenseCL's positions) has a predictor
    for each and the mean of their losses, and projections enter the predictor L2-normalised, as
    responses are. Both views go through the trained backbone. Batch norm is as in
    :class:`PredictiveDistillation`.

    Args:
        feat_dim (int): C of the projections (:attr:`PretextTask.projections`). Defaults to 128.
        hid_channels (int): Defaults to 2048.
        temperature (float): Defaults to 0.2.
    """

    def __init__(self, names: Sequence[str], feat_dim: int = 128, hid_channels: int = 2048,
                 temperature: float = 0.2, init_cfg: Optional[dict] = None) -> None:
        super().__init__(names, init_cfg=init_cfg)
        self.feat_dim, self.hid_channels, self.temperature = feat_dim, hid_channels, temperature
        self.predictors = ModuleDict()
        self._checked: Set[str] = set()

    def admit(self, name: str, task: PretextTask) -> None:
        if not task.projections:
            raise MultiSSLError(f'CaSSLe contrasts projections, but {name}, a '
                                f'{type(task).__name__}, has none; use another model.distill')
        self.predictors[name] = ModuleDict({
            projector: _predictor(self.feat_dim, self.hid_channels)
            for projector in task.projections})

    def check(self, name: str, task: PretextTask, batch: TaskBatch) -> None:
        if name in self._checked:
            return
        self._checked.add(name)
        with torch.no_grad():  # on a copy: batch norms of the layers must not notice
            found = task.responses(batch, deepcopy(task.layers).eval())
        for key in (key for keys in task.projections.values() for key in keys):
            if found[key].size(-1) != self.feat_dim:
                raise MultiSSLError(f'model.distill.feat_dim is {self.feat_dim}, but the '
                                    f'projections of {name} have {found[key].size(-1)} dimensions')

    def kept_views(self, task: PretextTask) -> Tuple[str, ...]:
        return tuple(dict.fromkeys([*task.views, *task.other_views.values()]))

    def learned_views(self, task: PretextTask) -> Tuple[str, ...]:
        return self.kept_views(task)

    def targets(self, task: PretextTask, batch: TaskBatch,
                layers: Optional[nn.Module] = None) -> Responses:
        shown = {'': batch}
        if not set(task.other_views.values()) <= set(task.views):
            shown['_other'] = _other(task, batch)
        keys = [key for keys in task.projections.values() for key in keys]
        found: Dict[str, Tensor] = {}
        for suffix, one in shown.items():
            responses = task.responses(one, layers)
            found.update({key + suffix: responses[key] for key in keys})
        return found

    def loss(self, name: str, task: PretextTask, batch: TaskBatch, old: Responses) -> TaskOutput:
        new, distances = self.targets(task, batch), []
        predictors: Any = self.predictors[name]
        for projector, keys in task.projections.items():
            views = [key for key in new if key.removesuffix('_other') in keys]
            predicted = torch.cat([unit(predictors[projector](new[view].flatten(0, -2)))
                                   for view in views])
            kept = torch.cat([old[view].flatten(0, -2) for view in views])
            distances += [batch_info_nce(predicted, kept, self.temperature),
                          batch_info_nce(kept, predicted, self.temperature)]
        return TaskOutput(dict(loss_distill=torch.stack(distances).mean()))

    def reset(self) -> None:
        _start_afresh(self.predictors)


def _predictor(channels: int, hid_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, hid_channels, bias=False),
                         nn.BatchNorm1d(hid_channels), nn.ReLU(inplace=True),
                         nn.Linear(hid_channels, channels))


def _start_afresh(predictors: nn.Module) -> None:
    for layer in predictors.modules():
        if hasattr(layer, 'reset_parameters'):
            fresh: Any = deepcopy(layer).cpu()  # drawn there, every rank and device agrees
            fresh.reset_parameters()
            layer.load_state_dict(fresh.state_dict())
