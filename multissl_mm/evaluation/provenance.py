"""Where a result comes from, as its JSON file says it."""
import hashlib
import os.path as osp
from typing import Any, Dict, Optional, Union

import sklearn
import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info

from ..apis import Encoder, is_random
from ..runtime import git_state, versions


def config_name(config: Union[str, Config]) -> str:
    """What a config is called in results."""
    return config if isinstance(config, str) else config.filename or 'config'


def provenance(config: Union[str, Config], checkpoint: str, encoder: Encoder,
               seed: int) -> Dict[str, Any]:
    """Weights, preparation of pictures, processes, versions and commit of an evaluation.

    Args:
        config, checkpoint, seed: That ``encoder`` was loaded with.
        encoder (Encoder): That is evaluated.
    """
    return dict(config=config_name(config),
                checkpoint='random' if is_random(checkpoint) else checkpoint,
                sha256=_sha256(checkpoint), normalisation=encoder.prepare.settings, seed=seed,
                processes=get_dist_info()[1], threads=torch.get_num_threads(),
                versions=dict(versions(), sklearn=sklearn.__version__), git=git_state())


def default_out(protocol: str, config: Union[str, Config], checkpoint: str,
                ending: str = '') -> str:
    """``work_dirs/<protocol>/<config>/<checkpoint><ending>.json``."""
    stems = [osp.splitext(osp.basename(path.replace('::', '/')))[0]
             for path in (config_name(config), checkpoint)]
    stem = 'random' if is_random(checkpoint) else stems[1]
    return osp.join('work_dirs', protocol, stems[0], f'{stem}{ending}.json')


def _sha256(path: str) -> Optional[str]:
    if not osp.isfile(path):
        return None
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        for block in iter(lambda: f.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()
