"""What the hooks of configs/_base_/watch.py cost, as a share of training time."""
import json
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Callable, Dict, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.registry import MODELS, DefaultScope
from rich.console import Console
from rich.table import Table

from ..engine.hooks.forgetting import heldout_losses
from ..engine.hooks.gradient import GradientHook, compare
from ..engine.hooks.knn import accuracy, features
from ..utils.files import write_atomically
from ..utils.names import bare
from ..utils.project import project_file
from .models import Sizes, backbone, device, tasks, training_step
from .timing import Seconds, interleaved, quiet, ratio

EPOCH = 5005 * 256  # pictures of a full-size epoch
BOUND = 0.02
QUERIES = 64  # of a measured search in the full bank


class Overhead(NamedTuple):
    """Of every hook its share of the time, their sum, and the seconds that these are of."""
    shares: Dict[str, float]
    total: float
    seconds: Seconds


def measure_hook_overhead(sizes: Sizes = Sizes(), rounds: int = 7,  # noqa: B008  (immutable)
                          config: Optional[str] = None, out: Optional[Path] = None,
                          console: Optional[Console] = None) -> Overhead:
    """Times the looks of the hooks against a step of multi-task M+D.

    Each round makes, in turn, a training step, the same step with the look of GradientHook, and
    the looks of ForgettingHook and KNNHook at one batch. Intervals and numbers of samples are those
    of ``configs/_base_/watch.py``. A look once in so many epochs is set against full-size epochs:
    5,005 steps of 256 pictures (ImageNet-1k), at the speed per picture that is measured here. The
    steps get their pictures from memory, so this is a run that waits for the backbone; for one
    that waits for its pictures, the share of pictures that the looks load counts.

    Args:
        sizes (Sizes): Of backbone, views, batch and queues.
        rounds (int): That count.
        config (str, optional): With the hooks. Defaults to ``configs/_base_/watch.py``.
        out (Path, optional): JSON file for the results.
        console (Console, optional): Where the table is printed.
    """
    hooks = {bare(hook['type']): hook for hook in Config.fromfile(
        config or project_file('configs/_base_/watch.py')).custom_hooks}
    seconds = interleaved(build(sizes, hooks), rounds)

    def steps(name: str) -> float:
        return ratio(seconds[name], seconds['step'])

    gradient, forgetting, knn = (hooks[f'{name}Hook'] for name in ('Gradient', 'Forgetting', 'KNN'))
    pictures = knn['max_bank'] + knn['max_queries']
    # In pictures' worth of training: what a look costs at the speed of a training step.
    per_look = {
        'GradientHook': (steps('GradientHook') - 1) * 256,
        'ForgettingHook': steps('ForgettingHook') * forgetting['max_samples'],
        'KNNHook': (steps('KNNHook') * pictures +
                    steps('search') * sizes.batch_size * knn['max_queries'] / QUERIES),
    }
    between = {'GradientHook': gradient['interval'] * 256,
               'ForgettingHook': forgetting['interval'] * EPOCH,
               'KNNHook': knn['interval'] * EPOCH}
    loaded = {'GradientHook': 0, 'ForgettingHook': forgetting['max_samples'], 'KNNHook': pictures}
    shares = {name: per_look[name] / between[name] for name in hooks}
    found = Overhead(shares, sum(shares.values()), seconds)
    table = Table('hook', 'every', 'a look takes as long as', 'share of the time',
                  'share of the pictures',
                  title=f'multi-task M+D, {sizes.title()}, median of {rounds}')
    for name, share in shares.items():
        unit = 'steps' if name == 'GradientHook' else 'epochs'
        table.add_row(name, f'{hooks[name]["interval"]} {unit}',
                      f'{per_look[name] / 256:.2f} steps of 256', f'{share:.3%}',
                      f'{loaded[name] / between[name]:.3%}')
    table.add_row('sum', '', '', f'{found.total:.3%}',
                  f'{sum(loaded[name] / between[name] for name in hooks):.3%}', style='bold')
    console = console or Console()
    console.print(table)
    console.print(f'a step of {sizes.batch_size} took {statistics.median(seconds["step"]):.3f} s; '
                  f'epochs of {EPOCH // 256} steps of 256; the losses of tasks need no hook',
                  highlight=False)
    if out:
        write_atomically(out, json.dumps(dict(found._asdict(), sizes=sizes._asdict())))
    return found


def build(sizes: Sizes, hooks: Dict[str, dict]) -> Dict[str, Callable[[], object]]:
    """What is timed, by name: each takes as many pictures as a step."""
    quiet()
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(dict(type='multissl_mm.MultiTask', backbone=backbone(sizes),
                                  tasks=tasks(sizes))).to(device()).train()
    views, n = sizes.views(device()), sizes.batch_size
    half = n // 2
    heldout = [dict(inputs=[x[i:i + half] for x in views], data_samples=None) for i in (0, half)]
    label = torch.zeros((), dtype=torch.long)
    labelled = [dict(inputs=views[0], data_samples=[SimpleNamespace(gt_label=label)] * n)]
    step, hook = training_step(model, views), GradientHook(hooks['GradientHook']['interval'])

    def watched_step() -> None:
        model.on_outputs = lambda outputs: hook._look(model.backbone, 1., outputs)
        step()
        model.on_outputs = None
        assert hook._found is not None
        compare(*hook._found)

    bank = torch.nn.functional.normalize(torch.randn(
        hooks['KNNHook']['max_bank'] // get_world_size(), sizes.width, device=device()))
    labels = torch.randint(1000, (len(bank), ), device=device())
    return {
        'step': step,
        'GradientHook': watched_step,
        'ForgettingHook': lambda: heldout_losses(model, heldout, list(model.tasks), half),
        'KNNHook': lambda: features(model, labelled),
        'search': lambda: accuracy(bank, labels, bank[:QUERIES], labels[:QUERIES], 20, .07),
    }
