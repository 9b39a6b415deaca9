"""Where a result comes from, as its JSON file says it."""
import inspect
import json
import os.path as osp
from typing import Any, Callable, Dict, Mapping, Optional, Union

import sklearn
import torch
from mmengine.config import Config
from mmengine.dist import get_dist_info

from ..apis import Encoder, is_random
from ..runtime import git_state, versions
from ..utils.digest import digest, file_digest
from ..utils.files import AnyPath, write_atomically


def provenance(config: Union[AnyPath, Config], checkpoint: AnyPath, encoder: Encoder,
               seed: int) -> Dict[str, Any]:
    """Weights, preparation of pictures, processes, versions and commit of an evaluation.

    Args:
        config, checkpoint, seed: That ``encoder`` was loaded with.
        encoder (Encoder): That is evaluated.
    """
    return dict(config=(config.filename or 'config') if isinstance(config, Config) else str(config),
                checkpoint='random' if is_random(checkpoint) else str(checkpoint),
                sha256=file_digest(checkpoint) if osp.isfile(checkpoint) else None,
                normalisation=encoder.prepare.settings, seed=seed,
                processes=get_dist_info()[1], threads=torch.get_num_threads(),
                versions=dict(versions(), sklearn=sklearn.__version__), git=git_state())


def settings_ending(run: Callable, **settings: Any) -> str:
    """For the name of a result: ``_<digest>`` of settings that are not a run's defaults, if any.

    Args:
        run (callable): With the defaults.
        settings: What the numbers depend on, by the names of its arguments.
    """
    own = {key: list(value) if isinstance(value, (list, tuple)) else value
           for key, value in settings.items()}
    for key, parameter in inspect.signature(run).parameters.items():
        usual = parameter.default
        if key in own and own[key] == (list(usual) if isinstance(usual, tuple) else usual):
            del own[key]
    return f'_{digest(own)[:8]}' if own else ''


def write_result(result: Mapping[str, Any], protocol: str, ending: str = '',
                 out: Optional[AnyPath] = None) -> str:
    """Writes the JSON file of a result.

    Args:
        result (mapping): With what :func:`provenance` says.
        protocol (str): Of the evaluation, a folder of the default file.
        ending (str): Of the default file's name.
        out (str, optional): By default
            ``work_dirs/<protocol>/<config>/<checkpoint>_<digest><ending>.json``. The digest is
            that of the checkpoint: those of different runs may have the same name.

    Returns:
        str: The file.
    """
    config, checkpoint = (osp.splitext(osp.basename(result[key].replace('::', '/')))[0]
                          for key in ('config', 'checkpoint'))
    weights = f'_{result["sha256"][:8]}' if result['sha256'] else ''
    default = osp.join('work_dirs', protocol, config, f'{checkpoint}{weights}{ending}.json')
    out = str(out or default)
    write_atomically(out, json.dumps(result, indent=2, allow_nan=False) + '\n')
    return out
