"""Several runs on top of each other."""
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Union

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from ..errors import MultiSSLError
from ..utils.checkpoint import some
from ..utils.figures import save_figure
from ..utils.names import told_apart
from .curves import draw_line, finish, grid
from .runs import Run, read_run

KEYS = r'loss|.+\.loss.*|knn/.*|heldout/.*|forgetting/.*|.*mAP.*|accuracy/.*'

#: Key: run: its last value.
Values = Dict[str, Dict[str, float]]


class Comparison(NamedTuple):
    """Last values by key and run, and the picture; None where the runs have no key in common."""
    values: Values
    picture: Optional[Path]


def compare_runs(work_dirs: Sequence[Union[str, Path]], out: Path, keys: str = KEYS,
                 console: Optional[Console] = None) -> Comparison:
    """Curves of several runs over each other, and a table of their last values.

    Runs meet at the same epoch, whatever their batch sizes. A key that only one run has is in the
    table and not in the picture.

    Args:
        work_dirs (sequence[str | Path]): Of two runs or more.
        out (Path): Picture to write, where the runs have a key in common.
        keys (str): Regular expression of what is compared. Defaults to losses, probes and metrics.
        console (Console, optional): Where the table is printed.

    Raises:
        MultiSSLError: If there are fewer than two runs, or no such key.
    """
    if len(work_dirs) < 2:
        raise MultiSSLError('compare_runs needs two work_dirs; for one run see curves.py')
    runs = load(work_dirs)
    selected = select(runs, keys)
    values = last_values(runs, selected)
    show(runs, values, console or Console(markup=False))
    figure = draw(runs, selected)
    if figure is not None:
        save_figure(figure, out)
    return Comparison(values, None if figure is None else out)


def load(work_dirs: Sequence[Union[str, Path]]) -> List[Run]:
    """The runs under names that tell them apart: of their folders, or else their paths."""
    runs = [read_run(work_dir) for work_dir in work_dirs]
    names = told_apart([run.name for run in runs], [str(work_dir) for work_dir in work_dirs])
    runs = [run._replace(name=name) for run, name in zip(runs, names)]
    if len({run.name for run in runs}) < len(runs):
        raise MultiSSLError('compare_runs: the same work_dir is named twice')
    return runs


def select(runs: Sequence[Run], pattern: str) -> List[str]:
    """Keys of any run that a regular expression matches as a whole, in order.

    Raises:
        MultiSSLError: If there are none, or it is no regular expression.
    """
    there = sorted({key for run in runs for key in run.curves})
    try:
        keys = [key for key in there if re.fullmatch(pattern, key)]
    except re.error as e:
        raise MultiSSLError(f'--keys {pattern}: no regular expression ({e})') from e
    if not keys:
        raise MultiSSLError(f'--keys {pattern}: matches nothing; the runs have {some(there, 20)}')
    return keys


def draw(runs: Sequence[Run], keys: Sequence[str]) -> Optional[Figure]:
    """A panel for every key that two runs or more have; None where there is none."""
    shared = [key for key in keys if sum(key in run.curves for run in runs) > 1]
    if not shared:
        return None
    figure, axes = grid(len(shared), 'Comparison of runs')
    for axis, key in zip(axes, shared):
        for i, run in enumerate(runs):
            if key in run.curves:
                draw_line(axis, *run.curves[key], run.name, color=f'C{i % 10}')
        finish(axis, key, '%' if key.startswith('knn/') else '', 'linear')
    return figure


def last_values(runs: Sequence[Run], keys: Sequence[str]) -> Values:
    """For every key the last value of every run that has it."""
    return {key: {run.name: run.curves[key][1][-1] for run in runs if key in run.curves}
            for key in keys}


def show(runs: Sequence[Run], values: Values, console: Console) -> None:
    """Prints the table."""
    table = Table('last value of', *[run.name for run in runs], title='Comparison of runs')
    for key, row in values.items():
        table.add_row(key, *[f'{row[run.name]:.4g}' if run.name in row else '-' for run in runs])
    table.add_section()
    table.add_row('epochs', *[f'{run.epochs:.4g}' for run in runs])
    console.print(table)
