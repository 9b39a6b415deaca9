"""From a config and a checkpoint to a model or an encoder, filled to the last weight."""
import contextlib
import copy
from typing import Any, Iterator, Mapping, Union

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from mmengine.utils import import_modules_from_strings
from torch import nn

from ..errors import MultiSSLError
from ..models.sound_preprocessor import SoundPreprocessor
from ..registry import MODELS
from ..runtime import drop_pretrained, load_config, preprocessor_cfg, use_pretrained
from ..utils.checkpoint import fill, fill_backbone, load_checkpoint_file, unwrapped
from ..utils.files import AnyPath
from ..utils.logs import warnings_alone
from .encoder import IMAGENET, Encoder, NormalisePixels, ToSpectrograms


def load_encoder(config: Union[AnyPath, Config], checkpoint: AnyPath, device: str = 'cpu',
                 prefix: str = 'backbone.', seed: int = 0) -> Encoder:
    """The backbone of a config, whatever it is, with the weights of a checkpoint: all of them.

    Args:
        config (str | Path | Config): Anything with ``model.backbone``: of this package, of
            mmpretrain, of mmdet, ... A file, or ``mmpretrain::folder/name.py`` of an installed
            package.
        checkpoint (str | Path): File or URL, of a whole model or of the backbone alone (``fc`` of
            such a file, a classifier, is left out); ``random`` or ``none`` for random weights.
        device (str): ``auto`` for what there is. Defaults to ``cpu``.
        prefix (str): Of the backbone's keys in a checkpoint of a whole model.
        seed (int): Of random weights, which depend on nothing else.

    Returns:
        Encoder: In eval mode, without gradients.

    Raises:
        MultiSSLError: If the config has no backbone, or a key is missing, unexpected or of another
            shape; names the file and the keys.
    """
    cfg = _read(config)
    name = cfg.filename or 'the config'
    backbone_cfg = (cfg.get('model') or {}).get('backbone')
    if backbone_cfg is None:
        raise MultiSSLError(f'{name}: has no model.backbone to take features from')
    with _building(cfg, seed):
        backbone = MODELS.build(backbone_cfg)
        if is_random(checkpoint):
            backbone.init_weights()
        else:
            fill_backbone(backbone, checkpoint, prefix, f'model.backbone of {name}')
        encoder = Encoder(backbone, _preparation(cfg), cfg)
    return encoder.to(_device(device))


def load_model(config: Union[AnyPath, Config], checkpoint: AnyPath, device: str = 'cpu',
               seed: int = 0) -> nn.Module:
    """The whole model of a config with the weights of a checkpoint: all of them.

    Args:
        config (str | Path | Config): That the model was trained with; see :func:`load_encoder`.
        checkpoint, device, seed: See :func:`load_encoder`.

    Returns:
        nn.Module: In eval mode. ``dataset_meta`` is what the checkpoint says of the data that it
        was trained on, e.g. ``classes``; empty if it says nothing.

    Raises:
        MultiSSLError: If the config has no model, or a key is missing, unexpected or of another
            shape.
    """
    cfg = _read(config)
    name = cfg.filename or 'the config'
    if not (cfg.get('model') or {}).get('type'):
        raise MultiSSLError(f'{name} has only a backbone (concatenation?); give the config in the '
                            'work directory of a downstream task, or take the features that '
                            'multissl_mm.apis.load_encoder gives')
    meta: Mapping[str, Any] = {}
    with _building(cfg, seed):
        model = MODELS.build(dict(cfg.model, data_preprocessor=preprocessor_cfg(cfg)))
        if is_random(checkpoint):
            model.init_weights()
        else:
            loaded = load_checkpoint_file(checkpoint)
            fill(model, unwrapped(loaded, checkpoint),
                 f'{checkpoint}: does not fit the {type(model).__name__} of {name}',
                 'Give the config that it was trained with: the one in its work directory')
            meta = loaded.get('meta') or {}
    model.dataset_meta = dict(meta.get('dataset_meta') or {})
    return model.to(_device(device)).eval()


def is_random(checkpoint: AnyPath) -> bool:
    """Whether this stands for random weights."""
    return str(checkpoint).lower() in ('none', 'random')


def _read(config: Union[AnyPath, Config]) -> Config:
    """A copy of a config that names no weights but those of the checkpoint to come."""
    cfg = copy.deepcopy(load_config(config))
    cfg = cfg if isinstance(cfg, Config) else Config(cfg)
    if cfg.get('custom_imports'):
        import_modules_from_strings(**cfg.custom_imports)
    use_pretrained(cfg, load=False)
    drop_pretrained(cfg.get('model'))
    return cfg


@contextlib.contextmanager
def _building(cfg: Config, seed: int) -> Iterator[None]:
    """In the config's scope, with random numbers of its own, without MMEngine's line a weight."""
    with warnings_alone(), torch.random.fork_rng(devices=[]), \
            DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        torch.manual_seed(seed)
        yield


def _preparation(cfg: Config) -> Union[NormalisePixels, ToSpectrograms]:
    """What the config's ``data_preprocessor`` does to raw inputs.

    Where there is none it is ImageNet's; one without ``mean``, as YOLOX's, leaves pixels alone.
    """
    preprocessor = preprocessor_cfg(cfg) or {}
    kind = MODELS.get(preprocessor['type']) if preprocessor.get('type') else None
    if isinstance(kind, type) and issubclass(kind, SoundPreprocessor):
        return ToSpectrograms(MODELS.build(preprocessor))
    if not preprocessor:
        return NormalisePixels(**IMAGENET)
    to_rgb = preprocessor.get('to_rgb', preprocessor.get('bgr_to_rgb', False))
    return NormalisePixels(preprocessor.get('mean') or (0., ) * 3,
                           preprocessor.get('std') or (1., ) * 3, to_rgb)


def _device(name: str) -> str:
    return get_device() if name == 'auto' else name
