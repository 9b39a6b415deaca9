"""Keys of a config that nothing would read, found before anything is built."""
import inspect
import logging
from typing import Any, Callable, Dict, Optional, Set, Tuple

import mmengine.registry as registries
from mmengine.config import Config
from mmengine.dist import init_dist
from mmengine.hooks import CheckpointHook
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import (
    EpochBasedTrainLoop,
    IterBasedTrainLoop,
    Runner,
    TestLoop,
    ValLoop,
    set_random_seed,
)
from mmengine.utils.dl_utils import set_multi_processing
from torch.distributed import init_process_group
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from ..errors import MultiSSLError
from ..utils.names import arguments, bare, nearest, or_unregistered, parameters
from ..utils.nested import dicts, located

#: Top-level entries that MMEngine, MMPretrain, MMDetection or this package read.
ENTRIES = {*inspect.signature(Runner).parameters, 'custom_imports', 'runner_type', 'pretrained',
           'find_unused_parameters', 'model_wrapper_cfg', 'vis_backends', 'compile', 'sync_bn',
           'activation_checkpointing', 'efficient_conv_bn_eval'}
#: What is built from each of them, in order of where a name is looked for.
BUILT: Dict[str, Tuple[Registry, ...]] = {
    **dict.fromkeys(('model', 'data_preprocessor'), (registries.MODELS, )),
    'visualizer': (registries.VISUALIZERS, registries.VISBACKENDS),
    'train_cfg': (registries.LOOPS, ), 'val_cfg': (registries.LOOPS, ),
    'test_cfg': (registries.LOOPS, ),
    'param_scheduler': (registries.PARAM_SCHEDULERS, ),
    'optim_wrapper': (registries.OPTIM_WRAPPERS, ),
    **dict.fromkeys(('default_hooks', 'custom_hooks'),
                    (registries.HOOKS, registries.DATASETS, registries.TRANSFORMS)),
    **dict.fromkeys(('train_dataloader', 'val_dataloader', 'test_dataloader'),
                    (registries.DATASETS, registries.DATA_SAMPLERS, registries.TRANSFORMS)),
    **dict.fromkeys(('val_evaluator', 'test_evaluator'), (registries.METRICS, ))}
#: Classes of these packages say by their signatures what they take; others' builders may not.
KNOWN_PACKAGES = ('multissl_mm', 'mmengine')
#: Keys that builders read and constructors do not.
BUILDERS_KEYS = {
    'type', 'name', '_scope_', '_delete_', 'priority', 'convert_to_iter_based', 'by_epoch',
    'optimizer', 'constructor', 'paramwise_cfg'}
_LOADER = parameters(DataLoader) | {'num_batch_per_epoch'}
#: What takes the arguments that a class hands on.
HANDED_ON: Dict[type, Callable] = {CheckpointHook: Runner.save_checkpoint}
#: What entries take that have no type of their own.
PLAIN: Dict[str, Set[str]] = {
    'train_dataloader': _LOADER, 'val_dataloader': _LOADER, 'test_dataloader': _LOADER,
    'train_cfg': parameters(EpochBasedTrainLoop, IterBasedTrainLoop),
    'val_cfg': parameters(ValLoop), 'test_cfg': parameters(TestLoop),
    'optim_wrapper': parameters(OptimWrapper),
    'optim_wrapper.clip_grad': parameters(clip_grad_norm_, clip_grad_value_),
    'optim_wrapper.paramwise_cfg': {
        'custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult', 'dwconv_decay_mult',
        'dcn_offset_lr_mult', 'flat_decay_mult', 'bypass_duplicate',
        '_delete'},  # of some configs of MMDetection, which mean _delete_
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'env_cfg.mp_cfg': parameters(set_multi_processing),
    'env_cfg.dist_cfg': parameters(init_dist, init_process_group) | {'port'},
    'randomness': parameters(set_random_seed), 'auto_scale_lr': {'enable', 'base_batch_size'}}
#: What is looked up by a name alone.
NAMED: Dict[str, Registry] = {
    'optim_wrapper.optimizer': registries.OPTIMIZERS,
    **dict.fromkeys((f'{split}_dataloader.collate_fn' for split in ('train', 'val', 'test')),
                    registries.FUNCTIONS)}


def check_keys(cfg: Config) -> None:
    """Looks for keys that nothing reads, at any depth, and for names of nothing.

    A config file may have variables of any name; of those only misspelt entries are noticed.
    Deeper, all keys of what MMEngine reads, and all arguments of classes of MMEngine and of this
    package are known.

    Raises:
        MultiSSLError: Names the first key and the nearest one that is known.
    """
    for key in set(cfg) - ENTRIES:
        near = nearest(key, ENTRIES, .85)
        # val_evaluator_b is a variable of which an entry is made, and so is what occurs elsewhere.
        if near and not key.startswith(f'{near}_') and not _occurs(cfg, key):
            raise MultiSSLError(f'the config has an entry {key}, which nothing reads; is it '
                                f'{near}?')
    _check_loop(cfg.get('train_cfg') or {})
    _check_hooks(cfg)
    _check_loaders(cfg)
    _check_names(cfg)
    for key, known in PLAIN.items():
        entry, node = cfg.get(key.partition('.')[0]), _at(cfg, key)
        # A constructor reads what it likes.
        if isinstance(node, dict) and 'constructor' not in entry and not (
                node is entry and 'type' in entry):
            _refuse_unknown(node, known | BUILDERS_KEYS, key)
    for key in ENTRIES & set(cfg):
        for where, node in located(cfg[key], key):
            # That of a norm, a convolution, ... has a builder that reads keys of its own.
            if 'type' not in node or where != key and where.endswith('_cfg'):
                continue
            accepted = _accepted(node, BUILT.get(key, ()))
            if accepted is not None:
                _refuse_unknown(node, accepted | BUILDERS_KEYS, where)


