"""What one needs to repeat a run."""
import json
import os
import os.path as osp
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Dict, Optional, Tuple

import torch
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.runner import Runner

from ..utils.files import write_atomically
from ..version import __version__


@master_only
def write_run_info(runner: Runner, config: str) -> None:
    """Writes what one needs to repeat a run: beside its log, and as the newest of the work dir."""
    env = {name: os.environ[name] for name in ('NNODES', 'NODE_RANK') if name in os.environ}
    info = dict(
        command=shlex.join([sys.executable, *sys.argv]),
        config=config,
        date=time.strftime('%Y-%m-%d %H:%M:%S %z'),
        seed=runner.seed,
        world_size=runner.world_size,
        launcher=runner.launcher,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else get_device(),
        versions=versions(),
        git=git_state(),
        **env)
    text = json.dumps(info, indent=2) + '\n'
    for folder in (runner.log_dir, runner.work_dir):
        write_atomically(osp.join(folder, 'run_info.json'), text, durable=False)


def versions() -> Dict[str, str]:
    """Versions of Python and of the packages that results depend on; what is absent is left out."""
    found = dict(python=platform.python_version(), multissl_mm=__version__)
    packages: Dict[str, Tuple[str, ...]] = {
        **{name: (name, ) for name in ('torch', 'torchvision', 'numpy')},
        # The original distribution, then the maintained one.
        **{name: (name, f'onedl-{name}') for name in ('mmengine', 'mmcv', 'mmpretrain')},
        'mmdet': ('mmdet', 'onedl-mmdetection')
    }
    for name, distributions in packages.items():
        for distribution in distributions:
            try:
                note = '' if distribution == name else f' ({distribution})'
                found[name] = version(distribution) + note
                break
            except PackageNotFoundError:
                continue
    return found


def git_state() -> Optional[Dict[str, object]]:
    """Commit of the checkout that this package runs from, and whether it has changes since."""
    root = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
    if not osp.exists(osp.join(root, '.git')):
        return None

    def git(*command: str) -> str:
        return subprocess.run(['git', '-C', root, *command], capture_output=True, text=True,
                              timeout=30, check=True).stdout.strip()

    try:
        return dict(commit=git('rev-parse', 'HEAD'), dirty=bool(git('status', '--porcelain')))
    except (OSError, subprocess.SubprocessError):
        return None
