"""The same work as jobs of a cluster."""
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from rich.console import Console

from ..utils.project import project_file
from .plan import Plan
from .results import PaperTable
from .rows import TableRun


def print_jobs(console: Console, tables: Sequence[PaperTable], runs: Sequence[TableRun],
               asked: Sequence[str], options: Mapping[str, Any],
               checkpoints: Mapping[str, Optional[str]] = {}) -> None:
    """Prints commands that put every row and seed into the queue of Slurm, in the order they need.

    Each job is this tool for one row and one seed. They share the store, so that a row's
    encoders are trained by the first job that has them; those that need them, or have the same,
    wait for it.
    ``sbatch`` reads partition, time and the like from its own variables (``SBATCH_PARTITION``,
    ``SBATCH_TIMELIMIT``, ...) and from ``SBATCH_ARGS``.

    Args:
        tables (sequence[PaperTable]): That are reproduced, and others that have rows which those
            need.
        runs (sequence[TableRun]): One a seed.
        asked (sequence[str]): Rows.
        options (mapping): Further options of the tool.
        checkpoints (mapping): Of rows that others have trained, by their keys.
    """
    rows = runs[0].rows
    jobs: Dict[Tuple[str, int], List[Tuple[str, int]]] = {}

    wanted = {(key, run.seed) for run in runs for key in asked}

    def add(key: str, seed: int) -> None:
        if (key, seed) in jobs:
            return
        row = rows[key]
        needed = row.before(seed)
        if row.within and (not row.pretrain or (row.within[0], seed) in wanted):
            needed.append((row.within[0], seed))
        jobs[key, seed] = []  # against circles
        for other in needed:
            add(*other)
        del jobs[key, seed]
        jobs[key, seed] = needed

    for run in runs:
        for key in asked:
            add(key, run.seed)
    first: Dict[Path, Tuple[str, int]] = {}
    plan = Plan(runs[0].store)
    for (key, seed), needed in jobs.items():
        checkpoint = runs[0].encoder(plan, key, seed).checkpoint
        if checkpoint is not None and first.setdefault(checkpoint, (key, seed)) != (key, seed):
            needed.append(first[checkpoint])

    for (key, seed), needed in jobs.items():
        name = next(table.name for table in tables if key in table.rows)
        command = _command(name, '--rows', key, '--seed', str(seed), *_options(
            dict(options, checkpoint=checkpoints.get(key))),
                           *(() if (key, seed) in wanted else ('--downstream', 'none')))
        after = ':'.join(f'${_variable(*job)}' for job in dict.fromkeys(needed))
        dependency = f'--dependency=afterok:{after} ' if needed else ''
        _say(console, f'{_variable(key, seed)}=$(sbatch --parsable {dependency}'
             f'--job-name={key}_{seed} $SBATCH_ARGS --wrap={shlex.quote(command)})')


def print_collecting(console: Console, name: str, options: Mapping[str, Any]) -> None:
    """Prints the command that reports what all jobs have left, behind them, as a comment."""
    command = _command(name, *_options(dict(options, report=True)))
    _say(console, f'# when they are through: {command}')


def _command(*words: str) -> str:
    found = Path(shutil.which('python') or '')  # the shorter, if it is of the same environment
    mine = Path(sys.executable)
    here = found.parent == mine.parent and found.resolve() == mine.resolve()
    return shlex.join(['python' if here else sys.executable, project_file('tools/reproduce.py'),
                       *words])


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _variable(key: str, seed: int) -> str:
    return f'{key}_{seed}'.replace('-', '_')


def _options(options: Mapping[str, Any]) -> List[str]:
    """As one would type them; those that are not given are left out."""
    words: List[str] = []
    for option, value in options.items():
        if value is True:
            words.append(f'--{option}')
        elif value:
            words += [f'--{option}', *([str(v) for v in value] if isinstance(value, (list, tuple))
                                       else [str(value)])]
    return words
