"""What must hold of Table 2a if data, tasks and evaluations are sound."""
from pathlib import Path
from typing import List, NamedTuple, Optional

from rich.console import Console
from rich.table import Table

from .intervals import interval
from .sound import SINGLE, TABLE2A


class Bound(NamedTuple):
    """One of them.

    Args:
        title (str): In words.
        value, limit (float): What was measured (mean over seeds), and against what.
        holds (bool): Whether it is so.
    """
    title: str
    value: float
    limit: float
    holds: bool


def bounds(out: Path) -> List[Bound]:
    """Those of which all results are there."""
    found = {key: TABLE2A.collect(out, key) for key in SINGLE}

    def mean(key: str, run: str, metric: str) -> Optional[float]:
        return interval([metrics[metric] for metrics in found[key][run].values()]).mean \
            if run in found[key] else None

    checked: List[Bound] = []

    def add(title: str, value: Optional[float], limit: Optional[float], times: float = 1.,
            below: bool = False) -> None:
        if value is not None and limit is not None:
            limit *= times
            checked.append(Bound(title, value, limit, value < limit if below else value > limit))

    for key, row in SINGLE.items():
        add(f'{row.title}: SP mIoU above 2 x that of the best constant map',
            mean(key, 'sp', 'mIoU'), mean(key, 'sp', 'constant'), 2.)
        add(f'{row.title}: S3R error below that of the input pair copied',
            mean(key, 's3r', 'error'), mean(key, 's3r', 'copy_error'), below=True)
        add(f'{row.title}: S3R error below that of the mean predictor',
            mean(key, 's3r', 'error'), 1., below=True)
        add(f'{row.title}: VR among videos above 5 x chance',
            mean(key, 'vr', 'video_top1'), mean(key, 'vr', 'video_chance'), 5.)
    for key in 'abc':
        title = f'{SINGLE[key].title}, frozen'
        add(f'{title}: SP mIoU above random',
            mean(key, 'sp_frozen', 'mIoU'), mean('random', 'sp_frozen', 'mIoU'))
        add(f'{title}: S3R error below random', mean(key, 's3r_frozen', 'error'),
            mean('random', 's3r_frozen', 'error'), below=True)
    add('B, frozen: SP average precision above 3 x random',
        mean('b', 'sp_frozen', 'mAP'), mean('random', 'sp_frozen', 'mAP'), 3.)
    return checked


def show_bounds(out: Path, console: Console) -> None:
    """Prints whether what the single tasks are worth makes sense."""
    shown = Table('', 'measured', 'bound', '', title='What must hold')
    for bound in bounds(out):
        digits = 1 if bound.limit > 1 else 4
        shown.add_row(bound.title, f'{bound.value:.{digits}f}', f'{bound.limit:.{digits}f}',
                      'holds' if bound.holds else '[red]DOES NOT HOLD[/]')
    if shown.row_count:
        console.print(shown)
