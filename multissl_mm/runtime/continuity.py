"""Whether a run that is resumed goes on as it began."""
import re
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple
from weakref import WeakKeyDictionary

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.runner import Runner
from mmengine.utils import digit_version

from ..errors import MultiSSLError
from ..utils.content import data_digest
from ..utils.names import bare
from ..utils.wrappers import children
from ..version import __version__

#: In ``meta`` of a checkpoint.
KEY = 'multissl_mm'
#: Entries of a config that decide what a run comes to.
COMPARED = ('model', 'data_preprocessor', 'optim_wrapper', 'param_scheduler', 'train_cfg',
            'train_dataloader', 'auto_scale_lr', 'randomness', 'default_hooks', 'custom_hooks')
#: Those that older checkpoints say nothing of.
_NEW = ('data_preprocessor', 'default_hooks', 'custom_hooks')
#: Hooks that only look, write, or end a run.
_WATCHING = re.compile(
    r'(Logger|Checkpoint|Timer|Info|Visualization|Visualizer|StrictLoad|LeftOut|Interruption|'
    r'Heartbeat|KNN|Forgetting|Gradient|LossGuard|Profiler|EmptyCache|ParamScheduler)\w*Hook$')
#: What in them does not: where things are, and how fast they come.
_FREE = re.compile(
    r'^train_dataloader\.(num_workers|persistent_workers|pin_memory|prefetch_factor|timeout|'
    r'pin_memory_device|multiprocessing_context)$'
    r'|\.(data_root|data_prefix|ann_file|root|cache_mb|backend_args|max_skip|compile|_scope_)(\.|$)'
    r'|\.channels_last$|\.(init_cfg|pretrained)(\.|$)'
    r'|^train_cfg\.(type|by_epoch|val_begin|val_interval|dynamic_intervals)(\.|$)')
#: What a checkpoint brings along, whatever a config says.
_BROUGHT = re.compile(r'^(optim_wrapper\.optimizer|param_scheduler|auto_scale_lr)\.')
_digests: 'WeakKeyDictionary[Any, str]' = WeakKeyDictionary()
#: Same layers, on one process, on several, without a GPU.
_NORMS = ('SyncBN', 'MMSyncBN', 'multissl_mm.BNXd', 'BN')


def described(runner: Runner) -> Dict[str, Any]:
    """What a checkpoint says of the run that writes it, besides its weights; plain values."""
    loader = runner.train_dataloader
    return dict(version=__version__, config=essentials(runner.cfg), compared=list(COMPARED),
                world_size=runner.world_size, data=data_of(getattr(loader, 'dataset', None)))


def essentials(cfg: Config) -> Dict[str, str]:
    """The values that decide what a run comes to, by their keys."""
    return {key: repr('BN' if value in _NORMS and key.endswith('.type') else value)
            for entry in COMPARED
            for key, value in _leaves(_acting(cfg.get(entry)) if entry.endswith('_hooks') else
                                      cfg.get(entry), entry)
            if not _FREE.search(key) and
            (entry != 'auto_scale_lr' or (cfg.get(entry) or {}).get('enable'))}


def _acting(hooks: Any) -> Dict[str, Any]:
    """Hooks that change what a run comes to, by their types, in whatever order they stand."""
    found = [hook for hook in (hooks.values() if isinstance(hooks, Mapping) else hooks or [])
             if isinstance(hook, Mapping) and not _WATCHING.search(bare(hook.get('type')))]
    return {bare(hook.get('type')): hook for hook in found}


def data_of(dataset: Any) -> Optional[str]:
    """A digest of the training data, where they say what their samples are."""
    fingerprint = getattr(dataset, 'fingerprint', None)
    if fingerprint is not None:
        return fingerprint()['data']
    if not isinstance(dataset, BaseDataset) and not children(dataset):
        return None
    if dataset not in _digests:  # asked for with every checkpoint
        _digests[dataset] = data_digest(dataset, sparse=True)
    return _digests[dataset]