def _check_loop(loop: dict) -> None:
    """What MMEngine refuses by a RuntimeError, and what no loop but one reads."""
    kind = bare(loop.get('type', 'EpochBasedTrainLoop'))
    if loop.get('stages') and kind in ('EpochBasedTrainLoop', 'IterBasedTrainLoop',
                                       'EpochTrainLoop'):
        raise MultiSSLError(
            f'train_cfg.stages: stages are counted in epochs, by multissl_mm.StagedTrainLoop and '
            f'not by {kind}; leave train_cfg.type as the config has it, or leave stages out')
    if 'type' in loop and 'by_epoch' in loop and not (
            kind == 'EpochBasedTrainLoop' and loop['by_epoch']):
        raise MultiSSLError(f'train_cfg.by_epoch: train_cfg.type is {kind}, which says what is '
                            'counted; leave by_epoch out')


def _check_hooks(cfg: Config) -> None:
    hooks = cfg.get('default_hooks') or {}
    for name, hook in hooks.items():
        if isinstance(hook, dict) and 'type' not in hook:
            near = nearest(name, set(hooks) - {name})
            raise MultiSSLError(f'default_hooks.{name} has no type, so there is no such hook' +
                                (f'; is it {near}?' if near else ''))
    custom = cfg.get('custom_hooks') or []
    if isinstance(custom, dict):  # as an option makes it where there is no list
        raise MultiSSLError(f'custom_hooks.{next(iter(custom))}: the config has no such list of '
                            'hooks; add one in a config file, custom_hooks=[dict(type=...)]')
    for i, hook in enumerate(custom):
        if isinstance(hook, str) or isinstance(hook, dict) and 'type' not in hook:
            raise MultiSSLError(f'custom_hooks.{i} is {hook}, but a hook is a dict with a type')


def _check_loaders(cfg: Config) -> None:
    for split in ('train', 'val', 'test'):
        loader = cfg.get(f'{split}_dataloader')
        if isinstance(loader, dict) and loader and 'dataset' not in loader:
            raise MultiSSLError(f'{split}_dataloader.{next(iter(loader))}: the config has no '
                                f'{split}_dataloader.dataset, so there is nothing to load')


def _check_names(cfg: Config) -> None:
    """Names that MMEngine looks up and then uses without a look."""
    level = cfg.get('log_level') or 'INFO'
    if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
        raise MultiSSLError(f'log_level: there is no {level}; there are DEBUG, INFO, WARNING, '
                            'ERROR and CRITICAL')
    for where in NAMED:  # a test needs no optimizer, and MMDetection has configs with one of others
        _check_named(cfg, where, needed=False)


def check_optimizer(cfg: Config) -> None:
    """Looks for the optimizer, which is built after all else.

    Raises:
        MultiSSLError: If there is none of its name.
    """
    _check_named(cfg, 'optim_wrapper.optimizer', needed=True)


def _check_named(cfg: Config, where: str, needed: bool) -> None:
    """Refuses a name of nothing; of what is not needed only one that is like another."""
    registry, name = NAMED[where], (_at(cfg, where) or {}).get('type')
    if not isinstance(name, str) or _lookup(registry, name) is not None:
        return
    near = nearest(name, registry.module_dict)
    if near or needed:
        with registry.switch_scope_and_registry(cfg.get('default_scope')) as own:
            if own.get(name) is None:
                raise MultiSSLError(f'{where}.type: there is no {name}; {or_unregistered(near)}')


def _at(cfg: Config, where: str) -> Any:
    """The dict at a dotted key; None if there is none."""
    node: Any = cfg
    for key in where.split('.'):
        node = node.get(key) if isinstance(node, (dict, Config)) else None
    return node if isinstance(node, dict) else None


def _occurs(cfg: Config, key: str) -> bool:
    """Whether a dict or list of a config is a part of another entry, too."""
    value = cfg[key]
    return bool(value) and isinstance(value, (dict, list, tuple)) and any(
        value == part for other in cfg if other != key
        for node in dicts(cfg[other]) for part in (node, *node.values()))


def _refuse_unknown(node: dict, known: Set[str], where: str) -> None:
    for key in node:
        if key not in known:
            near = nearest(key, known - BUILDERS_KEYS)
            of = f' of {node["type"]}' if isinstance(node.get('type'), str) else ''
            raise MultiSSLError(
                f'{where}.{key}: there is no such key{of}; ' +
                (f'is it {near}?' if near else
                 f'there are {", ".join(sorted(known - BUILDERS_KEYS))}'))


def _accepted(node: dict, built: Tuple[Registry, ...]) -> Optional[Set[str]]:
    """The arguments of what a dict is to become; None if they are not known."""
    kind = node['type']
    if isinstance(kind, str):
        found = (_lookup(registry, kind) for registry in built)
        kind = next((cls for cls in found if cls is not None), None)
    if not inspect.isclass(kind) or kind.__module__.partition('.')[0] not in KNOWN_PACKAGES:
        return None
    accepted, others = arguments(kind, HANDED_ON)
    return None if others else accepted


def _lookup(registry: Registry, name: str) -> Optional[type]:
    """A class of MMEngine or of this package; packages of others are not imported for it."""
    package, _, bare = name.rpartition('.')
    found = registry if package in ('', 'mmengine') else registry.children.get(package)
    if found is None or package not in ('', *KNOWN_PACKAGES):
        return None
    found.import_from_location()
    return found.module_dict.get(bare)
