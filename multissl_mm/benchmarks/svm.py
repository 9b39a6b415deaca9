"""CPU time of the VOC07 SVMs: one after another by liblinear, or all on their Gram matrix."""
import json
import time
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from rich.console import Console
from rich.table import Table

from ..evaluation.voc07 import COSTS, SOLVERS, evaluate_voc07

#: Of a class in a feature, against what is noise to it: precisions are neither 0 nor 1.
SIGNAL = .4


class Problem(NamedTuple):
    """The size of an evaluation; by default that of VOC2007 with feat5 of a ResNet-50.

    Args:
        images (int): Of trainval; test has as many.
        dimensions (int): Of a feature.
        classes (int): That are fitted together.
        sample (int): How many of them liblinear fits as well.
    """
    images: int = 5011
    dimensions: int = 8192
    classes: int = 20
    sample: int = 1


def measure_svm(problem: Problem = Problem(), costs: Sequence[float] = COSTS,  # noqa: B008
                out: Optional[Path] = None, console: Optional[Console] = None) -> Dict[str, Any]:
    """Measures both solvers on features that are made for it, on one core.

    Liblinear fits the first classes alone, with all costs and folds; what all would take is that
    times classes / sample. Seconds are those of this process: start it with OMP_NUM_THREADS=1.

    Args:
        problem (Problem): Its size.
        costs (sequence[float]): To choose from.
        out (Path, optional): JSON file for the results.
        console (Console, optional): Where the table is printed.

    Returns:
        dict: ``seconds`` of each solver for all classes, ``speedup``, and of each class that both
        fitted its ``AP`` and ``cost`` by either.
    """
    x, y, x_test, y_test = synthetic(problem)
    names = [f'class{c}' for c in range(problem.classes)]
    seconds, found = {}, {}
    for solver in SOLVERS:
        count = problem.classes if solver == 'gram' else problem.sample
        start = time.process_time()
        found[solver] = evaluate_voc07(x, y[:, :count], x_test, y_test[:, :count], names[:count],
                                       costs, jobs=1, progress=False, solver=solver, device='cpu')
        seconds[solver] = (time.process_time() - start) * problem.classes / count
    both = {name: {solver: {key: found[solver]['classes'][name][key] for key in ('AP', 'cost')}
                   for solver in SOLVERS} for name in names[:problem.sample]}
    speedup = seconds['liblinear'] / seconds['gram']
    table = Table('class', *(f'{key}, {solver}' for key in ('AP', 'cost') for solver in SOLVERS),
                  title=f'{problem.images} x {problem.dimensions}, {problem.classes} classes, '
                  f'{len(costs)} costs')
    for name, row in both.items():
        table.add_row(name, *(f'{row[solver]["AP"]:.3f}' for solver in SOLVERS),
                      *(f'{row[solver]["cost"]:.6g}' for solver in SOLVERS))
    console = console or Console()
    console.print(table)
    console.print(f'CPU seconds for all classes: gram {seconds["gram"]:.0f}, liblinear '
                  f'{seconds["liblinear"]:.0f} (from {problem.sample} of {problem.classes} '
                  f'classes): {speedup:.1f} x', highlight=False, soft_wrap=True)
    result = dict(problem=problem._asdict(), seconds=seconds, speedup=speedup, classes=both,
                  not_converged={solver: found[solver]['not_converged'] for solver in SOLVERS})
    if out:
        out.write_text(json.dumps(result))
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
