"""Keys of a config that nothing would read, found before anything is built."""
import difflib
import inspect
from typing import Any, Callable, Dict, Iterable, Iterator, Optional, Set, Tuple

import mmengine.registry as registries
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, set_random_seed
from torch.utils.data import DataLoader

from ..errors import MultiSSLError

#: Top-level entries that MMEngine, MMPretrain, MMDetection or this package read.
ENTRIES = {*inspect.signature(Runner).parameters, 'custom_imports', 'runner_type', 'pretrained',
           'find_unused_parameters', 'model_wrapper_cfg', 'vis_backends', 'compile', 'sync_bn',
           'activation_checkpointing', 'efficient_conv_bn_eval'}
#: What is built from each of them, in order of where a name is looked for.
BUILT: Dict[str, Tuple[Registry, ...]] = {
    'model': (registries.MODELS, ),
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


def _parameters(*functions: Callable) -> Set[str]:
    return {name for function in functions for name in inspect.signature(function).parameters}


_LOADER = _parameters(DataLoader) | {'num_batch_per_epoch'}
#: What entries take that have no type of their own.
PLAIN: Dict[str, Set[str]] = {
    'train_dataloader': _LOADER, 'val_dataloader': _LOADER, 'test_dataloader': _LOADER,
    'train_cfg': _parameters(EpochBasedTrainLoop, IterBasedTrainLoop),
    'optim_wrapper': _parameters(OptimWrapper),
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'randomness': _parameters(set_random_seed), 'auto_scale_lr': {'enable', 'base_batch_size'}}


def check_generation(cfg: Config) -> None:
    """Refuses configs of MMSelfSup 0.x.

    Raises:
        MultiSSLError: Says what runs.
    """
    if 'train_dataloader' not in cfg and isinstance(cfg.get('data'), dict) and (
            'samples_per_gpu' in cfg.data or 'train' in cfg.data):
        raise MultiSSLError(f'{cfg.filename or "the config"} is one of MMSelfSup 0.x (its data are '
                            'in `data`); configs of 1.x run, see '
                            'https://mmselfsup.readthedocs.io/en/latest/migration.html')


def check_keys(cfg: Config) -> None:
    """Looks for keys that nothing reads, at any depth.

    A config file may have variables of any name; of those only misspelt entries are noticed.
    Deeper, all keys of what MMEngine reads, and all arguments of classes of MMEngine and of this
    package are known.

    Raises:
        MultiSSLError: Names the first key and the nearest one that is known.
    """
    for key in cfg:
        near = nearest(key, ENTRIES, .9)
        if key not in ENTRIES and near and isinstance(cfg[key], (dict, list)):
            raise MultiSSLError(f'the config has an entry {key}, which nothing reads; is it '
                                f'{near}?')
    for key in ENTRIES & set(cfg):
        # A constructor reads what it likes.
        if key in PLAIN and isinstance(cfg[key], dict) and not {'type', 'constructor'} & set(
                cfg[key]):
            _refuse_unknown(cfg[key], PLAIN[key] | BUILDERS_KEYS, key)
        for where, node in _nodes(cfg[key], key):
            if where != key and where.endswith('_cfg'):  # of a norm, a convolution, ...: its
                continue  # builder reads keys of its own
            accepted = _accepted(node, BUILT.get(key, ()))
            if accepted is not None:
                _refuse_unknown(node, accepted | BUILDERS_KEYS, where)


def check_options(cfg: Config, options: Dict[str, Any]) -> None:
    """Looks at what ``--cfg-options`` is to change, before it does.

    Raises:
        MultiSSLError: If an option names an entry that there is not, or a comma has split a text.
    """
    for option, value in options.items():
        first, *rest = option.split('.')
        if first not in cfg and first not in ENTRIES:
            near = nearest(first, ENTRIES | set(cfg))
            raise MultiSSLError(f'--cfg-options {option}: the config has no {first}' +
                                (f'; is it {".".join([near, *rest])}?' if near else ''))
        before: Any = cfg.get(first)
        for key in rest:
            before = before.get(key) if isinstance(before, dict) else \
                before[int(key)] if isinstance(before, list) and key.isdigit() and \
                int(key) < len(before) else None
        if isinstance(value, list) and (isinstance(before, str) or option == 'load_from'):
            text = ','.join(map(str, value))
            raise MultiSSLError(
                f'--cfg-options {option}: a text is wanted, but commas make a list of {text}; '
                f'''write it in quotes that the shell leaves: {option}="'{text}'"''')


def nearest(name: str, known: Iterable[str], cutoff: float = .6) -> Optional[str]:
    """The known name that is most like a misspelt one, if any is."""
    return next(iter(difflib.get_close_matches(name, sorted(known), 1, cutoff)), None)


def _refuse_unknown(node: dict, known: Set[str], where: str) -> None:
    for key in node:
        if key not in known:
            near = nearest(key, known - BUILDERS_KEYS)
            of = f' of {node["type"]}' if isinstance(node.get('type'), str) else ''
            raise MultiSSLError(
                f'{where}.{key}: there is no such key{of}; ' +
                (f'is it {near}?' if near else
                 f'there are {", ".join(sorted(known - BUILDERS_KEYS))}'))


def _nodes(node: Any, where: str) -> Iterator[Tuple[str, dict]]:
    """All dicts with a type, and where in the config they are."""
    if isinstance(node, dict):
        if 'type' in node:
            yield where, node
        children: Iterable[Tuple[Any, Any]] = list(node.items())
    elif isinstance(node, (list, tuple)):
        children = enumerate(node)
    else:
        return
    for key, child in children:
        yield from _nodes(child, f'{where}.{key}')


def _accepted(node: dict, built: Tuple[Registry, ...]) -> Optional[Set[str]]:
    """The arguments of what a dict is to become; None if they are not known."""
    kind = node['type']
    if isinstance(kind, str):
        found = (_lookup(registry, kind) for registry in built)
        kind = next((cls for cls in found if cls is not None), None)
    if not inspect.isclass(kind) or kind.__module__.partition('.')[0] not in KNOWN_PACKAGES:
        return None
    accepted: Set[str] = set()
    for cls in kind.__mro__:
        if '__init__' in vars(cls):
            parameters = inspect.signature(vars(cls)['__init__']).parameters.values()
            accepted |= {p.name for p in parameters
                         if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} - {'self'}
            if not any(p.kind == p.VAR_KEYWORD for p in parameters):
                return accepted
    return None  # whatever it likes


def _lookup(registry: Registry, name: str) -> Optional[type]:
    """A class of MMEngine or of this package; packages of others are not imported for it."""
    package, _, bare = name.rpartition('.')
    found = registry if package in ('', 'mmengine') else registry.children.get(package)
    if found is None or package not in ('', *KNOWN_PACKAGES):
        return None
    found.import_from_location()
    return found.module_dict.get(bare)
