"""What the tasks that contrast a query with the keys of a momentum encoder have in common."""
from types import MappingProxyType
from typing import Optional, Tuple

from mmengine.model import ModuleDict
from torch import nn

from ...registry import MODELS
from ..contrast import MomentumEncoder, NegativeQueue
from .base import PretextTask


class MomentumContrastTask(PretextTask):
    """A neck, its momentum copy, one or more queues of keys and a contrastive head.

    Args:
        neck (dict): Trained projection. It must have no batch norm: with several ranks, one
            would let a key tell which rank it came from (MoCo, section 3.3).
        head (dict): With the interface of :class:`QueueContrastHead`, the default.
        feat_dim (int): Dimension C of the projections. Defaults to 128.
        queue_len (int): Number of negatives K of every queue. Defaults to 65536.
    """

    views = ('query', )
    key_views = ('key', )
    other_views = MappingProxyType(dict(query='key'))
    #: Names of the queues.
    queue_names: Tuple[str, ...] = ('global', )

    def __init__(self,
                 neck: dict,
                 head: Optional[dict] = None,
                 feat_dim: int = 128,
                 queue_len: int = 65536,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.neck = MODELS.build(neck)
        self.head = MODELS.build(head or dict(type='multissl_mm.QueueContrastHead'))
        self.momentum_neck = MomentumEncoder(self.neck)
        self.queues = ModuleDict({n: NegativeQueue(queue_len, feat_dim) for n in self.queue_names})

    @property
    def layers(self) -> nn.Module:
        return self.neck

    def update_momentum(self, momentum: float) -> None:
        self.momentum_neck.update(self.neck, momentum)

    def reset(self) -> None:
        self.momentum_neck.sync(self.neck)
        for queue in self.queues.values():
            queue.reset()
