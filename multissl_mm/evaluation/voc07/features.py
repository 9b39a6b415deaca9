"""A layer of a frozen backbone, pooled to about 9,000 numbers, for every picture of a list."""
import os
from typing import (
    List,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Tuple,
    runtime_checkable,
)

import cv2
import numpy as np
import torch
import torch.distributed
import torch.nn.functional as F
from mmengine.dist import all_gather_object, get_dist_info
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ...apis import Encoder, NormalisePixels
from ...errors import MultiSSLError
from ...utils.cli import progress_bar
from ...utils.protocols import Attributes
from .data import load_image


class Pooling(NamedTuple):
    """Average pooling of a layer: from its map at 224 px, ``size`` wide, to ``grid`` x ``grid``."""
    size: int
    grid: int
    kernel: int
    stride: int
    padding: int = 0


#: ResNet-50: 9216, 9216, 8192, 9216 and 8192 numbers. feat1 is the stem before its max pooling.
LAYERS = {
    'feat1': Pooling(112, 12, 10, 10, 4),
    'feat2': Pooling(56, 6, 16, 8),
    'feat3': Pooling(28, 4, 13, 5),
    'feat4': Pooling(14, 3, 8, 3),
    'feat5': Pooling(7, 2, 6, 1),
}


class _Pictures(Dataset):

    def __init__(self, paths: Sequence[str], image_size: int) -> None:
        self.paths, self.image_size = paths, image_size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(load_image(self.paths[index], self.image_size)).permute(2, 0, 1)


@runtime_checkable
class ResNetLike(Attributes, Protocol):
    """A ResNet as mmpretrain and mmdet have it."""
    res_layers: List[str]
    out_indices: Sequence[int]
    maxpool: nn.Module


class PooledFeatures(nn.Module):
    """An encoder and the pooling of one of its layers.

    ResNets have all of ``LAYERS``; of other backbones feat5 is the last output, a map or a vector.

    Args:
        encoder (Encoder): Of pictures. Left as it is, but for a ResNet's ``out_indices``.
        layer (str): Key of ``LAYERS``.

    Raises:
        MultiSSLError: If there is no such layer, or the encoder hears.
    """

    def __init__(self, encoder: Encoder, layer: str = 'feat5') -> None:
        super().__init__()
        if layer not in LAYERS:
            raise MultiSSLError(f'layer {layer}: choose one of {", ".join(LAYERS)}')
        check_takes_pictures(encoder)
        self.encoder, self.layer, self.pooling = encoder, layer, ''
        self._stem = torch.empty(0)  # of the last pass
        backbone = encoder.backbone
        if isinstance(backbone, ResNetLike) and len(backbone.res_layers) == 4:
            backbone.out_indices = (0, 1, 2, 3)
            if layer == 'feat1':
                backbone.maxpool.register_forward_pre_hook(self._keep_stem)
        elif layer != 'feat5':
            raise MultiSSLError(f'{layer} exists in ResNets with four stages only; of a '
                                f'{type(backbone).__name__} use feat5, its last output')

    def _keep_stem(self, module: nn.Module, inputs: Tuple[Tensor, ...]) -> None:
        self._stem = inputs[0]

    def forward(self, images: Tensor) -> Tensor:
        """RGB pixels (N, 3, H, W) -> features (N, D). Sets ``pooling``: how, in words."""
        outputs = self.encoder(images)
        feature = (self._stem if self.layer == 'feat1' else
                   outputs[-1] if self.layer == 'feat5' else outputs[int(self.layer[-1]) - 2])
        if feature.dim() not in (2, 4) or not feature.is_floating_point():
            kind = type(self.encoder.backbone).__name__
            raise MultiSSLError(f'{kind}: its last output, {feature.dtype} of shape '
                                f'{tuple(feature.shape)}, is no (N, C, H, W) or (N, C)')
        if feature.dim() == 2:
            self.pooling = 'none, the backbone gives vectors'
            return feature
        size, grid, kernel, stride, padding = LAYERS[self.layer]
        shape = 'x'.join(map(str, feature.shape[-2:]))
        if tuple(feature.shape[-2:]) == (size, size):
            self.pooling = f'as specified, {shape} to {grid}x{grid}'
            return F.avg_pool2d(feature, kernel, stride, padding).flatten(1)
        self.pooling = (f'adaptive, {shape} to {grid}x{grid} (the specified pooling is for '
                        f'{size}x{size}, a ResNet at 224 px)')
        return F.adaptive_avg_pool2d(feature, grid).flatten(1)


