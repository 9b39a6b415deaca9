"""Runs in this process, on several ranks, or killed, and what is left of them."""
import itertools
import multiprocessing
import signal
from math import isfinite
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch
from dump_hook import DumpHook
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from ranks import on_ranks

from multissl_mm.runtime import RunOptions, build_runner, prepare_cfg

_number = itertools.count()


def train_here(cfg: Config, *hooks: Hook,
               prepare: Callable[[Runner], object] = lambda runner: None) -> Runner:
    """Trains in this process; MMEngine keeps loggers and more by the name of a run.

    Args:
        hooks (Hook): That see a step before others do.
        prepare (callable): Is given the runner before it trains.
    """
    cfg.experiment_name = f'{Path(cfg.work_dir).name}_{next(_number)}'
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook, priority='VERY_HIGH')
    prepare(runner)
    runner.train()
    return runner


def dumped(cfg: Config, **options: Any) -> Dict[str, Any]:
    """Trains on this rank, which may be the only one, as ``tools/train.py`` does.

    Args:
        options: Of :class:`RunOptions`.

    Returns:
        dict: ``views`` and ``losses`` of :class:`DumpHook`, and the ``state`` it ends with.
    """
    cfg.experiment_name = f'{Path(cfg.work_dir).name}_{next(_number)}'
    options = RunOptions('config.py', launcher='none' if get_world_size() == 1 else 'pytorch',
                         **options)
    runner, dump = build_runner(prepare_cfg(cfg, options), options), DumpHook()
    runner.register_hook(dump)
    runner.train()
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return dict(state=model.state_dict(), views=dump.views, losses=dump.losses)


def on_two_ranks(folder: Path, cfg: Config, **options: Any) -> List[Dict[str, Any]]:
    """:func:`dumped` on each of two gloo ranks, which must agree."""
    a, b = on_ranks(folder, dumped, cfg, **options)
    for key, value in a['state'].items():
        # Batch norms keep the statistics of their own rank's batches.
        if 'running_' not in key:
            assert torch.equal(value, b['state'][key]), key
    for rank in (a, b):
        assert all(isfinite(v) for step in rank['losses'] for v in step.values())
    assert set(a['views']).isdisjoint(b['views'])
    return [a, b]


def _child(cfg: Config, kill_at: Optional[str]) -> None:
    import kill_hook  # noqa: F401  (registers the hook)
    torch.set_num_threads(1)
    if kill_at:
        cfg.custom_hooks = [dict(type='multissl_mm.KillHook', at=kill_at, priority='HIGHEST')]
    last = Path(cfg.work_dir) / 'last_checkpoint'
    if last.exists():
        cfg.load_from, cfg.resume = last.read_text(), True
    Runner.from_cfg(cfg).train()


def train(cfg: Config, kill_at: Optional[str] = None) -> None:
    """Trains in a child of this process, from the newest checkpoint if there is one.

    Args:
        kill_at (str, optional): Where it gets SIGKILL, see :class:`KillHook`.
    """
    cfg.experiment_name = f'{Path(cfg.work_dir).name}_{kill_at}'.replace(':', '')
    process = multiprocessing.get_context('fork').Process(target=_child, args=(cfg, kill_at))
    process.start()
    process.join(200)
    assert process.exitcode == (-signal.SIGKILL if kill_at else 0)


def last_checkpoint(work_dir: Path) -> dict:
    path = (work_dir / 'last_checkpoint').read_text()
    return torch.load(path, map_location='cpu', weights_only=False)


def assert_same(a: Any, b: Any, where: str = '') -> None:
    """Equal to the last bit, whatever they are nested in."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f'{where}.{key}')
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            assert_same(x, y, f'{where}[{i}]')
    else:
        assert a == b, where
