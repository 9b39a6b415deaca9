"""Models that are timed: all of one backbone, of the same sizes, on one batch from memory."""
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import torch
from mmengine.model import BaseModel
from torch import Tensor

from ..errors import MultiSSLError


class Sizes(NamedTuple):
    """What a step's time depends on.

    Args:
        depth (int): Of the ResNet.
        size (int): Pixels of a view.
        batch_size (int): Pictures of a step.
        queue_len (int): Keys of a queue.
        feat_dim (int): Dimensions of a key.
    """
    depth: int = 50
    size: int = 112
    batch_size: int = 16
    queue_len: int = 65536
    feat_dim: int = 128

    @property
    def width(self) -> int:
        """Channels of the backbone's last stage."""
        return 2048 if self.depth >= 50 else 512

    def title(self) -> str:
        """In words, for a table."""
        return (f'ResNet-{self.depth}, {self.batch_size} x {self.size} px, queue {self.queue_len} '
                f'x {self.feat_dim}')

    def views(self, device: str) -> List[Tensor]:
        """Two views of a batch, (N, 3, H, W)."""
        return list(torch.randn(2, self.batch_size, 3, self.size, self.size, device=device))


def backbone(sizes: Sizes) -> Dict[str, Any]:
    """Config of the backbone."""
    return dict(type='mmpretrain.ResNet', depth=sizes.depth, norm_cfg=dict(type='BN'))


def neck(kind: str, sizes: Sizes) -> Dict[str, Any]:
    """Config of a neck: ``MoCoV2`` or ``DenseCL``."""
    return dict(type=f'mmpretrain.{kind}Neck', in_channels=sizes.width, hid_channels=2048,
                out_channels=sizes.feat_dim)


def tasks(sizes: Sizes) -> List[Dict[str, Any]]:
    """Configs of MoCo v2 and DenseCL."""
    return [dict(name=kind.lower(), type=f'multissl_mm.{kind}Task', neck=neck(kind, sizes),
                 feat_dim=sizes.feat_dim, queue_len=sizes.queue_len)
            for kind in ('MoCoV2', 'DenseCL')]


def training_step(model: BaseModel, *batch: Any, amp: bool = False) -> Callable[[], None]:
    """A function that makes one step of a model on a batch, by SGD.

    Args:
        amp (bool): Forward in bfloat16, which needs no scaling of the loss.
    """
    kind = next(model.parameters()).device.type
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3,
                                momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        with torch.autocast(kind, torch.bfloat16, enabled=amp):
            loss, _ = model.parse_losses(model(*batch, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def device(wanted: Optional[str] = None) -> str:
    """Where it runs: ``cpu`` or ``cuda``; by default on a GPU where there is one.

    Raises:
        MultiSSLError: If it is to run on a GPU that is not there.
    """
    if wanted == 'cuda' and not torch.cuda.is_available():
        raise MultiSSLError('there is no GPU that torch can use; run it on the CPU (step_time.py '
                            '--device cpu, gpu_suite.sh --dry)')
    return wanted or ('cuda' if torch.cuda.is_available() else 'cpu')
