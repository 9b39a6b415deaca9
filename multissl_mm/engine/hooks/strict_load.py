"""Weights that were asked for are loaded, or the run ends."""
from typing import List, Mapping, Set, Tuple

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from ...errors import MultiSSLError
from ...registry import HOOKS
from ...utils.checkpoint import backbone_state_dict, compare, load_state_dict_file, some, unwrapped
from ...utils.model import unwrap


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint that leaves a part of a backbone at its random weights.

    MMEngine loads with ``strict=False``: a misspelt prefix or another architecture costs no more
    than a line in a log. This hook looks before it loads:

    - every module with ``init_cfg=dict(type='Pretrained', ...)`` must find all its parameters and
      buffers in that file; keys that the module has no use for are logged;
    - the checkpoint of ``load_from``, of a test or of a resumed run must have every key
      ``backbone.*`` of the model; in a test of a downstream task of sound, every key.

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

    def after_load_checkpoint(self, runner: Runner, checkpoint: Mapping) -> None:
        model = unwrap(runner.model)
        whole = not self.check_init and getattr(model, 'tested_whole', False)
        expected = {k: v for k, v in model.state_dict().items()
                    if whole or k.startswith('backbone.')}
        lacks = compare(expected, unwrapped(checkpoint, 'load_from')).lacks
        if lacks and whole:
            raise MultiSSLError(
                f'the checkpoint that is being tested lacks {some(lacks)} of '
                f'{type(model).__name__}; test one that was written when this config was trained')
        if lacks:
            raise MultiSSLError(
                f'the checkpoint that is being loaded (load_from) does not fill the backbone of '
                f'{type(model).__name__}; it lacks {some(lacks)}. Is it of another architecture, '
                "or only a backbone (then use model.backbone.init_cfg with type='Pretrained')?")


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


def _check_module(module: nn.Module, path: str, prefix: str, where: str) -> None:
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


def _pretrained(module: nn.Module) -> List[dict]:
    cfgs = getattr(module, 'init_cfg', None) or []
    cfgs = [cfgs] if isinstance(cfgs, Mapping) else cfgs
    return [c for c in cfgs if isinstance(c, Mapping) and c.get('type') == 'Pretrained']
