"""Backbones out of checkpoints: one alone for mmdet and mmpretrain, or several side by side."""
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import Tensor

from ..errors import MultiSSLError
from ..models.backbones import ConcatBackbone
from ..registry import MODELS
from ..runtime import load_config
from ..utils.checkpoint import (
    backbone_state_dict,
    compare,
    fill_backbone,
    load_state_dict_file,
    save_atomically,
)
from ..utils.files import AnyPath
from ..version import __version__

StateDict = Dict[str, Tensor]


class ResNetShape(NamedTuple):
    """Arguments, by mmpretrain's and mmdet's names, of the ResNet that a state dict is of."""
    depth: int
    in_channels: int
    stem_channels: int
    base_channels: int


_BLOCKS: Dict[Tuple[Tuple[int, ...], bool], int] = {  # blocks per layer, with a bottleneck -> depth
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


def infer_resnet(state_dict: Mapping[str, Tensor]) -> Optional[ResNetShape]:
    """What ResNet a backbone's state dict belongs to; None where it is none.

    None for variants with a deep stem, too: mmdet and mmpretrain name its layers differently.
    """
    blocks = tuple(len({k.split('.')[1] for k in state_dict if k.startswith(f'layer{i}.')})
                   for i in range(1, 5))
    depth = _BLOCKS.get((blocks, 'layer1.0.conv3.weight' in state_dict))
    stem, inner = state_dict.get('conv1.weight'), state_dict.get('layer1.0.conv1.weight')
    if depth is None or stem is None or inner is None:
        return None
    return ResNetShape(depth, stem.size(1), stem.size(0), inner.size(0))


def verify_backbone(state_dict: Mapping[str, Tensor], cfg: dict) -> None:
    """Refuses a state dict that does not fit a backbone's config key by key.

    Args:
        state_dict (mapping[str, Tensor]): Keys as in the backbone itself.
        cfg (dict): Of the backbone, with a ``type``.

    Raises:
        MultiSSLError: Lists the keys.
    """
    cfg = {k: v for k, v in cfg.items() if k not in ('init_cfg', 'pretrained')}
    difference = compare(MODELS.build(cfg).state_dict(), state_dict)
    if any(difference):
        raise MultiSSLError(f'{cfg["type"]}: keys do not fit; {difference.in_words(20)}')


class Exported(NamedTuple):
    """What :func:`export_backbone` wrote: keys, whose backbone they fit, and what was left out."""
    keys: List[str]
    fits: str
    dropped: List[str]


def export_backbone(checkpoint: AnyPath, out: AnyPath, prefix: str = 'backbone.',
                    drop: Sequence[str] = (), add: str = '', config: Optional[AnyPath] = None
                    ) -> Exported:
    """Writes the backbone of a checkpoint for mmdet and mmpretrain.

    The ResNet that it is of is read from the keys, and both packages' ResNet must take it with no
    missing and no unexpected key; anything else is refused, and nothing is written.

    Args:
        checkpoint (str): File or URL.
        out (str): Checkpoint to write; its keys start with ``backbone.``.
        prefix (str): Of the keys in the checkpoint.
        drop (sequence[str]): Leave out what starts like one of these after the prefix.
        add (str): Put this before what is left, e.g. ``ear.`` for one ear of a BinauralEncoder.
        config (str, optional): The keys must fit ``model.backbone`` of this config instead.

    Raises:
        MultiSSLError: If the keys do not fit.
    """
    state_dict = backbone_state_dict(load_state_dict_file(checkpoint), prefix, checkpoint)
    dropped = [k for k in state_dict if k.startswith(tuple(drop))]
    state_dict = {add + k: v for k, v in state_dict.items() if k not in dropped}
    if config:
        cfg = load_config(config)
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
            verify_backbone(state_dict, backbone_cfg(cfg, config))
        fits = str(config)
    else:
        shape = infer_resnet(state_dict)
        if shape is None:
            raise MultiSSLError(f'{checkpoint}: the keys are of no ResNet (18, 34, 50, 101, 152) '
                                'that mmdet and mmpretrain share; name a config with its backbone '
                                'by --config')
        for package in ('mmdet', 'mmpretrain'):
            with DefaultScope.overwrite_default_scope(package):
                verify_backbone(state_dict, dict(type=f'{package}.ResNet', **shape._asdict()))
        fits = f'the ResNet-{shape.depth} of mmdet and of mmpretrain'
    save_backbone(state_dict, out, fits=fits)
    return Exported(list(state_dict), fits, dropped)


def concat_backbones(config: AnyPath, out: AnyPath, checkpoints: Sequence[AnyPath],
                     prefix: str = 'backbone.') -> None:
    """Puts several backbones into one checkpoint for a ConcatBackbone (section 4.1).

    Args:
        config (str): Has a ``model.backbone`` of type multissl_mm.ConcatBackbone; its encoders are
            filled in the order of the checkpoints.
        out (str): Checkpoint to write; its keys start with ``backbone.``.
        checkpoints (sequence[str]): One per encoder.
        prefix (str): Of the backbones' keys in them.

    Raises:
        MultiSSLError: If the config is of another backbone, or a key is missing or unexpected;
            nothing is written then.
    """
    cfg = load_config(config)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        backbone = MODELS.build(backbone_cfg(cfg, config))
    if not isinstance(backbone, ConcatBackbone):
        raise MultiSSLError(f'{config}: model.backbone is a {type(backbone).__name__}, not a '
                            'multissl_mm.ConcatBackbone')
    encoders = backbone.frozen.encoders
    if len(encoders) != len(checkpoints):
        raise MultiSSLError(f'{config} has {len(encoders)} encoders, but {len(checkpoints)} '
                            'checkpoints are given')
    for k, (encoder, path) in enumerate(zip(encoders, checkpoints)):
        fill_backbone(encoder, path, prefix, f'model.backbone.encoders.{k} of {config}')
    save_backbone(backbone.state_dict(), out, encoders=[str(path) for path in checkpoints])


def backbone_cfg(cfg: Config, path: AnyPath) -> dict:
    """``model.backbone`` of a config, which has one or is refused by name."""
    found = (cfg.get('model') or {}).get('backbone')
    if found is None:
        raise MultiSSLError(f'{path}: has no model.backbone; name a config that has one')
    return found


def save_backbone(state_dict: StateDict, out: AnyPath, **meta: object) -> None:
    """Writes a backbone alone, its keys as in every checkpoint of this project."""
    save_atomically(dict(state_dict={f'backbone.{k}': v for k, v in state_dict.items()},
                         meta=dict(multissl_mm_version=__version__, **meta)), out)
