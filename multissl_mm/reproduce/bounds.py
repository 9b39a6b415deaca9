"""What must hold of Table 2a if data, tasks and evaluations are sound."""
from pathlib import Path
from typing import Dict, List, NamedTuple

from rich.console import Console
from rich.table import Table

from .columns import Column, values
from .intervals import Interval, interval
from .results import written
from .sound import SINGLE, TABLE2A


class Bound(NamedTuple):
    """One of them.

    Args:
        title (str): In words.
        value, limit (Interval): What was measured, and against what, over the seeds that have both.
        held (int): In how many of these seeds it is so.
        holds (bool): Whether it is so of the means.
    """
    title: str
    value: Interval
    limit: Interval
    held: int
    holds: bool


def bounds(out: Path) -> List[Bound]:
    """Those of which all results are there."""
    found = {key: TABLE2A.collect(out, key) for key in SINGLE}
    checked: List[Bound] = []

    def of(key: str, run: str, metric: str) -> Dict[str, float]:
        return values(found[key], Column(metric, run, metric))

    def add(title: str, measured: Dict[str, float], against: Dict[str, float], times: float = 1.,
            below: bool = False) -> None:
        pairs = [(measured[seed], times * against[seed]) for seed in measured if seed in against]
        if pairs:
            value, limit = (interval(numbers) for numbers in zip(*pairs))
            checked.append(Bound(
                title, value, limit, sum(a < b if below else a > b for a, b in pairs),
                value.mean < limit.mean if below else value.mean > limit.mean))

    for key, row in SINGLE.items():
        error = of(key, 's3r', 'error')
        add(f'{row.title}: SP mIoU above 2 x that of the best constant map',
            of(key, 'sp', 'mIoU'), of(key, 'sp', 'constant'), 2.)
        add(f'{row.title}: S3R error below that of the input pair copied',
            error, of(key, 's3r', 'copy_error'), below=True)
        add(f'{row.title}: S3R error below that of the mean predictor',
            error, dict.fromkeys(error, 1.), below=True)
        add(f'{row.title}: VR among videos above 5 x chance',
            of(key, 'vr', 'video_top1'), of(key, 'vr', 'video_chance'), 5.)
    for key in 'abc':
        title = f'{SINGLE[key].title}, frozen'
        add(f'{title}: SP mIoU above random',
            of(key, 'sp_frozen', 'mIoU'), of('random', 'sp_frozen', 'mIoU'))
        add(f'{title}: S3R error below random', of(key, 's3r_frozen', 'error'),
            of('random', 's3r_frozen', 'error'), below=True)
    add('B, frozen: SP average precision above 3 x random',
        of('b', 'sp_frozen', 'mAP'), of('random', 'sp_frozen', 'mAP'), 3.)
    return checked


def show_bounds(out: Path, console: Console) -> None:
    """Prints whether what the single tasks are worth makes sense."""
    shown = Table('', 'measured', 'bound', 'seeds', '', title='What must hold of the means; mean ± '
                  'half of its 95 % interval, and in how many seeds it does')
    for bound in bounds(out):
        digits = 1 if bound.limit.mean > 1 else 4
        shown.add_row(bound.title, written(bound.value, digits), written(bound.limit, digits),
                      f'{bound.held} of {bound.value.seeds}',
                      'holds' if bound.holds else '[red]DOES NOT HOLD[/]')
    if shown.row_count:
        console.print(shown)
