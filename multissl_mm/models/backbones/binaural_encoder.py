"""The sound encoder: one network for both ears."""
from typing import Optional, Sequence, Tuple

from mmengine.model import BaseModule, Sequential
from torch import Tensor, nn

from ...registry import MODELS


@MODELS.register_module()
class BinauralEncoder(BaseModule):
    """Encodes left and right ear with the same weights and puts their features side by side.

    By default five times [convolution 4 x 4 of stride 2, batch norm, LeakyReLU], the encoder of
    the paper's predecessor (Vasudevan et al., ECCV 2020).

    Args:
        channels (sequence[int]): Of the convolutions. Not used where ``ear`` is given.
        ear (dict, optional): Any backbone for one ear instead, built for one input channel, e.g.
            ``dict(type='mmpretrain.ResNet', depth=18, in_channels=1)``.
        out_indices (sequence[int]): Of the stages that are put out; of ``ear`` it is its own.
            Defaults to the last.

    Input (N, 2, F, T), output a tuple of (N, 2 C, F', T'), the left ear's channels first.
    """

    def __init__(self, channels: Sequence[int] = (64, 128, 256, 512, 512),
                 ear: Optional[dict] = None, out_indices: Optional[Sequence[int]] = None,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.out_indices: Optional[Sequence[int]] = None
        if ear is not None:
            self.ear = MODELS.build(ear)
            return
        self.ear = Sequential(*[
            Sequential(nn.Conv2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o),
                       nn.LeakyReLU(.2, inplace=True))
            for i, o in zip((1, *channels), channels)
        ])
        self.out_indices = [i % len(channels) for i in out_indices or (-1, )]

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        ears = x.flatten(0, 1).unsqueeze(1)  # (2 N, 1, F, T), the ears of a clip next to each other
        if self.out_indices is None:
            outs = self.ear(ears)
            outs = outs if isinstance(outs, (tuple, list)) else (outs, )
        else:
            outs = []
            for i, stage in enumerate(self.ear):
                ears = stage(ears)
                if i in self.out_indices:
                    outs.append(ears)
        return tuple(out.unflatten(0, (-1, 2)).flatten(1, 2) for out in outs)
