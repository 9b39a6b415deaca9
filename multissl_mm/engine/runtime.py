"""From a command line to a runner: what ``tools/train.py`` and ``tools/test.py`` share."""
import argparse
import json
import os
import os.path as osp
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Dict, Iterator, Optional, Sequence, Tuple

import torch
import torch.distributed
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.dist import master_only
from mmengine.hub import get_config
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils import is_installed

from ..errors import MultiSSLError
from ..version import __version__

STRICT_LOAD = 'multissl_mm.StrictLoadHook'
AMP = 'multissl_mm.AmpOptimWrapper'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that every tool with a runner has."""
    parser.add_argument('--work-dir', help='folder of logs and checkpoints '
                        '(default: the config\'s work_dir, else work_dirs/<config>)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
                        help='change entries of the config, e.g. optim_wrapper.optimizer.lr=0.06 '
                        'or key="[a,b]"')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torch.distributed.launch writes it the one way or the other, by version.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')


def load_config(path: str) -> Config:
    """Reads a config: a file, or ``mmdet::folder/name.py`` of an installed package.

    Raises:
        MultiSSLError: If there is no such file or package.
    """
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


def prepare_cfg(cfg: Config, args: argparse.Namespace) -> Config:
    """Applies a command line to a config, and makes the config fit this machine.

    Args:
        cfg (Config): From :func:`load_config`; changed in place.
        args (Namespace): Of ``tools/train.py`` or ``tools/test.py``; what it lacks is not set.

    Returns:
        Config: ``cfg``.

    Raises:
        MultiSSLError: If an option does not fit the config, the machine or the files.
    """
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    testing = bool(getattr(args, 'checkpoint', None))
    encoder = use_pretrained(cfg, load=not testing)
    cfg.launcher = args.launcher
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif not cfg.get('work_dir'):
        names = [args.config.replace('::', '/'), *([encoder] if encoder else [])]
        cfg.work_dir = osp.join('work_dirs', '_'.join(
            osp.splitext(osp.basename(name))[0] for name in names))

    if testing:
        cfg.load_from, cfg.resume = args.checkpoint, False
    if getattr(args, 'resume', None):
        _resume(cfg, args.resume)
    if cfg.get('load_from') and '://' not in cfg.load_from and not osp.isfile(cfg.load_from):
        raise MultiSSLError(f'{cfg.load_from}: no such checkpoint (load_from)')
    if getattr(args, 'no_validate', False):
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if getattr(args, 'auto_scale_lr', False):
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            raise MultiSSLError('--auto-scale-lr: the config says no '
                                'auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    if getattr(args, 'amp', False):
        _use_amp(cfg)
    if not testing and cfg.get('optim_wrapper', {}).get('type') == 'AmpOptimWrapper' and \
            get_device() in ('cpu', 'mps'):
        raise MultiSSLError('optim_wrapper.type AmpOptimWrapper needs a GPU; on the CPU use '
                            f'{AMP}, or --amp, which does')
    if args.launcher != 'none' and get_device() == 'cpu':
        _distribute_on_cpu(cfg)

    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        collate = loader.get('collate_fn')
        if isinstance(collate, dict):  # MMEngine hands an inherited one's scope to the function
            collate.pop('_scope_', None)
        if loader.get('num_workers') == 0:  # torch refuses to keep what is not there
            loader.persistent_workers = False
    hooks = list(cfg.get('custom_hooks') or [])
    if not testing:
        _check_stage_hook(cfg, hooks)
    strict = [hook for hook in hooks if hook.get('type') == STRICT_LOAD]
    if not strict:
        hooks.append(dict(type=STRICT_LOAD, check_init=not testing))
    elif testing:  # what a run leaves as its config would ask for weights that no test loads
        strict[0]['check_init'] = False
    cfg.custom_hooks = hooks
    check_data(cfg, ('test', ) if testing else ('train', 'val'))
    return cfg


def use_pretrained(cfg: Config, load: bool = True) -> Optional[str]:
    """Puts the encoder that ``pretrained`` names into ``model.backbone``, and drops that entry.

    ``pretrained`` has ``config``, a pretraining config, and ``checkpoint``, a file or ``random``.
    What a run writes as its config then needs neither to be tested.

    Args:
        load (bool): Whether the weights will be needed; a test has its own.

    Returns:
        str | None: The pretraining config, where there is one.

    Raises:
        MultiSSLError: If one of them is not there.
    """
    pretrained = cfg.pop('pretrained', None)
    if not isinstance(pretrained, dict):
        return None
    if not load:
        pretrained['checkpoint'] = 'random'
    missing = [key for key in ('config', 'checkpoint') if not pretrained.get(key)]
    if missing:
        raise MultiSSLError(f'pretrained.{missing[0]} is not set; it needs a pretraining config '
                            "and a checkpoint of it ('random' for random weights)")
    checkpoint = pretrained['checkpoint']
    source = (load_config(pretrained['config']).get('model') or {}).get('backbone')
    if source is None:
        raise MultiSSLError(f'pretrained.config: {pretrained["config"]} has no model.backbone')
    for node in dicts(source):  # all weights are of that checkpoint, or random
        node.pop('init_cfg', None)
    if checkpoint != 'random':
        if '://' not in checkpoint and not osp.isfile(checkpoint):
            raise MultiSSLError(f'pretrained.checkpoint: {checkpoint}: no such checkpoint; '
                                "'random' stands for random weights")
        source.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    cfg.model.backbone = source
    return pretrained['config']


def build_runner(cfg: Config, args: argparse.Namespace) -> Runner:
    """Builds the runner and writes ``run_info.json``."""
    if cfg.launcher != 'none' and get_device() == 'cpu':
        _init_gloo(cfg.launcher)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    write_run_info(runner, args.config)
    return runner


def _check_stage_hook(cfg: Config, custom_hooks: Sequence[dict]) -> None:
    kind = str((cfg.get('model') or {}).get('type')).rpartition('.')[2]
    hooks = [*(cfg.get('default_hooks') or {}).values(), *custom_hooks]
    if kind in ('IncrementalLearning', 'ProgressiveNet') and len(cfg.model.get('tasks', [])) > 1 \
            and not any('ILStageHook' in str((hook or {}).get('type')) for hook in hooks):
        raise MultiSSLError(f'{kind} would learn its first task for ever: add default_hooks.stage='
                            "dict(type='multissl_mm.ILStageHook', epochs=[...])")


def _resume(cfg: Config, resume: str) -> None:
    """``auto``: goes on from the newest checkpoint of the work directory, if it has one.

    Where it has none the run starts as it would without the option, from ``load_from`` if the
    config has that (MMEngine would forget it).
    """
    if resume == 'auto':
        resume = _latest_checkpoint(cfg.work_dir)
        if resume is None:
            print(f'[resume] {cfg.work_dir} has no checkpoint yet: the run starts at its beginning')
            return
    cfg.resume, cfg.load_from = True, resume


def _latest_checkpoint(work_dir: str) -> Optional[str]:
    pointer = osp.join(work_dir, 'last_checkpoint')
    if not osp.isfile(pointer):
        return None
    with open(pointer) as f:
        path = f.read().strip()
    # A work directory may have been moved since.
    beside = osp.join(work_dir, osp.basename(path))
    return beside if not osp.isfile(path) and osp.isfile(beside) else path


def _use_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', AMP):
        raise MultiSSLError(f'--amp: optim_wrapper.type is {kind}, which has no mixed precision')
    cfg.optim_wrapper.type = AMP


def _distribute_on_cpu(cfg: Config) -> None:
    """Several processes without an accelerator: gloo, and no device for DDP or synced norms."""
    cfg.merge_from_dict(dict(env_cfg=dict(dist_cfg=dict(backend='gloo'))))
    # Without a wrapper config MMEngine passes device_ids, which torch refuses on the CPU; with one
    # it no longer says broadcast_buffers=False, and every step would send all queues around.
    wrapper = cfg.get('model_wrapper_cfg') or {}
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **wrapper, 'device_ids': None
    }
    changed = [node for node in dicts(cfg.model) if node.get('type') in ('SyncBN', 'MMSyncBN')]
    for node in changed:
        node['type'] = 'multissl_mm.BNXd'
    if changed:
        print('[cpu] SyncBN exists on GPUs only: each process uses BN on its own batch')


def dicts(node: object) -> Iterator[dict]:
    """All dicts of a config, however they are nested."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from dicts(child)


