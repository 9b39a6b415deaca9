"""Weights that were asked for are loaded, or the run ends."""
from typing import Any, List, Mapping, Optional, Set, Tuple

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner import Runner
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import MultiSSLError
from ...registry import HOOKS
from ...utils.checkpoint import (
    backbone_state_dict,
    compare,
    digest,
    fill_in,
    load_state_dict_file,
    not_finite,
    some,
    unwrapped,
)
from ...utils.model import unwrap


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint that leaves a part of a backbone at its random weights.

    MMEngine loads with ``strict=False``: a misspelt prefix or another architecture costs no more
    than a line in a log. This hook looks before it loads:

    - every module with ``init_cfg=dict(type='Pretrained', ...)`` must find all its parameters and
      buffers in that file; keys that the module has no use for are logged;
    - the checkpoint of ``load_from`` or of a resumed run must have every key ``backbone.*`` of the
      model, that of a test every key; and no value that is NaN or infinite;
    - that of a resumed run must have all that a run goes on from;
    - all ranks must then start with the same weights, epoch and iteration.

    ``tools/train.py`` and ``tools/test.py`` add it to every run.

    Args:
        check_init (bool): Look at ``Pretrained``. A test never loads it. Defaults to True.
    """

    priority = 'HIGHEST'

    def __init__(self, check_init: bool = True) -> None:
        self.check_init = check_init

    def before_run(self, runner: Runner) -> None:
        if self.check_init:
            check_pretrained(unwrap(runner.model))

    def after_load_checkpoint(self, runner: Runner, checkpoint: Mapping[str, Any]) -> None:
        # MMEngine does not hand over the file that it is from, but keeps it.
        path = str(getattr(runner, '_load_from', None) or 'the checkpoint')
        model, found = unwrap(runner.model), unwrapped(checkpoint, path)
        if getattr(runner, '_resume', False):
            check_resumable(checkpoint, path)
        if not self.check_init:
            lacks = fill_in(model, found).lacks
            if lacks:
                raise MultiSSLError(
                    f'{path} lacks {some(lacks, 10)} of {type(model).__name__}, which would be '
                    'tested with random weights there; test one that was written when this config '
                    'was trained')
        expected = {k: v for k, v in model.state_dict().items() if k.startswith('backbone.')}
        lacks = compare(expected, found).lacks
        if lacks:
            raise MultiSSLError(
                f'{path} does not fill the backbone of {type(model).__name__}; it lacks '
                f'{some(lacks)}. Is it of another architecture, or only a backbone (then use '
                "model.backbone.init_cfg with type='Pretrained')?")
        broken = not_finite(found)
        if broken:
            raise MultiSSLError(f'{path} has NaN or infinite values in {some(broken)}; take an '
                                'earlier one')

    def before_train(self, runner: Runner) -> None:
        check_ranks(runner, runner.epoch, runner.iter)

    def before_test(self, runner: Runner) -> None:
        check_ranks(runner)


def check_resumable(checkpoint: Mapping[str, Any], path: str) -> None:
    """Looks whether a run can go on from a checkpoint, beyond its weights.

    Args:
        checkpoint (mapping): What is in it.
        path (str): What to call it in an error.

    Raises:
        MultiSSLError: If it has only weights, or not all that MMEngine writes.
    """
    meta = checkpoint.get('meta')
    lacks = [key for key in ('message_hub', 'optimizer') if key not in checkpoint] + [
        f'meta.{key}' for key in ('epoch', 'iter') if not isinstance(meta, Mapping) or
        not isinstance(meta.get(key), int)]
    if lacks:
        raise MultiSSLError(f'{path} has no {", ".join(lacks)}: it is not one that a run of '
                            'MMEngine left to go on from; start a new run from its weights with '
                            f'--cfg-options load_from={path}')


def check_ranks(runner: Runner, *progress: int) -> None:
    """Compares what the ranks have loaded, before any batch norm has seen a batch of its own.

    Args:
        progress (int): Numbers that must be equal, too: epoch and iteration.

    Raises:
        MultiSSLError: On all ranks, if one differs.
    """
    if not isinstance(runner.model, DistributedDataParallel):  # on one rank, or in shards
        return
    states = all_gather_object((*progress, digest(unwrap(runner.model).state_dict())))
    others = [str(rank) for rank, state in enumerate(states) if state != states[0]]
    if others:
        raise MultiSSLError(
            f'rank {", ".join(others)} does not start with the weights, epoch and iteration of '
            'rank 0: the ranks loaded different files; put checkpoints on a path that all machines '
            "share, or copy rank 0's to the others")


def check_pretrained(model: nn.Module) -> None:
    """Looks into every checkpoint that ``init_cfg`` names, before MMEngine loads it.

    Raises:
        MultiSSLError: If a file is missing, or lacks a parameter or buffer of its module.
    """
    seen: Set[Tuple[str, str, type]] = set()
    for name, module in model.named_modules():
        for cfg in _pretrained(module):
            path, prefix = cfg['checkpoint'], cfg.get('prefix')
            # Copies of a module (momentum encoder, teacher) keep its init_cfg and load nothing.
            # `convert_weights` is mmdet's sign of a module that renames the keys itself.
            key = (path, str(prefix), type(module))
            if key in seen or getattr(module, 'convert_weights', False):
                continue
            seen.add(key)
            _check_module(module, path, prefix, f'model.{name}.init_cfg'.replace('..', '.'))


def _check_module(module: nn.Module, path: str, prefix: Optional[str], where: str) -> None:
    try:
        state_dict = load_state_dict_file(path)
        if prefix is not None:
            state_dict = backbone_state_dict(state_dict, prefix, path)
    except MultiSSLError as e:
        raise MultiSSLError(f'{where} (checkpoint, prefix={prefix!r}): {e}') from e
    diff = compare(module.state_dict(), state_dict)
    if diff.lacks:
        raise MultiSSLError(
            f'{where}: {path} (prefix {prefix!r}) does not fill {type(module).__name__}; it lacks '
            f'{some(diff.lacks)}. Its keys are {some(state_dict, 3)}: set prefix to what comes '
            'before the name of the parameter')
    if diff.unexpected:
        print_log(f'{where}: {path} has keys without a use here: {some(diff.unexpected, 20)}',
                  logger='current')


def _pretrained(module: nn.Module) -> List[Mapping[str, Any]]:
    cfgs = module.init_cfg if isinstance(module, BaseModule) else None
    cfgs = cfgs if isinstance(cfgs, (list, tuple)) else [cfgs]
    return [c for c in cfgs if isinstance(c, Mapping) and c.get('type') == 'Pretrained']
