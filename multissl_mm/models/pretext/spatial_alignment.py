"""Pretext task A: by which angle is the panorama turned against the sound?"""
from typing import Any, Dict, Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import ModuleDict
from torch import Tensor, nn

from ...errors import MultiSSLError
from ...registry import MODELS
from ..contrast import unit
from .base import PretextTask, Responses, TaskBatch, TaskOutput

HEADS = ('correlation', 'mlp')


@MODELS.register_module()
class SpatialAlignmentTask(PretextTask):
    """Spatial alignment (section 3.1): 8-way classification of a rotation.

    The motion flow of the panorama is rolled to the right by ``rotation`` times W / 8 columns. From
    the sound comes a template with a vector for each of 8 directions, from the video a vector for
    each of 8 columns; the logit of rotation r is their correlation when the template is turned by
    r. So the head h(v, a) of the paper cannot tell a rotation from the picture alone, unless the
    picture says where it was turned from: a static background would, once it is memorised, hence
    flow. This form of the head is this project's choice; ``mlp`` is the plain reading of the paper,
    two layers on all vectors of both, which has no such guarantee.

    Responses: ``logits`` (N, 8), kept by the KL divergence of their softmax.

    Args:
        in_channels (int): Of the sound features.
        video (dict): The branch that reads the flow, e.g. :class:`PanoramaEncoder`.
        bins (int): Number of angles. Defaults to 8, as in the paper.
        feat_dim (int): D, of a direction's vector. Defaults to 32.
        grid (tuple[int, int]): See :class:`SoundProjection`. Defaults to 4 x 1.
        head (str): ``correlation`` (the default) or ``mlp``.
        sharpness (float): What the correlation, -1 to 1, is divided by. Defaults to 0.1.
        temperature (float): Of the softmax when logits are kept. Defaults to 2.
        view (str): Which input is the video. Defaults to ``flow``.
        dropout (float): See :class:`SoundProjection`.
    """

    views = ('clip', )

    def __init__(self, in_channels: int, video: dict, bins: int = 8, feat_dim: int = 32,
                 grid: Sequence[int] = (4, 1), head: str = 'correlation', sharpness: float = 0.1,
                 temperature: float = 2., view: str = 'flow', dropout: float = 0.,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if head not in HEADS:
            raise MultiSSLError(f"SpatialAlignmentTask.head is '{head}'; it must be one of "
                                f'{", ".join(HEADS)}')
        self.bins, self.feat_dim, self.temperature, self.view = bins, feat_dim, temperature, view
        self.sharpness, self.inputs = sharpness, (view, 'rotation')
        video_branch = MODELS.build(video)
        self._layers = ModuleDict(dict(
            sound=MODELS.build(dict(type='multissl_mm.SoundProjection', in_channels=in_channels,
                                    out_channels=feat_dim * bins, grid=grid,
                                    dropout=dropout)),
            video=video_branch,
            columns=nn.Conv1d(2 * video_branch.out_channels, feat_dim, 1)))
        if head == 'mlp':
            self._layers['mlp'] = nn.Sequential(
                nn.Linear(2 * feat_dim * bins, 256), nn.ReLU(inplace=True), nn.Linear(256, bins))

    @property
    def layers(self) -> nn.Module:
        return self._layers

    def responses(self, batch: TaskBatch, layers: Optional[nn.Module] = None) -> Responses:
        parts: Any = layers or self._layers
        rotated = self.rotate(batch.inputs[self.view], batch.inputs['rotation'])
        template = parts['sound'](batch.features['clip']).unflatten(1, (self.feat_dim, self.bins))
        maps = F.adaptive_avg_pool2d(parts['video'](rotated), (2, self.bins))  # (N, C, 2, 8)
        columns = parts['columns'](maps.flatten(1, 2))  # (N, D, 8)
        if 'mlp' in parts:
            logits = parts['mlp'](torch.cat([template, columns], 1).flatten(1))
            return dict(logits=logits.float())
        # What all directions have in common says nothing of the rotation, but is most of it.
        template, columns = (
            unit((t - t.mean(2, keepdim=True)).flatten(1)).view_as(t) for t in (template, columns))
        # (N, D, 8, 8): column x of the picture for rotation r is what stands at x + r.
        turned = torch.stack([columns.roll(-r, 2) for r in range(self.bins)], 3)
        return dict(logits=(template.unsqueeze(3) * turned).sum((1, 2)) / self.sharpness)

    def rotate(self, video: Tensor, rotation: Tensor) -> Tensor:
        """Rolls each panorama (N, T, C, H, W) to the right by rotation (N,) W / 8 columns."""
        width = video.size(4)
        # Features turn with the picture if every turn is a whole number of strides.
        step = self.bins * getattr(self._layers['video'], 'stride', 1)
        if width % step:
            raise MultiSSLError(f'{self.view} is {width} columns wide; the {self.bins} rotations '
                                f'of SpatialAlignmentTask need a multiple of {step} (with the '
                                'horizontal strides of its video branch), see --size of '
                                'tools/dataset_converters/omniaudio.py')
        # What comes to stand in column x was in column x - shift.
        column = torch.arange(width, device=video.device)
        source = (column - rotation[:, None] * (width // self.bins)) % width  # (N, W)
        return video.gather(4, source[:, None, None, None].expand_as(video))

    def loss(self, batch: TaskBatch) -> TaskOutput:
        logits, rotation = self.responses(batch)['logits'], batch.inputs['rotation']
        return TaskOutput(dict(loss=F.cross_entropy(logits, rotation)),
                          dict(top1=(logits.argmax(1) == rotation).float().mean()))

    def distill_loss(self, responses: Responses, old: Responses) -> TaskOutput:
        new, before = (F.log_softmax(r['logits'] / self.temperature, 1) for r in (responses, old))
        loss = F.kl_div(new, before, reduction='batchmean', log_target=True)
        # Gradients as with temperature 1.
        return TaskOutput(dict(loss_distill=loss * self.temperature**2))

    def score(self, responses: Responses, inputs: Dict[str, Tensor]) -> Dict[str, float]:
        hit = responses['logits'].argmax(1) == inputs['rotation']
        return dict(top1=hit.float().mean().item())
