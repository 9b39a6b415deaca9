"""What is looked at before anything is built."""
import tempfile
from typing import Any, List, Optional

from mmengine.config import Config
from mmengine.runner import IterBasedTrainLoop, Runner
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset

from ..errors import MultiSSLError
from ..utils.model import unwrap
from ..utils.names import bare
from ..utils.nested import dicts, located
from ..utils.wrappers import children


def check_temporary() -> None:
    """Looks for a folder for temporary files, by way of which loaders' workers hand over batches.

    Raises:
        MultiSSLError: If none can be written, because it is full, say.
    """
    try:
        tempfile.gettempdir()
    except OSError as e:
        raise MultiSSLError(f'{e.strerror}: they are full, or cannot be written; free some room '
                            'there, or set the environment variable TMPDIR to another one') from e


def check_stage_hook(cfg: Config) -> None:
    """Looks for the hook that leads a model from stage to stage.

    Raises:
        MultiSSLError: If the model learns its tasks one after the other and nothing leads it.
    """
    kind = bare((cfg.get('model') or {}).get('type'))
    staged = kind in ('IncrementalLearning', 'Rehearsal', 'ProgressiveNet')
    if staged and len(cfg.model.get('tasks', [])) > 1 and not any(
            'ILStageHook' in bare((hook or {}).get('type')) for hook in _hooks(cfg)):
        raise MultiSSLError(f'{kind} would learn its first task for ever: add default_hooks.stage='
                            "dict(type='multissl_mm.ILStageHook') and, for the epochs of every "
                            "stage, train_cfg=dict(type='multissl_mm.StagedTrainLoop', "
                            'stages=[...])')


def check_recomputing(cfg: Config) -> None:
    """Looks whether MMEngine recomputes a backbone whose gradients are taken one by one.

    That ``activation_checkpointing`` wraps modules of a model that is built; ``with_cp`` of layers
    is seen by :func:`~multissl_mm.utils.model.refuse_checkpointing`.

    Raises:
        MultiSSLError: If so; names what takes such gradients.
    """
    listed = cfg.get('activation_checkpointing') or []
    inside = [name for name in ([listed] if isinstance(listed, str) else listed)
              if name.partition('.')[0] == 'backbone']
    model = cfg.get('model') or {}
    kinds = [bare((hook or {}).get('type')) for hook in _hooks(cfg)]
    weights = model.get('distill_weights')  # or one number for all
    for key, takes, instead in (
            ('GradientHook', 'GradientHook' in kinds and len(model.get('tasks') or []) != 1,
             'remove the hook'),
            ("model.weighting 'pcgrad'", model.get('weighting') == 'pcgrad',
             'choose another weighting'),
            ('model.distill_weights.type RatioWeights',
             isinstance(weights, dict) and bare(weights.get('type')) == 'RatioWeights',
             'give distill_weights as numbers')):
        if inside and takes:
            raise MultiSSLError(
                f"activation_checkpointing has {inside[0]}, but {key} takes the tasks' gradients "
                f'on the backbone one by one, which that does not allow; leave {inside[0]} out, '
                f'or {instead}')


def _hooks(cfg: Config) -> List[dict]:
    return [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]


