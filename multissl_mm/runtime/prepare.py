"""Options applied to a config: what training and testing share."""
import os.path as osp
from typing import Any, List, Optional

from mmengine.config import Config
from mmengine.device import get_device

from ..errors import MultiSSLError
from ..utils.names import bare
from .cfg_options import apply_options
from .checks import (
    check_checkpoint_hook,
    check_numbers,
    check_recomputing,
    check_stage_hook,
    check_temporary,
)
from .config import drop_pretrained, load_config
from .config_keys import check_keys, check_optimizer
from .data_checks import check_data
from .options import RunOptions
from .processes import distribute_on_cpu, set_environment

STRICT_LOAD = 'multissl_mm.StrictLoadHook'
LEFT_OUT = 'multissl_mm.LeftOutHook'
INTERRUPTION = 'multissl_mm.InterruptionHook'
HEARTBEAT = 'multissl_mm.HeartbeatHook'
EPOCHS = 'multissl_mm.EpochTrainLoop'
#: What makes the spectrograms that an encoder is used to.
SPECTROGRAM = ('n_fft', 'win_length', 'hop_length', 'floor', 'bands')
AMP = 'multissl_mm.AmpOptimWrapper'


def prepare_cfg(cfg: Config, options: RunOptions) -> Config:
    """Applies options to a config, and makes the config fit this machine.

    Args:
        cfg (Config): From :func:`load_config`; changed in place.
        options (RunOptions): Of the run. ``resume`` is applied later, by
            :func:`choose_checkpoint`, when the processes can talk to each other.

    Returns:
        Config: ``cfg``.

    Raises:
        MultiSSLError: If an option does not fit the config, the machine or the files.
    """
    testing = options.checkpoint is not None
    set_environment(options.launcher, options.local_rank)
    cfg.launcher = options.launcher
    apply_options(cfg, options.cfg_options)
    encoder = use_pretrained(cfg, load=not testing)
    if options.work_dir:
        cfg.work_dir = options.work_dir
    elif not cfg.get('work_dir'):
        names = [options.config.replace('::', '/'), *([encoder] if encoder else [])]
        cfg.work_dir = osp.join('work_dirs', '_'.join(
            osp.splitext(osp.basename(name))[0] for name in names))

    if testing:
        cfg.load_from, cfg.resume = options.checkpoint, False
    else:
        _prepare_training(cfg, options)
    _add_hooks(cfg, [HEARTBEAT] * (options.launcher != 'none'))
    if options.launcher != 'none' and get_device() == 'cpu':
        distribute_on_cpu(cfg)
    for split in ('train', 'val', 'test'):
        _prepare_loader(cfg.get(f'{split}_dataloader') or {})
    cfg.custom_hooks = _with_strict_load(list(cfg.get('custom_hooks') or []), testing)
    check_keys(cfg)
    check_numbers(cfg)
    check_temporary()
    check_data(cfg, ('test', ) if testing else ('train', 'val'))
    return cfg


def _prepare_training(cfg: Config, options: RunOptions) -> None:
    if options.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if options.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise MultiSSLError('--auto-scale-lr: the config says no '
                                'auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    if options.amp:
        _use_amp(cfg)
    if (cfg.get('optim_wrapper') or {}).get('type') == 'AmpOptimWrapper' and \
            get_device() in ('cpu', 'mps'):
        raise MultiSSLError('optim_wrapper.type AmpOptimWrapper needs a GPU; on the CPU use '
                            f'{AMP}, or --amp, which does')
    check_stage_hook(cfg)
    check_recomputing(cfg)
    check_checkpoint_hook(cfg)
    check_optimizer(cfg)
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    _add_hooks(cfg, [LEFT_OUT] * bool(dataset.get('max_skip')) + [INTERRUPTION])
    loop = cfg.get('train_cfg') or {}
    if loop.get('by_epoch') or _mmengines_epochs(loop.get('type')):
        loop.pop('by_epoch', None)
        loop['type'] = EPOCHS


def _mmengines_epochs(kind: Any) -> bool:
    """Whether a type is MMEngine's loop itself, which another package's may be called like."""
    package = getattr(kind, '__module__', str(kind)).partition('.')[0]
    return bare(kind) == 'EpochBasedTrainLoop' and package in ('mmengine', bare(kind))


def _add_hooks(cfg: Config, wanted: List[str]) -> None:
    hooks = list(cfg.get('custom_hooks') or [])
    there = [bare(hook.get('type')) for hook in hooks]
    cfg.custom_hooks = hooks + [dict(type=name) for name in wanted if bare(name) not in there]


def _prepare_loader(loader: dict) -> None:
    collate = loader.get('collate_fn')
    if isinstance(collate, dict):  # MMEngine hands an inherited one's scope to the function
        collate.pop('_scope_', None)
    if loader.get('num_workers') == 0:  # torch refuses to keep what is not there
        loader['persistent_workers'] = False
    if loader.get('pin_memory') and get_device() == 'cpu':  # torch would warn in every epoch
        loader['pin_memory'] = False


def _with_strict_load(hooks: List[dict], testing: bool) -> List[dict]:
    strict = [hook for hook in hooks if bare(hook.get('type')) == bare(STRICT_LOAD)]
    if not strict:
        hooks.append(dict(type=STRICT_LOAD, check_init=not testing))
    elif testing:  # what a run leaves as its config would ask for weights that no test loads
        strict[0]['check_init'] = False
    return hooks


def use_pretrained(cfg: Config, load: bool = True) -> Optional[str]:
    """Puts the encoder that ``pretrained`` names into ``model.backbone``, and drops that entry.

    ``pretrained`` has ``config``, a pretraining config, and ``checkpoint``, a file or ``random``.
    What a run writes as its config then needs neither to be tested. An encoder of sound is given
    spectrograms like those that it was pretrained on, whatever the config at hand has; those that
    are to be predicted (S3R) stay as they are, so that encoders can be compared.

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
    pretraining = load_config(pretrained['config'])
    source = (pretraining.get('model') or {}).get('backbone')
    if source is None:
        raise MultiSSLError(f'pretrained.config: {pretrained["config"]} has no model.backbone')
    drop_pretrained(source)  # all weights are of that checkpoint, or random
    if checkpoint != 'random':
        if '://' not in checkpoint and not osp.isfile(checkpoint):
            raise MultiSSLError(f'pretrained.checkpoint: {checkpoint}: no such checkpoint; '
                                "'random' stands for random weights")
        source.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
    cfg.model.backbone = source
    _hear_alike(cfg.get('data_preprocessor') or {}, pretraining.get('data_preprocessor') or {})
    return pretrained['config']


def _hear_alike(ours: dict, theirs: dict) -> None:
    if 'n_fft' not in ours or 'n_fft' not in theirs:  # pictures, or a config that is not whole
        return
    if ours.get('spectra'):
        for key in SPECTROGRAM[:2]:
            ours.setdefault(f'spectra_{key}', ours.get(key))
    for key in SPECTROGRAM:  # what theirs leaves to its default, too
        ours.pop(key, None)
    ours.update({key: theirs[key] for key in SPECTROGRAM if key in theirs})


def _use_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', AMP):
        raise MultiSSLError(f'--amp: optim_wrapper.type is {kind}, which has no mixed precision')
    cfg.optim_wrapper.type = AMP