def _init_gloo(launcher: str) -> None:
    """Starts the process group that the runner then finds (MMEngine's own call needs CUDA)."""
    names = dict(slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
                 mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE',
                      'OMPI_COMM_WORLD_LOCAL_RANK')).get(launcher, ())
    for target, source in zip(('RANK', 'WORLD_SIZE', 'LOCAL_RANK'), names):
        os.environ[target] = os.environ.get(source, '0')
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = subprocess.getoutput(
            f'scontrol show hostname {os.environ["SLURM_NODELIST"]} | head -n 1')
    if launcher != 'pytorch':
        os.environ.setdefault('MASTER_PORT', '29500')
    if 'RANK' not in os.environ or 'MASTER_ADDR' not in os.environ:
        raise MultiSSLError(f'--launcher {launcher}: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT '
                            'are not set; start it with tools/dist_train.sh or torchrun')
    torch.distributed.init_process_group('gloo')


# ---------------------------------------------------------------------- data

def check_data(cfg: Config, splits: Sequence[str]) -> None:
    """Looks for the data folders and annotation files that a config names.

    Raises:
        MultiSSLError: Names the key and the path of the first that is not there.
    """
    for split in splits:
        loader = cfg.get(f'{split}_dataloader')
        for where, dataset in _datasets((loader or {}).get('dataset'),
                                        f'{split}_dataloader.dataset'):
            root, ann = dataset.get('data_root') or '', dataset.get('ann_file')
            paths = [('data_root', [root])]
            if isinstance(ann, str) and ann:
                paths.append(('ann_file', [osp.join(root, ann), ann]))
            for key, candidates in paths:
                if isinstance(candidates[0], str) and not any(map(_exists, candidates)):
                    raise MultiSSLError(
                        f'{where}.{key}: {candidates[0]} does not exist; put the data there, or '
                        f'say where they are with --cfg-options {where}.{key}=PATH')


def _datasets(dataset: object, where: str) -> Iterator[Tuple[str, dict]]:
    """A dataset's config and those that it wraps, with their keys."""
    if isinstance(dataset, dict):
        yield where, dataset
        yield from _datasets(dataset.get('dataset'), f'{where}.dataset')
        for i, child in enumerate(dataset.get('datasets') or []):
            yield from _datasets(child, f'{where}.datasets.{i}')


def _exists(path: str) -> bool:
    return not path or '://' in path or osp.exists(path)


# ---------------------------------------------------------------------- run_info.json

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
        with open(osp.join(folder, 'run_info.json'), 'w') as f:
            f.write(text)


def versions() -> Dict[str, str]:
    """Versions of Python and of the packages that results depend on; what is absent is left out."""
    found = dict(python=platform.python_version(), multissl_mm=__version__)
    names = ('torch', 'torchvision', 'numpy', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet')
    maintained = dict(mmdet='onedl-mmdetection', **{n: f'onedl-{n}' for n in names[3:6]})
    for name in names:
        for dist in (name, maintained.get(name)):
            try:
                found[name] = f'{version(dist)}' + (f' ({dist})' if dist != name else '')
                break
            except (PackageNotFoundError, TypeError, ValueError):
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