def check_config(path: str, meta: Mapping[str, Any], cfg: Config, world_size: int,
                 accept: bool = False) -> None:
    """Compares what wrote a checkpoint with what is to go on from it.

    Args:
        path (str): Of the checkpoint, for messages.
        meta (mapping): Its ``meta``; of other programs and older versions it says nothing.
        cfg (Config): Prepared.
        world_size (int): Processes now.
        accept (bool): Go on where that is possible, and name the differences.

    Raises:
        MultiSSLError: Names what differs and what it would do.
    """
    written = meta.get(KEY)
    if not isinstance(written, Mapping):
        print(f'[resume] {path} does not say how it was trained (it is of an older version or '
              'another program): whether this config is the same is not checked')
        return
    by = str(written.get('version'))
    if digit_version(by) > digit_version(__version__):
        print(f'[resume] {path} was written by multissl_mm {by}, which is newer than this one '
              f'({__version__}): what this one does not know of is not used')
    silent = [entry for entry in _NEW if entry not in written.get('compared', ())]
    before, now = written.get('config', {}), essentials(cfg)
    now = {key: value for key, value in now.items() if key.partition('.')[0] not in silent}
    # Kinds first, from the top down: what they are made of differs, too.
    keys = sorted({*before, *now}, key=lambda key: (
        not key.endswith('.type'), key.count('.'), key))
    changed = [(key, before.get(key, 'nothing'), now.get(key, 'nothing'))
               for key in keys if before.get(key) != now.get(key)]
    fixed = [change for change in changed if _BROUGHT.match(change[0])]
    if fixed:
        raise MultiSSLError(
            f'{path} was written with other settings: {_listed(fixed)}. Optimizer and schedule '
            'come from the checkpoint, so that this would change nothing; leave it as it was, or '
            'begin a new run from its weights (another --work-dir, --cfg-options '
            f'load_from={path})')
    if written.get('world_size') != world_size:
        changed.append(('processes', str(written.get('world_size')), str(world_size)))
    if changed:
        _refuse_or_say(f'{path} was written with other settings: {_listed(changed)}',
                       _consequence(changed), accept)


def check_same_data(path: str, meta: Mapping[str, Any], dataset: Any,
                    accept: bool = False) -> None:
    """Compares the training data with those of a checkpoint, see :func:`check_config`."""
    before, now = (meta.get(KEY) or {}).get('data'), data_of(dataset)
    if now is None:
        print(f'[resume] {path}: whether it was trained on the data of train_dataloader.dataset is '
              f'not checked, as a {type(dataset).__name__} does not say what its samples are')
    elif before and before != now:
        _refuse_or_say(f'{path} was trained on other data than train_dataloader.dataset has now: '
                       'files were added, removed or replaced',
                       ', which means that an epoch shows other samples', accept)


def _refuse_or_say(what: str, consequence: str, accept: bool) -> None:
    if not accept:
        raise MultiSSLError(f'{what}{consequence}. Resume as it was, take another --work-dir, or '
                            'go on with what is new by --accept-changes')
    print(f'[resume] accepted: {what}{consequence}')


def _consequence(changed: List[Tuple[str, str, str]]) -> str:
    keys = ' '.join(key for key, _, _ in changed)
    said = ''
    if 'processes' in keys or 'batch_size' in keys:
        said += (', which means other batches at the same learning rate, another share of the '
                 'queues in each, and an epoch of another number of steps')
    if re.search(r'\btrain_cfg\.(max_epochs|max_iters|stages)', keys):
        said += (', while schedules end where they were to: beyond that the learning rate stays as '
                 'it is then')
    return said


def _listed(changed: List[Tuple[str, str, str]], limit: int = 6) -> str:
    more = f', ... ({len(changed)} in all)' if len(changed) > limit else ''
    return ', '.join(f'{key} {before} -> {now}' for key, before, now in changed[:limit]) + more


def _leaves(node: Any, where: str) -> Iterator[Tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, child in node.items():
            yield from _leaves(child, f'{where}.{key}')
    elif isinstance(node, (list, tuple)):
        for i, child in enumerate(node):
            yield from _leaves(child, f'{where}.{i}')
    elif node is not None:
        yield where, node if isinstance(node, (bool, int, float, str)) else str(node)
