"""One backbone whose weights are the mean of several's."""
from itertools import islice
from typing import Iterator, Mapping, Optional, Sequence

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor
from torch.optim.swa_utils import update_bn

from ..registry import MODELS
from ..runtime import apply_options, load_config, preprocessor_cfg
from ..utils.checkpoint import fill_backbone
from ..utils.files import AnyPath
from .backbones import backbone_cfg, save_backbone


def average_backbones(config: AnyPath, out: AnyPath, checkpoints: Sequence[AnyPath],
                      prefix: str = 'backbone.', batches: int = 32,
                      options: Optional[dict] = None) -> None:
    """Writes a backbone with the mean of the weights of several, as those of a run's stages.

    Not in the paper. The statistics of batch norm are no mean of theirs: they are measured on views
    of the pictures that the config trains on (Izmailov et al., 2018).

    Args:
        config (str): That the backbones were trained with.
        out (str): Checkpoint to write; its keys start with ``backbone.``.
        checkpoints (sequence[str]): One per backbone.
        prefix (str): Of the backbones' keys in them.
        batches (int): Of training, for batch norm. Defaults to 32.
        options (dict, optional): Changes of the config.

    Raises:
        MultiSSLError: If a key is missing or unexpected, or an option names none; nothing is
            written then.
    """
    cfg = load_config(config)
    apply_options(cfg, options)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        backbone = MODELS.build(backbone_cfg(cfg, config))
        states = []
        for path in checkpoints:
            fill_backbone(backbone, path, prefix, f'model.backbone of {config}')
            states.append({k: v.clone() for k, v in backbone.state_dict().items()})
        backbone.load_state_dict({
            k: torch.stack([state[k] for state in states]).mean(0) if v.is_floating_point() else v
            for k, v in states[-1].items()})
        update_bn(islice(_views(cfg), batches), backbone)
    save_backbone(backbone.state_dict(), out, averaged=[str(path) for path in checkpoints])


def _views(cfg: Config) -> Iterator[Tensor]:
    """The first view of every picture, (B, 3, H, W), or the clip of every segment."""
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    preprocess = MODELS.build(preprocessor_cfg(cfg))
    for data in loader:
        inputs = preprocess(data, True)['inputs']
        yield inputs['clip' if isinstance(inputs, Mapping) else 0]
