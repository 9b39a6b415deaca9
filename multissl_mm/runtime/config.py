"""Configs: reading them, and going through them."""
import os
import os.path as osp
from typing import Any, Iterator, Union

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.utils import is_installed

from ..errors import MultiSSLError
from ..utils.files import AnyPath


def load_config(path: Union[AnyPath, Config]) -> Config:
    """Reads a config: a file, or ``mmdet::folder/name.py`` of an installed package.

    One that has been read already is given back.

    Raises:
        MultiSSLError: If there is no such file or package.
    """
    if not isinstance(path, (str, os.PathLike)):
        return path
    path = os.fspath(path)
    if '::' not in path:
        if not osp.isfile(path):
            raise MultiSSLError(f'{path}: no such config')
        return Config.fromfile(path)
    package = path.partition('::')[0]
    if not is_installed(package):
        raise MultiSSLError(f'{path}: the package {package} is not installed')
    try:
        return get_config(path)
    except (AssertionError, FileNotFoundError, ValueError) as e:
        raise MultiSSLError(f'{path}: {package} has no such config ({e})') from e


def preprocessor_cfg(cfg: Config) -> Any:
    """The entry of a config's data preprocessor, the model's own before others', as Runner does."""
    return (cfg.get('model') or {}).get('data_preprocessor') or cfg.get('data_preprocessor')


def dicts(node: object) -> Iterator[dict]:
    """All dicts of a config, however they are nested."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from dicts(child)


def drop_pretrained(node: object) -> None:
    """Takes out of a config, in place, what names weights to load: they come from elsewhere.

    Other ways to initialise stay.
    """
    for child in dicts(node):
        child.pop('pretrained', None)
        if 'Pretrained' in str(child.get('init_cfg')):
            child.pop('init_cfg')
