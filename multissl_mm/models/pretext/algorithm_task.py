"""Any of MMPretrain's self-supervised algorithms as a pretext task."""
from typing import Any, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS
from ...utils.device import to_device
from ...utils.names import bare
from ..contrast import batch_info_nce, gathered, unit
from ..heads import check_distance, temperature_of
from .base import PretextTask, Responses, TaskBatch, TaskOutput

#: They shuffle their views over ranks by themselves and keep queues.
NATIVE = dict(MoCo='multissl_mm.MoCoV2Task', DenseCL='multissl_mm.DenseCLTask')


@MODELS.register_module()
class FeatureFeed(nn.Module):
    """Stands where an algorithm has its backbone and answers with features computed before.

    It is called with tickets instead of views (:meth:`AlgorithmTask.loss`): whatever the algorithm
    does to its views (stacks, concatenates, reorders), it does to tickets, and the rows that it
    passes to its backbone say which features it wants.
    """

    def __init__(self) -> None:
        super().__init__()
        self.role = 'key'  # of a target network; the algorithm's own backbone is the query's
        self._feats: List[Tuple[Tensor, ...]] = []  # of every view

    def __deepcopy__(self, memo: dict) -> 'FeatureFeed':
        copy = FeatureFeed()  # features are not part of a model
        copy.role = self.role
        return copy

    def fill(self, feats: Sequence[Tuple[Tensor, ...]]) -> None:
        """Features of every view, (N, ...) for each output; an empty list takes them away."""
        self._feats = list(feats)

    def forward(self, tickets: Tensor, *args: Any) -> Tuple[Tensor, ...]:
        """Features of the rows of (M, 1, 1, W) tickets on the CPU."""
        if args or not self._feats:
            raise MultiSSLError('this algorithm of MMPretrain calls its backbone with more than '
                                'views, or outside of training; it cannot be a pretext task on a '
                                'shared backbone')
        rows = tickets[:, 0, 0, 0].long()
        n = len(self._feats[0][0])
        views = torch.unique_consecutive(rows // n).tolist()
        if len(views) == 1 and len(rows) == n and torch.equal(
                rows, torch.arange(n) + views[0] * n):  # one view as it is: nothing to copy
            return self._feats[views[0]]
        wanted = sorted(set(views))
        place = torch.zeros(len(self._feats), dtype=torch.long)
        place[wanted] = torch.arange(len(wanted))
        index = to_device(place[rows // n] * n + rows % n, self._feats[0][0].device)
        return tuple(torch.cat(stage)[index] for stage in zip(*(self._feats[v] for v in wanted)))


@MODELS.register_module()
class AlgorithmTask(PretextTask):
    """SimCLR, BYOL, SimSiam, BarlowTwins, SwAV, ... of MMPretrain on a shared backbone.

    The algorithm itself computes the loss, on features of the shared backbone and, where it has a
    momentum network, of the shared momentum backbone. Its own layers keep their own rules (BYOL's
    target projector follows its ``base_momentum``); set the model's ``momentum`` to the same, and
    ``separate_views=True`` for the batch norm of BYOL, SimSiam and Barlow Twins. Where gradients
    are accumulated its target projector moves with every batch, the backbone with every step.
    MMPretrain's ``SwAVHook`` looks for SwAV at the top of a model: as a task it has neither a
    queue nor frozen prototypes.

    Responses: for each view the output of the algorithm's neck, (N, C), L2-normalised. They are
    kept over the old responses of the batch (of all ranks), since these algorithms have no queue
    of candidates.

    Args:
        algorithm (dict): As in an MMPretrain config (without a backbone), e.g.
            ``dict(type='mmpretrain.SimCLR', neck=..., head=...)``.
        views (sequence[str]): Views in the order that the algorithm wants them in; SwAV's crops
            of one size stand together. Defaults to query and key.
        distill_temperature (float, optional): Of :meth:`distill_loss`. Defaults to 0.2 for ``kl``,
            for ``info_nce`` to that of the algorithm's head where it has one.
        distill (str): ``kl``, the KL divergence of the similarities to the old responses (the
            default), or ``info_nce`` with the old response as the positive, beyond its value
            there: SimCLR's own kind of loss.
    """

    def __init__(self,
                 algorithm: dict,
                 views: Sequence[str] = ('query', 'key'),
                 distill_temperature: Optional[float] = None,
                 distill: str = 'kl',
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        kind = bare(algorithm.get('type'))
        if kind in NATIVE:
            raise MultiSSLError(f'AlgorithmTask: use {NATIVE[kind]} for {kind}')
        if 'backbone' in algorithm:
            raise MultiSSLError(f'AlgorithmTask: {kind} works on the backbone of the model; remove '
                                'backbone from its config')
        check_distance(distill, 'AlgorithmTask.distill')
        self.views = tuple(views)
        if len(self.views) == 2:
            self.other_views = dict(zip(self.views, reversed(self.views)))
        self.projections = dict(neck=self.views)
        self.distill = distill
        self.algorithm = MODELS.build(
            dict(algorithm, backbone=dict(type='multissl_mm.FeatureFeed')))
        self.algorithm.backbone.role = 'query'
        own = getattr(getattr(self.algorithm, 'head', None), 'temperature', 0.2)
        self.distill_temperature = temperature_of(distill_temperature, distill, own)
        if self._feeds('key'):
            self.key_views = self.views
        if getattr(self.algorithm, 'neck', None) is None:
            raise MultiSSLError(f'AlgorithmTask: {kind} has no neck, so nothing could be kept of '
                                'it; give it one')

    def _feeds(self, role: str) -> List[FeatureFeed]:
        return [m for m in self.algorithm.modules()
                if isinstance(m, FeatureFeed) and m.role == role]

    @property
    def layers(self) -> nn.Module:
        return self.algorithm.neck

    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        neck, out = layers or self.layers, {}
        for view in self.views:
            # SwAV's neck takes a list of the features of every size.
            swav, feats = type(neck).__name__ == 'SwAVNeck', batch.features[view][-1:]
            z = neck([feats] if swav else feats)
            out[view] = unit(z[0] if isinstance(z, tuple) else z)
        return out

    def loss(self, batch: TaskBatch) -> TaskOutput:
        feats, key_feats = batch.features, batch.key_features
        first = [feats[view][-1] for view in self.views]
        n = len(first[0])
        # On the CPU, where the feed reads them without a wait; as wide as the features, since SwAV
        # tells crops of different sizes by their width.
        tickets = [(torch.arange(n) + v * n).view(n, 1, 1, 1).expand(n, 1, 1, x.size(-1))
                   for v, x in enumerate(first)]
        query, key = self._feeds('query'), self._feeds('key')
        for feed in query:
            feed.fill([feats[view][-1:] for view in self.views])
        for feed in key:
            feed.fill([key_feats[view][-1:] for view in self.views])
        try:
            found = self.algorithm.loss(tickets, batch.samples)
        finally:
            for feed in (*query, *key):
                feed.fill([])
        # MMEngine's models tell losses from what is only logged by their names.
        losses = {k: v for k, v in found.items() if 'loss' in k}
        return TaskOutput(losses, {k: v for k, v in found.items() if k not in losses})

    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        distance = self._info_nce if self.distill == 'info_nce' else self._divergence
        distances = [distance(responses[view], old[view]) for view in self.views]
        return TaskOutput(dict(loss_distill=torch.stack(distances).mean()))

    def _info_nce(self, new: Tensor, old: Tensor) -> Tensor:
        now, before = (batch_info_nce(z, old, self.distill_temperature) for z in (new, old))
        return now - before

    def _divergence(self, new: Tensor, old: Tensor) -> Tensor:
        candidates = gathered(old.float()).t()  # (C, ranks * N)
        with torch.autocast(new.device.type, enabled=False):
            now, before = (F.log_softmax(z.float() @ candidates / self.distill_temperature, dim=1)
                           for z in (new, old))
            return F.kl_div(now, before, reduction='batchmean', log_target=True)

    def reset(self) -> None:
        for module in self.algorithm.children():
            if hasattr(module, 'steps') and hasattr(module, 'update_parameters'):
                module.steps.zero_()  # an average that has made no step starts as a copy
