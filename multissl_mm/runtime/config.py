"""Configs as files, and their entries that several rooms read."""
import os
import os.path as osp
from importlib.util import find_spec
from typing import Any, Union

from mmengine.config import Config
from torch import nn

from ..errors import MultiSSLError
from ..registry import MODELS
from ..utils.files import AnyPath
from ..utils.nested import dicts


def load_config(path: Union[AnyPath, Config]) -> Config:
    """Reads a config: a file, or ``mmdet::folder/name.py`` of an installed package.

    One that has been read already is given back.

    Raises:
        MultiSSLError: If there is no such file or package, the config cannot be read, or it is one
            of MMSelfSup 0.x.
    """
    if not isinstance(path, (str, os.PathLike)):
        return path
    path = os.fspath(path)
    package, of_package, name = path.partition('::')
    file = osp.join(_package_folder(package, path), '.mim', 'configs', name) if of_package else path
    if not osp.isfile(file):
        raise MultiSSLError(f'{path}: {package} has no such config' if of_package else
                            f'{path}: no such config')
    try:
        cfg = Config.fromfile(file)
    except Exception as e:  # a config is a program, of somebody else
        raise MultiSSLError(f'{path}: this config cannot be read: {type(e).__name__}: {e}') from e
    _check_generation(cfg)
    if of_package and 'default_scope' not in cfg:  # as of MMPretrain's headless models
        cfg.default_scope = package
    return cfg


def _check_generation(cfg: Config) -> None:
    data = cfg.get('data')
    if 'train_dataloader' not in cfg and (
            isinstance(data, dict) and ('samples_per_gpu' in data or 'train' in data) or
            'optim_wrapper' not in cfg and {'runner', 'optimizer'} <= set(cfg)):
        raise MultiSSLError(f'{cfg.filename} is one of MMSelfSup 0.x (with entries such as `data`, '
                            '`runner` and `optimizer`); configs of 1.x run, see '
                            'https://mmselfsup.readthedocs.io/en/latest/migration.html')


def _package_folder(package: str, path: str) -> str:
    # MMEngine's `get_config` knows four packages, looks through the list of all models of one, and
    # refuses folders such as `gn+ws`.
    spec = find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise MultiSSLError(f'{path}: the package {package} is not installed')
    return next(iter(spec.submodule_search_locations))


def preprocessor_cfg(cfg: Config) -> Any:
    """The entry of a config's data preprocessor, the model's own before others', as Runner does."""
    return (cfg.get('model') or {}).get('data_preprocessor') or cfg.get('data_preprocessor')


def build_preprocessor(cfg: Config) -> nn.Module:
    """A config's data preprocessor, in the present scope; one that changes nothing if it has none.
    """
    model, found = cfg.get('model') or {}, preprocessor_cfg(cfg)
    if found and not found.get('type'):  # the model knows of what kind
        return MODELS.build(dict(model, data_preprocessor=found)).data_preprocessor
    return MODELS.build(found or dict(type='BaseDataPreprocessor'))


def drop_pretrained(node: object) -> None:
    """Takes out of a config, in place, what names weights to load: they come from elsewhere.

    Other ways to initialise stay.
    """
    for child in dicts(node):
        child.pop('pretrained', None)
        if 'Pretrained' in str(child.get('init_cfg')):
            child.pop('init_cfg')
