"""One backbone whose weights are the mean of several's."""
from itertools import islice
from typing import Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import MultiSSLError
from ..registry import MODELS
from ..runtime import apply_options, build_preprocessor, load_config
from ..utils.checkpoint import fill_backbone
from ..utils.files import AnyPath
from .backbones import backbone_cfg, save_backbone


def average_backbones(config: AnyPath, out: AnyPath, checkpoints: Sequence[AnyPath],
                      prefix: str = 'backbone.', batches: int = 32,
                      options: Optional[dict] = None) -> None:
    """Writes a backbone with the mean of the weights of several, as those of a run's stages.

    Not in the paper. The statistics of batch norm are no mean of theirs: they are measured on views
    of the pictures that the config trains on (Izmailov et al., 2018). Layers that training leaves
    as they are (earlier columns, ``frozen_stages``, ``norm_eval``) keep those of the checkpoints.

    Args:
        config (str): That the backbones were trained with.
        out (str): Checkpoint to write; its keys start with ``backbone.``.
        checkpoints (sequence[str]): One per backbone.
        prefix (str): Of the backbones' keys in them.
        batches (int): Of training, for batch norm. Defaults to 32.
        options (dict, optional): Changes of the config.

    Raises:
        MultiSSLError: If a key is missing or unexpected, an option names none, or statistics that
            are kept differ between checkpoints; nothing is written then.
    """
    cfg = load_config(config)
    apply_options(cfg, options)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        backbone = MODELS.build(backbone_cfg(cfg, config))
        states = []
        for path in checkpoints:
            fill_backbone(backbone, path, prefix, f'model.backbone of {config}')
            states.append({k: v.clone() for k, v in backbone.state_dict().items()})
        backbone.train()  # by which the backbone says what stays in eval
        kept = _kept_statistics(backbone, states, checkpoints)
        backbone.load_state_dict({
            k: torch.stack([state[k] for state in states]).mean(0)
            if v.is_floating_point() and k not in kept else v for k, v in states[-1].items()})
        _measure_statistics(backbone, islice(_views(cfg), batches))
    save_backbone(backbone.state_dict(), out, averaged=[str(path) for path in checkpoints])


def _kept_statistics(backbone: nn.Module, states: Sequence[Dict[str, Tensor]],
                     checkpoints: Sequence[AnyPath]) -> List[str]:
    """Keys of statistics that training does not touch; all the states have the same ones."""
    kept = [f'{name}.{key}' for name, layer in backbone.named_modules()
            if isinstance(layer, _BatchNorm) and not layer.training
            for key in ('running_mean', 'running_var') if getattr(layer, key) is not None]
    for state, path in zip(states, checkpoints):
        for key in kept:
            if not torch.equal(state[key], states[0][key]):
                raise MultiSSLError(
                    f'{path}: {key} is another than in {checkpoints[0]}. The backbone of this '
                    'config keeps it in training (an earlier column, frozen_stages or norm_eval), '
                    'so that it is not measured; give checkpoints that have it in common')
    return kept


@torch.no_grad()
def _measure_statistics(backbone: nn.Module, batches: Iterable[Tensor]) -> None:
    # As torch's update_bn, which also empties layers in eval, and never fills these again.
    layers = [layer for layer in backbone.modules()
              if isinstance(layer, _BatchNorm) and layer.training]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
    for batch in batches if layers else ():
        backbone(batch)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum


def _views(cfg: Config) -> Iterator[Tensor]:
    """The picture, the first view of it, both (B, 3, H, W), or the clip of every segment."""
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    preprocess = build_preprocessor(cfg)
    for data in loader:
        inputs = preprocess(data, True)['inputs']
        yield inputs if isinstance(inputs, Tensor) else \
            inputs['clip' if isinstance(inputs, Mapping) else 0]
