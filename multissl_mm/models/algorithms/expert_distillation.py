"""Feature distillation: one new backbone learns the latents of several experts (section 4.4)."""
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import ModuleDict
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS
from ...utils.model import pooled
from ..backbones.frozen import FrozenEncoders
from ..backbones.shapes import output_shapes
from ..contrast import batch_info_nce
from ..pretext import Outputs, Responses, TaskOutput, weighted
from .base import MultiSSL, Views

PROJECTORS = ('none', 'linear', 'mlp')
LOSSES = ('euclidean', 'contrastive')


@MODELS.register_module()
class ExpertDistillation(MultiSSL):
    """A new backbone learns to match the latents of K frozen experts (section 4.4).

    A latent is the expert's last stage output, averaged over its positions. ``euclidean`` is the
    mean squared distance between a latent and the projected features of the new backbone;
    ``contrastive`` is InfoNCE: the latent of the same view against those of the other samples of
    the batch (of all ranks). The paper does not say how widths are made to agree: the projector.

    Args:
        backbone (dict): The new one.
        experts (sequence[dict]): Each ``name`` and ``backbone``, whose ``init_cfg`` brings the
            weights.
        loss (str): ``euclidean`` or ``contrastive``.
        projector (str): From the backbone's features to a latent: ``none``, ``linear`` or ``mlp``.
            Defaults to linear.
        temperature (float): Of the contrastive loss. Defaults to 0.2.
        loss_weights (dict[str, float], optional): By expert name; others count 1.
        views (sequence[str]): That are distilled. Defaults to the first of ``view_names``.
        responses (dict): Where latents come from, see :class:`ResponseSource`. ``stored`` is the
            paper's way: recorded before the first epoch (:class:`ExpertLatentsHook`).
        input_shape (sequence[int]): Of an input to find the widths with.

    For the other arguments see :class:`MultiSSL`.
    """

    needs_tasks = False

    def __init__(self,
                 backbone: dict,
                 experts: Sequence[dict],
                 loss: str = 'euclidean',
                 projector: str = 'linear',
                 temperature: float = 0.2,
                 loss_weights: Optional[Dict[str, float]] = None,
                 views: Optional[Sequence[str]] = None,
                 responses: Optional[dict] = None,
                 input_shape: Sequence[int] = (3, 64, 64),
                 **kwargs: Any) -> None:
        super().__init__(backbone, tasks=(), **kwargs)
        names: List[str] = [expert.get('name', '') for expert in experts]
        if not all(names) or not names or len(set(names)) != len(names):
            raise MultiSSLError('model.experts needs at least one expert and a different name for '
                                f'each, but has {names}')
        for key, value, known in (('loss', loss, LOSSES), ('projector', projector, PROJECTORS)):
            if value not in known:
                raise MultiSSLError(f"model.{key} is '{value}'; it must be one of "
                                    f'{", ".join(known)}')
        unknown = set(loss_weights or {}) - set(names)
        if unknown:
            raise MultiSSLError(f'model.loss_weights names {sorted(unknown)}, but model.experts '
                                f'has {names}')
        self.expert_names: List[str] = names
        self.kind, self.temperature = loss, temperature
        self.loss_weights = dict(loss_weights or {})
        self.views: Tuple[str, ...] = tuple(views or self.view_names[:1])
        if not set(self.views) <= set(self.view_names):
            raise MultiSSLError(f'model.views {self.views} are not all in model.view_names '
                                f'{self.view_names}')
        self.experts = FrozenEncoders([expert['backbone'] for expert in experts])
        self.accelerate(self.experts, encoders=self.experts.encoders)
        width = output_shapes(self.backbone, input_shape)[-1][0]
        self.projectors = ModuleDict({
            name: _projector(projector, width, output_shapes(expert, input_shape)[-1][0], name)
            for name, expert in zip(names, self.experts.encoders)
        })
        self.responses = MODELS.build(dict(responses or dict(source='teacher'),
                                           type='multissl_mm.ResponseSource', names=names))

    def responders(self, name: str) -> nn.Module:
        """The expert."""
        return self.experts.encoders[self.expert_names.index(name)]

    def response_kind(self) -> str:
        """Latents, whichever the loss."""
        return 'latents'

    def response_views(self, name: str) -> Tuple[str, ...]:
        """:attr:`views`."""
        return self.views

    @torch.no_grad()
    def current_responses(self, name: str, views: Views,
                          samples: Optional[Sequence] = None) -> Responses:
        """Latents (N, C) of one expert for each of :attr:`views`."""
        feats = self.encode(self.responders(name), views, self.views)
        return {view: pooled(feats[view]) for view in self.views}

    def loss(self, views: Views, samples: Optional[Sequence]) -> Outputs:
        feats = self.encode(self.backbone, views, self.views)
        outputs: Outputs = {}
        for name, projector in self.projectors.items():
            latents = (self.responses.read(name, samples) if self.responses.stored else
                       self.current_responses(name, views))
            losses = [self._distance(projector(pooled(feats[view])), latents[view])
                      for view in self.views]
            outputs[name] = weighted(
                TaskOutput({f'loss_{self.kind}': torch.stack(losses).mean()}),
                self.loss_weights.get(name, 1.))
        return outputs

    def _distance(self, z: Tensor, latent: Tensor) -> Tensor:
        """Of (N, C) projections to the (N, C) latents of the same samples."""
        if self.kind == 'euclidean':
            return F.mse_loss(z.float(), latent.float())
        z, latent = F.normalize(z.float(), dim=1), F.normalize(latent.float(), dim=1)
        return batch_info_nce(z, latent, self.temperature)


def _projector(kind: str, width: int, out: int, name: str) -> nn.Module:
    if kind == 'none':
        if width != out:
            raise MultiSSLError(f"model.projector 'none': the backbone's features have {width} "
                                f"dimensions, those of expert {name} {out}; use 'linear' or 'mlp'")
        return nn.Identity()
    if kind == 'linear':
        return nn.Linear(width, out)
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, out))