def check_checkpoint_hook(cfg: Config) -> None:
    """Looks where checkpoints are to be.

    Raises:
        MultiSSLError: If that is another folder of this machine than the work directory, in which
            ``--resume`` looks for them and which one run has for itself.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folder = hook.get('out_dir')
    if folder and '://' not in str(folder) and not hook.get('backend_args'):
        raise MultiSSLError(f'default_hooks.checkpoint.out_dir: {folder} would keep checkpoints '
                            'where --resume does not look for them, and where other runs may '
                            'replace them; leave it out, and say where by --work-dir')


def check_numbers(cfg: Config) -> None:
    """Looks at numbers that must be whole, or within bounds.

    Raises:
        MultiSSLError: Names the key of the first that is not.
    """
    loaders = [f'{split}_dataloader' for split in ('train', 'val', 'test')]
    for entry, key, least in (
            *(('train_cfg', key, 1) for key in ('max_epochs', 'max_iters')),
            *((loader, 'batch_size', 1) for loader in loaders),
            *((loader, 'num_workers', 0) for loader in loaders), ('randomness', 'seed', 0)):
        value = (cfg.get(entry) or {}).get(key)
        if isinstance(value, float) and value.is_integer() and entry == 'train_cfg':
            value = int(value)  # MMEngine takes it
        if value is not None and not _whole(value, least):
            raise MultiSSLError(f'{entry}.{key} is {value!r}, but must be a whole number of '
                                f'{least} or more')
    for where, node in located(cfg.get('model'), 'model'):
        if 'queue_len' in node and not _whole(node['queue_len'], 1):
            raise MultiSSLError(f'{where}.queue_len is {node["queue_len"]!r}, but must be a whole '
                                'number of 1 or more')
        for key in ('momentum', 'base_momentum'):
            values = node.get(key)
            for value in values if isinstance(values, (list, tuple)) else [values]:
                if isinstance(value, (int, float)) and not 0 <= value <= 1:
                    raise MultiSSLError(f'{where}.{key} is {value}, but must be from 0 to 1')


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_steps(runner: Runner) -> None:
    """Looks whether an epoch has a step, and warns of what is longer than it.

    That is a queue that is longer than the data, and a schedule of another length than the run.

    Args:
        runner (Runner): Before it trains; its training data are built.

    Raises:
        MultiSSLError: If there are fewer samples than a batch, and such batches are dropped, or if
            a batch has a single sample, and the model normalises by batch.
    """
    loader = runner.train_dataloader
    if not hasattr(loader, 'batch_size') or not hasattr(loader, 'dataset'):
        return
    check_batches(runner, loader.batch_size, len(loader), 'train_dataloader.batch_size')
    for entry in dicts(runner.cfg.get('param_scheduler')):
        _compare_length(runner, entry)
    samples = _distinct(loader.dataset)
    for entry in dicts(runner.cfg.get('model')):
        length = entry.get('queue_len')
        if isinstance(length, int) and length > samples:
            runner.logger.warning(
                f'queue_len of {entry.get("name") or entry.get("type")} is {length}, more than '
                f'the {samples} samples of the training data: among the negatives of a sample are '
                'older views of itself; a shorter queue is better')


def check_batches(runner: Runner, size: Optional[int], steps: int, key: str) -> None:
    """The part of :func:`check_steps` that a size of batches decides.

    Args:
        runner (Runner): Before it trains; its training data are built.
        size (int, optional): Per process.
        steps (int): Of an epoch in such batches.
        key (str): Where a config says the size.

    Raises:
        MultiSSLError: If an epoch has no step, or a batch a single sample.
    """
    samples, ranks = len(runner.train_dataloader.dataset), runner.world_size
    if not steps:
        on = f' on each of {ranks} ranks' if ranks > 1 else ''
        raise MultiSSLError(
            f'train_dataloader: {samples} samples are less than a batch of {size}{on}, and with '
            'drop_last no epoch would have a step of the optimizer; give more data, or a smaller '
            f'{key}')
    _refuse_single(runner, size, key)


def _distinct(dataset: Any) -> int:
    """Samples of a dataset, those that a wrapper repeats once."""
    inner = children(dataset)
    if isinstance(around := getattr(dataset, 'dataset', None), Dataset) and not inner:
        inner = [around]  # of a KeyedDataset
    return min(len(dataset), sum(map(_distinct, inner))) if inner else len(dataset)


def _refuse_single(runner: Runner, size: Optional[int], key: str) -> None:
    """Refuses a batch of one sample where it has no statistics: in self-supervised models."""
    loader = runner.train_dataloader
    sampler = loader.sampler
    last = len(sampler) % size if size and hasattr(sampler, '__len__') else 0
    if size != 1 and (last != 1 or loader.drop_last):
        return
    model = unwrap(runner.model)
    learns_alone = any(cls.__name__ in ('BaseSelfSupervisor', 'MultiSSL')
                       for cls in type(model).__mro__)
    if learns_alone and any(isinstance(layer, _BatchNorm) and not (
            isinstance(layer, SyncBatchNorm) and runner.world_size > 1)
            for layer in model.modules()):
        what, instead = (f'{key} is 1', f'{key} of 2 or more') if size == 1 else \
            (f'train_dataloader: of {len(sampler)} samples in batches of {size} the last has 1',
             f'train_dataloader.drop_last=True or another {key}')
        raise MultiSSLError(f'{what}, but the model normalises by batch; give {instead}')


def _compare_length(runner: Runner, entry: dict) -> None:
    """Warns of a schedule that ends elsewhere than the run."""
    kind, by_epoch, begin = entry.get('type'), entry.get('by_epoch', True), entry.get('begin', 0)
    iterations = isinstance(runner.train_loop, IterBasedTrainLoop)
    if by_epoch and iterations:
        if kind and not entry.get('convert_to_iter_based'):
            runner.logger.warning(
                f'{kind} counts epochs, but train_cfg counts steps: the learning rate will stay '
                'as it is; give it by_epoch=False, and lengths in steps')
        return
    run, unit = (runner.max_epochs, 'epochs') if by_epoch else (runner.max_iters, 'steps')
    poly = 'Poly' in str(kind)
    for key, offset in (('T_max', begin), ('total_steps', begin), ('end', 0)):
        length = entry.get(key)
        if not isinstance(length, int) or length + offset == run or (
                key == 'end' and length < run and not poly):
            continue
        advice = f'; leave {key} out, and it follows' if key == 'T_max' else ''
        runner.logger.warning(
            f'{key} of {kind} is {length} {unit}, but the run has {run}: the learning rate will '
            f'not end where the run does{advice}')
    late = [step for step in entry.get('milestones') or [] if step + begin >= run]
    if late:
        runner.logger.warning(f'milestones of {kind}: {", ".join(map(str, late))} are not reached '
                              f'by a run of {run} {unit}')
