"""CPU time of the VOC07 SVMs: one after another by liblinear, or all on their Gram matrix."""
import itertools
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from rich.console import Console
from rich.table import Table

from ..evaluation.voc07 import COSTS, SOLVERS, evaluate_voc07
from ..utils.files import write_atomically
from .timing import interleaved, ratio

#: Of a class in a feature, against what is noise to it: precisions are neither 0 nor 1.
SIGNAL = .4


class Problem(NamedTuple):
    """The size of an evaluation; by default that of VOC2007 with feat5 of a ResNet-50.

    Args:
        images (int): Of trainval; test has as many.
        dimensions (int): Of a feature.
        classes (int): That are fitted together.
        sample (int): How many of them liblinear fits in a round, in turn.
    """
    images: int = 5011
    dimensions: int = 8192
    classes: int = 20
    sample: int = 1


def measure_svm(problem: Problem = Problem(), costs: Sequence[float] = COSTS,  # noqa: B008
                rounds: int = 3, out: Optional[Path] = None, console: Optional[Console] = None
                ) -> Dict[str, Any]:
    """Measures both solvers in turn on features that are made for it, on one core.

    In every round liblinear fits the next classes alone, with all costs and folds, and the Gram
    matrix serves all of them; what liblinear would take for all is that times classes / sample.
    Seconds are those of this process: start it with OMP_NUM_THREADS=1.

    Args:
        problem (Problem): Its size.
        costs (sequence[float]): To choose from.
        rounds (int): That count.
        out (Path, optional): JSON file for the results.
        console (Console, optional): Where the table is printed.

    Returns:
        dict: ``seconds`` of each solver for all classes in every round, ``speedup``, the median
        over rounds of their ratio, and of each class that both fitted its ``AP`` and ``cost`` by
        either.
    """
    x, y, x_test, y_test = synthetic(problem)
    drawn = itertools.cycle(range(problem.classes))
    found: Dict[str, Dict[str, Any]] = {solver: {} for solver in SOLVERS}
    stuck = dict.fromkeys(SOLVERS, 0)

    def fit(solver: str) -> None:
        columns = list(range(problem.classes)) if solver == 'gram' else \
            list(itertools.islice(drawn, problem.sample))
        report = evaluate_voc07(x, y[:, columns], x_test, y_test[:, columns],
                                [f'class{c}' for c in columns], costs, jobs=1, progress=False,
                                solver=solver, device='cpu')
        found[solver].update(report['classes'])
        stuck[solver] = max(stuck[solver], report['not_converged'])

    seconds = interleaved({solver: partial(fit, solver) for solver in SOLVERS}, rounds,
                          time.process_time, warm_up=False)
    seconds['liblinear'] = [s * problem.classes / problem.sample for s in seconds['liblinear']]
    both = {name: {solver: {key: found[solver][name][key] for key in ('AP', 'cost')}
                   for solver in SOLVERS} for name in found['liblinear']}
    speedup = ratio(seconds['liblinear'], seconds['gram'])
    table = Table('class', *(f'{key}, {solver}' for key in ('AP', 'cost') for solver in SOLVERS),
                  title=f'{problem.images} x {problem.dimensions}, {problem.classes} classes, '
                  f'{len(costs)} costs')
    for name, row in both.items():
        table.add_row(name, *(f'{row[solver]["AP"]:.3f}' for solver in SOLVERS),
                      *(f'{row[solver]["cost"]:.6g}' for solver in SOLVERS))
    console = console or Console()
    console.print(table)
    medians = {solver: statistics.median(values) for solver, values in seconds.items()}
    console.print(f'CPU seconds for all classes, median of {rounds} rounds: gram '
                  f'{medians["gram"]:,.1f}, liblinear {medians["liblinear"]:,.1f} (from '
                  f'{problem.sample} of {problem.classes} classes a round); median of the ratio '
                  f'in a round: {speedup:.1f}', highlight=False, soft_wrap=True)
    result = dict(problem=problem._asdict(), seconds=seconds, speedup=speedup, classes=both,
                  not_converged=stuck)
    if out:
        write_atomically(out, json.dumps(result))
    return result


def synthetic(problem: Problem) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features as of a ReLU, whose variance falls off by a power law, and their labels; x, y twice.

    One class is in 40 % of the images and the others in 3 to 15 %, as in VOC2007.
    """
    rng = np.random.default_rng(0)
    count, hidden = 2 * problem.images, min(512, problem.dimensions)
    share = np.r_[rng.uniform(.03, .15, problem.classes - 1), .4]
    y = np.where(rng.random((count, problem.classes)) < share, 1, -1)
    spread = np.arange(1, hidden + 1.)**-.6
    latent = spread * (3 * rng.normal(size=(count, hidden)) +
                       SIGNAL * (y > 0) @ rng.normal(size=(problem.classes, hidden)))
    weight = rng.normal(size=(hidden, problem.dimensions)) / (2 * np.linalg.norm(spread))
    x = np.maximum(latent @ weight + .3 * rng.normal(size=(count, problem.dimensions)), 0)
    x = x.astype(np.float32)
    return x[:problem.images], y[:problem.images], x[problem.images:], y[problem.images:]
