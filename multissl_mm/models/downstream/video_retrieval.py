"""VR: which segment of video belongs to a sound (section 5.1)?"""
from typing import Any, Dict, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...registry import MODELS
from ...utils.model import pooled
from ..necks import LinearProbe
from .base import SoundDownstream


@MODELS.register_module()
class VideoRetrieval(SoundDownstream):
    """Video retrieval (section 5.1), with an encoder that is always frozen.

    Two galleries, see :class:`RetrievalMetric`. Among sounds nothing is learned: representations
    are the encoder's features, averaged. Among videos a linear map from features to an embedding of
    the panorama is learned by InfoNCE in both directions over all segments of a batch; the video
    branch learns with it, from scratch, for every encoder alike.

    Args:
        backbone (dict): See :class:`SoundDownstream`.
        video (dict): The branch that reads the video, e.g. :class:`PanoramaEncoder`.
        view (str): Which input is the video. Defaults to ``flow``.
        feat_dim (int): Of the embedding. Defaults to 128.
        temperature (float): Of InfoNCE. Defaults to 0.07.
        grid (tuple[int, int]): Of the linear map, see :class:`LinearProbe`.
        columns (int): Into how many directions the video's features are averaged.
    """

    def __init__(self, backbone: dict, video: dict, view: str = 'flow', feat_dim: int = 128,
                 temperature: float = 0.07, grid: Sequence[int] = (4, 3), columns: int = 16,
                 **kwargs: Any) -> None:
        super().__init__(backbone, **dict(kwargs, frozen=True))
        self.view, self.temperature = view, temperature
        self.columns, self.targets = columns, (view, )
        self.sound = LinearProbe(self.width, feat_dim, grid)
        self.video = MODELS.build(video)
        self.project = nn.Sequential(nn.Linear(2 * columns * self.video.out_channels, 256),
                                     nn.ReLU(inplace=True), nn.Linear(256, feat_dim))

    def embed_sound(self, feats: Sequence[Tensor]) -> Tensor:
        """Embeddings (N, feat_dim), of norm 1."""
        return F.normalize(self.sound(feats).float(), dim=1)

    def embed_video(self, video: Tensor) -> Tensor:
        """Embeddings (N, feat_dim), of norm 1, of panoramas (N, T, C, H, W)."""
        maps = F.adaptive_avg_pool2d(self.video(video), (2, self.columns))
        return F.normalize(self.project(maps.flatten(1)).float(), dim=1)

    def loss(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        sound = self.embed_sound(self.extract_feat(inputs))
        video = self.embed_video(inputs[self.view])
        # At this temperature half precision would round logits to steps of 0.05.
        with torch.autocast(sound.device.type, enabled=False):
            similar = sound @ video.t() / self.temperature
        own = torch.arange(len(similar), device=similar.device)
        return dict(loss=(F.cross_entropy(similar, own) + F.cross_entropy(similar.t(), own)) / 2)

    @torch.no_grad()
    def predict(self, inputs: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """``representation`` (N, C), ``sound`` (N, D) and, where there is video, ``video``."""
        feats = self.extract_feat(inputs)
        found = dict(representation=F.normalize(pooled(feats).float(), dim=1),
                     sound=self.embed_sound(feats))
        if self.view in inputs:
            found['video'] = self.embed_video(inputs[self.view])
        return found
