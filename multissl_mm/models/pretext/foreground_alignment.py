"""Pretext task B: which moving foreground belongs to a sound?"""
from collections import Counter
from types import MappingProxyType
from typing import Any, Dict, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import ModuleDict
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS
from ..contrast import batch_info_nce, unit
from ..heads import check_distance
from .base import PretextTask, Responses, TaskBatch, TaskOutput


@MODELS.register_module()
class ForegroundAlignmentTask(PretextTask):
    """Foreground alignment (section 3.1): InfoNCE of a sound and the segments of its own video.

    The positive is the aligned segment; negatives are the misaligned segments of the same video
    that are in the batch, where :class:`SceneGroupSampler` puts them. The video is motion flow (the
    paper's main variant) or the masked foreground.

    Responses: ``sound`` and ``video`` (N, D), L2-normalised, kept over all videos of the batch,
    whatever their scenes: so the batches of later stages need no groups.

    Args:
        in_channels (int): Of the sound features.
        video (dict): The branch that reads the video, e.g. :class:`PanoramaEncoder`.
        view (str): Which input is the video, ``flow`` or ``foreground``.
        feat_dim (int): D. Defaults to 128.
        temperature (float): Of InfoNCE and of what is kept. Defaults to 0.07.
        num_negatives (int, optional): At most so many misaligned segments, the next ones in the
            batch; by default all.
        other_videos (bool): Whether segments of other videos are negatives, too.
        cosine_weight (float): When responses are kept, of the mean of one minus the cosine between
            an old and a new vector, which holds the vectors themselves, too. Defaults to 0.
        distill (str): ``kl``, the divergence of the sounds' similarities to the videos (the
            default), or ``info_nce``, the task's own loss with stored positives: new sounds with
            the old videos of the batch (of all ranks), new videos with the old sounds, beyond its
            value at the old responses.
        score_among (int): Number of candidates in :meth:`score`. Defaults to 8.
        grid (tuple[int, int]): See :class:`SoundProjection`.
        columns (int): Into how many directions the video's features are averaged.
    """

    views = ('clip', )
    projections = MappingProxyType(dict(sound=('sound', ), video=('video', )))

    def __init__(self, in_channels: int, video: dict, view: str = 'flow', feat_dim: int = 128,
                 temperature: float = 0.07, num_negatives: Optional[int] = None,
                 other_videos: bool = False, grid: Sequence[int] = (4, 3), columns: int = 16,
                 cosine_weight: float = 0., distill: str = 'kl', score_among: int = 8,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        check_distance(distill, 'ForegroundAlignmentTask.distill')
        self.view, self.temperature, self.columns = view, temperature, columns
        self.num_negatives, self.other_videos = num_negatives, other_videos
        self.cosine_weight, self.score_among = cosine_weight, score_among
        self.distill, self.inputs = distill, (view, 'scene')
        video_branch = MODELS.build(video)
        self._layers = ModuleDict(dict(
            sound=MODELS.build(dict(type='multissl_mm.SoundProjection', in_channels=in_channels,
                                    out_channels=feat_dim, grid=grid)),
            video=video_branch,
            project=nn.Sequential(nn.Linear(2 * columns * video_branch.out_channels, 256),
                                  nn.ReLU(inplace=True), nn.Linear(256, feat_dim))))

    @property
    def layers(self) -> nn.Module:
        return self._layers

    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        parts: Any = layers or self._layers
        maps = F.adaptive_avg_pool2d(parts['video'](batch.inputs[self.view]), (2, self.columns))
        return dict(sound=unit(parts['sound'](batch.features['clip'])),
                    video=unit(parts['project'](maps.flatten(1))))

    def candidates(self, scene: Tensor) -> Tensor:
        """Which videos (columns) each sound (rows) is contrasted with: (N, N), bool."""
        own = scene[:, None] == scene
        count = own.sum(1, keepdim=True)
        chosen = own
        if self.num_negatives is not None:
            # How many segments of the same scene further in the batch, counted in a ring.
            place = own.cumsum(1)
            positive = place.diagonal()[:, None]
            chosen = own & ((place - positive) % count <= self.num_negatives)
        return chosen | ~own if self.other_videos else chosen

    @staticmethod
    def check(batch: TaskBatch) -> None:
        """Looks at the scenes of a batch that is learned from.

        Raises:
            MultiSSLError: If a sound has no misaligned segment of its own video in the batch.
        """
        known = [sample.get('scene') for sample in batch.samples or () if sample is not None]
        if not known or None in known:  # to ask the tensor would wait for the device
            known = batch.inputs['scene'].tolist()
        if 1 in Counter(known).values():
            raise MultiSSLError(
                'ForegroundAlignmentTask tells segments of one video apart, but a batch has videos '
                'with a single one; use multissl_mm.SceneGroupSampler as train_dataloader.sampler, '
                'with a group_size of at least 2 that divides the batch size')

    def loss(self, batch: TaskBatch) -> TaskOutput:
        if self.training:  # held-out looks deal samples as they come; there a single one counts 0
            self.check(batch)
        candidates = self.candidates(batch.inputs['scene'])
        similar = self._similar(self.responses(batch)).masked_fill(~candidates, float('-inf'))
        own = torch.arange(len(similar), device=similar.device)
        contrasted = (candidates.sum(1) > 1).float()  # all of them, in training mode
        total = contrasted.sum().clamp_min(1)
        nce = F.cross_entropy(similar, own, reduction='none')
        return TaskOutput(dict(loss=(nce * contrasted).sum() / total),
                          dict(top1=((similar.argmax(1) == own) * contrasted).sum() / total))

    def _similar(self, responses: Responses) -> Tensor:
        """Logits of sounds (rows) and videos (columns) of a batch, (N, N)."""
        sound, video = responses['sound'], responses['video']
        # At this temperature half precision would round logits to steps of 0.05.
        with torch.autocast(sound.device.type, enabled=False):
            return sound @ video.t() / self.temperature

    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        if self.distill == 'info_nce':
            distance = self._towards(responses, old) - self._towards(old, old)
        else:
            new, before = (F.log_softmax(self._similar(r), 1) for r in (responses, old))
            distance = F.kl_div(new, before, reduction='batchmean', log_target=True)
        losses = dict(loss_distill=distance)
        if self.cosine_weight:
            cosines = [F.cosine_similarity(responses[k], old[k]).mean() for k in responses]
            losses['loss_distill_cosine'] = self.cosine_weight * (
                1 - torch.stack(cosines).mean())
        return TaskOutput(losses)

    def _towards(self, responses: Responses, old: Responses) -> Tensor:
        """InfoNCE of sounds with old videos, and of videos with old sounds."""
        return (batch_info_nce(responses['sound'], old['video'], self.temperature)
                + batch_info_nce(responses['video'], old['sound'], self.temperature)) / 2

    def score(self, responses: Responses, inputs: Dict[str, Tensor]) -> Dict[str, float]:
        """Top-1 among ``score_among`` segments that follow each other in the same video."""
        scene, candidates = inputs['scene'], self.score_among
        _, runs = torch.unique_consecutive(scene, return_counts=True)
        hits, first = [], 0
        for length in runs.tolist():
            for i in range(length if length >= candidates else 0):
                start = first + min(i // candidates * candidates, length - candidates)
                similar = responses['video'][start:start + candidates] @ responses['sound'][
                    first + i]
                hits.append(int(similar.argmax()) == first + i - start)
            first += length
        if not hits:
            raise MultiSSLError(f'no scene has {candidates} segments in a row, among which task B '
                                'could be scored')
        return dict(top1=sum(hits) / len(hits))
