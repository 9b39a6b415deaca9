"""A command line applied to a config: what ``tools/train.py`` and ``tools/test.py`` share."""
import argparse
import os
import os.path as osp
from typing import Optional

from mmengine.config import Config, DictAction
from mmengine.device import get_device

from ..errors import MultiSSLError
from .checks import check_data, check_stage_hook
from .config import dicts, load_config
from .launch import distribute_on_cpu

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
        distribute_on_cpu(cfg)

    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader') or {}
        collate = loader.get('collate_fn')
        if isinstance(collate, dict):  # MMEngine hands an inherited one's scope to the function
            collate.pop('_scope_', None)
        if loader.get('num_workers') == 0:  # torch refuses to keep what is not there
            loader.persistent_workers = False
    hooks = list(cfg.get('custom_hooks') or [])
    if not testing:
        check_stage_hook(cfg, hooks)
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
