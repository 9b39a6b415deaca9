"""A config's recipe for batches many times as large as those it was written for."""
import inspect
from typing import Any, Dict, List, Optional, Tuple

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import MODELS

from ..errors import MultiSSLError
from ..utils.names import bare
from ..utils.nested import dicts, located

WARMUP = 10  # epochs
#: From so many base batches on the optimizer becomes one with a rate per layer.
LAYERWISE = 4
#: Batches that a queue holds at least.
QUEUE = 4
#: Of a class and those derived from it: whether its momentum is the share of what is new, and what
#: it is where no config says.
_MOMENTUM: Dict[str, Tuple[bool, Optional[float]]] = {
    'multissl_mm.MultiSSL': (False, .999), 'mmpretrain.CAE': (False, None),
    'mmpretrain.MoCo': (True, .001), 'mmpretrain.DenseCL': (True, .001),
    'mmpretrain.BYOL': (True, None), 'mmpretrain.MoCoV3': (True, None)}


def use_large_batch(cfg: Config, ranks: int) -> Config:
    """Changes all of a pretraining config that depends on the size of the batch.

    With ``r`` the batch of all ranks, accumulation included, over
    ``auto_scale_lr.base_batch_size``:

    ================================  =============================================================
    learning rate of SGD              times ``r``; from ``r = 4`` on LARS, times ``10 r``: the 0.3
                                      for 256 of BYOL and MoCo v3 where SGD has 0.03
    of Adam, AdamW                    times the square root of ``r``; from ``r = 4`` on LAMB
    biases and norms                  with LARS and LAMB no weight decay, and the plain rate
                                      (:class:`PlainNormsConstructor`), unless ``optim_wrapper`` has
                                      a constructor
    warm-up                           linear, 10 epochs of every stage, but at most 30 % of it
    momentum ``m`` of what follows    ``m ** r``: 0.999 at 256 is 0.984 at 4,096, so that an epoch
                                      moves the momentum encoder as far as before; a teacher's and
                                      an algorithm's, too, of which MMPretrain's count ``1 - m``
    queues                            at least 4 batches
    ================================  =============================================================

    A batch no larger than the base changes nothing. The new batch is noted as the base, so that the
    config that a run writes can be used as it is.

    Args:
        cfg (Config): Of a pretraining run; changed in place.
        ranks (int): Processes that train.

    Returns:
        Config: ``cfg``.

    Raises:
        MultiSSLError: If the config says no base, counts steps instead of epochs, or has an
            optimizer, or a model with a momentum, that this recipe does not know.
    """
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    if not base:
        raise MultiSSLError('--large-batch: the config says no auto_scale_lr.base_batch_size to '
                            'scale from')
    batch = (cfg.train_dataloader.batch_size * ranks *
             cfg.optim_wrapper.get('accumulative_counts', 1))
    times = batch / base
    if times <= 1:
        print_log(f'--large-batch: {batch} is no more than base_batch_size {base}; nothing is '
                  'changed', logger='current')
        return cfg
    if not cfg.train_cfg.get('stages') and not cfg.train_cfg.get('max_epochs'):
        raise MultiSSLError('--large-batch: train_cfg has no max_epochs, and the recipe counts its '
                            'warm-up in epochs; give max_epochs instead of max_iters, or change '
                            'rate and warm-up in the config')
    cfg.auto_scale_lr.base_batch_size = batch
    _scale_optimizer(cfg, times)
    cfg.param_scheduler = _warmed(cfg)
    model = cfg.model
    _scale_momentum(cfg, times)
    queues = [node for node in dicts(model) if node.get('queue_len')]
    for node in queues:
        node['queue_len'] = max(node['queue_len'], QUEUE * batch)
    print_log(f'--large-batch: {batch} of base {base}: {cfg.optim_wrapper.optimizer}, momentum '
              f'{model.get("momentum")}, queues {[node["queue_len"] for node in queues]}',
              logger='current')
    return cfg


def _scale_optimizer(cfg: Config, times: float) -> None:
    optimizer = cfg.optim_wrapper.optimizer
    kind = optimizer.type
    if kind not in ('SGD', 'Adam', 'AdamW'):
        raise MultiSSLError(f'--large-batch: optim_wrapper.optimizer is {kind}; the recipe is for '
                            'SGD, Adam and AdamW')
    optimizer.lr *= times if kind == 'SGD' else times**.5
    if times < LAYERWISE:
        return
    if kind == 'SGD':
        optimizer.update(type='mmpretrain.LARS', lr=10 * optimizer.lr)
    else:
        optimizer.type = 'mmpretrain.Lamb'
    cfg.optim_wrapper.setdefault('constructor', 'multissl_mm.PlainNormsConstructor')


def _scale_momentum(cfg: Config, times: float) -> None:
    model = cfg.model
    teacher = model.get('responses') or {}
    if teacher.get('momentum') is not None:
        teacher['momentum'] **= times
    with MODELS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
        for where, node in located(model, 'model'):
            key = 'base_momentum' if 'base_momentum' in node else 'momentum'
            if key == 'momentum' and node is not model and not where.endswith('.algorithm'):
                continue  # that of a norm, say
            kind = node.get('type')
            new, default = _counted(registry.get(kind) if isinstance(kind, str) else kind)
            if new is None and key in node:
                raise MultiSSLError(
                    f'--large-batch: {where}.{key} is of {bare(kind)}, and the recipe does not '
                    'know whether that is the share of what is old or of what is new; leave '
                    '--large-batch out, and change rate, warm-up and momentum in the config')
            momentum = node.get(key, default)
            if momentum is not None:
                pair = isinstance(momentum, (list, tuple))
                scaled = tuple(1 - (1 - m)**times if new else m**times
                               for m in (momentum if pair else [momentum]))
                node[key] = scaled if pair else scaled[0]


def _counted(kind: Any) -> Tuple[Optional[bool], Optional[float]]:
    """What :data:`_MOMENTUM` says of a class; None, None if it is none of these."""
    for cls in getattr(inspect.unwrap(kind), '__mro__', ()):
        found = _MOMENTUM.get(f'{cls.__module__.partition(".")[0]}.{cls.__name__}')
        if found and hasattr(kind, '__wrapped__'):  # MMSelfSup's arguments, see compat
            return False, found[1] and 1 - found[1]
        if found:
            return found
    return None, None


def _warmed(cfg: Config) -> List[Dict[str, Any]]:
    """The schedule, with a warm-up that is counted in iterations."""
    # A first stage of 0 epochs is of a model that is loaded.
    epochs = min(n for n in cfg.train_cfg.get('stages') or [cfg.train_cfg.max_epochs] if n)
    share = min(WARMUP / epochs, .3)
    rules = cfg.get('param_scheduler') or []
    listed: List[Any] = [rules] if isinstance(rules, dict) else list(rules)
    schedule = []
    for rule in listed:
        name = bare(rule.type)
        if name == 'WarmRestartLR':
            rule.update(warmup=max(share, rule.get('warmup', .3)), convert_to_iter_based=True)
        elif name == 'CosineAnnealingLR' and not rule.get('begin', 0):
            schedule.append(dict(type='LinearLR', start_factor=1e-3, begin=0, end=share * epochs,
                                 by_epoch=True, convert_to_iter_based=True))
            rule.update(begin=share * epochs, end=epochs, convert_to_iter_based=True)
            rule.pop('T_max', None)  # to its end, from where it begins now
        schedule.append(rule)
    return schedule
