"""Curves of several runs over each other, and a table of their last values.

    python tools/analysis_tools/compare_runs.py work_dirs/mtl_mocov2_densecl \
        work_dirs/il_mocov2_densecl --out compared.png

Runs meet at the same epoch, whatever their batch sizes. A key that only one run has is in the
table and not in the picture.
"""
import argparse
import json
import re
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from curves import Run, draw_line, finish, grid, read_run, save
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from multissl_mm.errors import MultiSSLError
from multissl_mm.utils.checkpoint import some
from multissl_mm.utils.cli import run_tool

KEYS = r'loss|.+\.loss.*|knn/.*|heldout/.*|forgetting/.*|.*mAP.*|accuracy/.*'


def load(work_dirs: Sequence[str]) -> List[Run]:
    """The runs under names that tell them apart: of their folders, or else their paths."""
    runs = [read_run(work_dir) for work_dir in work_dirs]
    if len({run.name for run in runs}) < len(runs):
        runs = [run._replace(name=str(work_dir)) for run, work_dir in zip(runs, work_dirs)]
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


def last_values(runs: Sequence[Run], keys: Sequence[str]) -> Dict[str, Dict[str, float]]:
    """For every key the last value of every run that has it."""
    return {key: {run.name: run.curves[key][1][-1] for run in runs if key in run.curves}
            for key in keys}


def show(runs: Sequence[Run], values: Dict[str, Dict[str, float]]) -> None:
    """Prints the table."""
    table = Table('last value of', *[run.name for run in runs], title='Comparison of runs')
    for key, row in values.items():
        table.add_row(key, *[f'{row[run.name]:.4g}' if run.name in row else '-' for run in runs])
    table.add_section()
    table.add_row('epochs', *[f'{run.epochs:.4g}' for run in runs])
    Console().print(table)


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('work_dirs', nargs='+', metavar='WORK_DIR', help='two runs or more')
    parser.add_argument('--keys', default=KEYS, metavar='REGEX',
                        help='what to compare (default: losses, probes and metrics)')
    parser.add_argument('--out', type=Path, default=Path('compared.png'), help='picture')
    parser.add_argument('--json', type=Path, help='file for the table')
    args = parser.parse_args(argv)
    if len(args.work_dirs) < 2:
        raise MultiSSLError('compare_runs needs two work_dirs; for one run see curves.py')
    runs = load(args.work_dirs)
    keys = select(runs, args.keys)
    values = last_values(runs, keys)
    show(runs, values)
    if args.json:
        args.json.write_text(json.dumps(values, indent=2))
    figure = draw(runs, keys)
    if figure is None:
        print('no picture: the runs have none of these keys in common')
    else:
        save(figure, args.out)


if __name__ == '__main__':
    run_tool(main)