def check_takes_pictures(encoder: Encoder) -> None:
    """An error where an encoder takes something else."""
    if not isinstance(encoder.prepare, NormalisePixels):
        raise MultiSSLError(f'{encoder.config.filename or "the config"}: its encoder takes '
                            'sounds; features of pictures need one of pictures')


def extract_features(model: nn.Module,
                     paths: Sequence[str],
                     image_size: int = 224,
                     batch_size: int = 32,
                     workers: int = 2,
                     device: str = 'auto',
                     progress: bool = True) -> np.ndarray:
    """Features of pictures, by all processes of the default group together if there is one.

    Batches, not pictures, are dealt out to the processes: a picture is always computed in the same
    company, so the result does not depend on how many processes there are. (On a CPU the number of
    threads changes the last digits, and torchrun gives each process one unless OMP_NUM_THREADS is
    set.)

    Args:
        model (nn.Module): From RGB pixels (N, 3, H, W) to (N, ...), as :class:`PooledFeatures`.
        paths (sequence[str]): N pictures.
        image_size (int): Side of the squares that the backbone sees, px.
        workers (int): Of the data loader, per process.
        device (str): See :func:`features_device`.

    Returns:
        ndarray: (N, ...), float32, in the order of ``paths``, the same in every process.
    """
    device = features_device(device)
    rank, world_size = get_dist_info()
    batches = [list(range(i, min(i + batch_size, len(paths))))
               for i in range(0, len(paths), batch_size)]
    own = batches[rank::world_size]
    loader = DataLoader(_Pictures(paths, image_size), batch_sampler=own, num_workers=workers,
                        pin_memory=device.startswith('cuda'), worker_init_fn=_one_thread)
    model = model.to(device)
    parts = []
    with torch.inference_mode():
        for images in progress_bar(loader, len(own), f'features, {device}',
                                   progress and rank == 0):
            parts.append(model(images.to(device, non_blocking=True)).float().cpu().numpy())
    ordered: List[np.ndarray] = [np.empty(0)] * len(batches)
    for i, part in enumerate(all_gather_object(parts)):
        ordered[i::world_size] = part
    return np.concatenate(ordered)


def features_device(name: str) -> str:
    """``auto`` is the GPU of this process's LOCAL_RANK, or the CPU."""
    if name != 'auto':
        return name
    if not torch.cuda.is_available():
        return 'cpu'
    return f'cuda:{int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()}'


def check_finite(features: np.ndarray) -> None:
    """An error where features (N, ...) are not finite; says of how many images."""
    bad = np.flatnonzero(~np.isfinite(features).reshape(len(features), -1).all(axis=1))
    if len(bad):
        raise MultiSSLError(f'features of {len(bad)} of {len(features)} images are not finite (the '
                            f'first is number {bad[0]}); has the pretraining diverged?')


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)


def join_processes(launcher: Optional[str] = None) -> None:
    """Joins the default group of all processes that torchrun has started; it ends with them.

    Args:
        launcher (str, optional): ``none`` for one process, ``pytorch`` for those of torchrun; by
            default the latter if torchrun is there.
    """
    if (launcher or ('pytorch' if 'TORCHELASTIC_RUN_ID' in os.environ else 'none')) == 'none':
        return
    if 'RANK' not in os.environ:
        raise MultiSSLError('--launcher pytorch: start it with torchrun')
    # Only features on the CPU are exchanged: gloo does, with GPUs as without.
    torch.distributed.init_process_group('gloo')
