"""What must hold of tables if data, tasks and evaluations are sound."""
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Sequence

from rich.console import Console
from rich.table import Table

from .columns import Column, values
from .intervals import Interval, interval
from .pictures import MASK_RCNN, SEGMENTATION, SVM, TABLE4
from .results import PaperTable, written
from .sound import SINGLE, TABLE2A

_IL = 'il_mocov2_densecl'


class Bound(NamedTuple):
    """One of them.

    Args:
        title (str): In words.
        value, limit (Interval): What was measured, and against what, over the seeds that have both.
        held (int): In how many of these seeds it is so.
        holds (bool): Whether it is so: in the mean, or in every seed where that is asked.
    """
    title: str
    value: Interval
    limit: Interval
    held: int
    holds: bool

    def cells(self) -> List[str]:
        """As in a table: in words, what was measured, against what, in how many seeds."""
        digits = 1 if self.limit.mean > 1 else 4
        return [self.title, written(self.value, digits), written(self.limit, digits),
                f'{self.held} of {self.value.seeds}']


class _Checks:
    """Bounds on what the rows of a table have got.

    Args:
        table (PaperTable): That has the rows.
        out (Path): Where their results are.
        keys (sequence[str]): Rows.
    """

    def __init__(self, table: PaperTable, out: Path, keys: Iterable[str]) -> None:
        self.found = {key: table.collect(out, key) for key in keys}
        self.checked: List[Bound] = []

    def of(self, key: str, run: str, metric: str) -> Dict[str, float]:
        """By seed."""
        return values(self.found[key], Column(metric, run, metric))

    def add(self, title: str, measured: Dict[str, float], against: Dict[str, float],
            times: float = 1., plus: float = 0., below: bool = False, every: bool = False) -> None:
        """Adds a bound, where there are seeds with both.

        Args:
            times, plus (float): The limit is that of ``against``, times and plus so much.
            below (bool): Whether it is an upper one.
            every (bool): Whether it must hold in every seed, not in the mean alone.
        """
        pairs = [(measured[seed], times * against[seed] + plus)
                 for seed in measured if seed in against]
        if not pairs:
            return
        value, limit = (interval(numbers) for numbers in zip(*pairs))
        held = sum(a < b if below else a >= b if plus else a > b for a, b in pairs)
        holds = held == len(pairs) if every else \
            value.mean < limit.mean if below else value.mean > limit.mean
        self.checked.append(Bound(title, value, limit, held, holds))


def sound_bounds(out: Path) -> List[Bound]:
    """What must hold of Table 2a if data, tasks and evaluations are sound."""
    checks = _Checks(TABLE2A, out, SINGLE)
    of, add = checks.of, checks.add
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
        frozen = of(key, 's3r_frozen', 'error')
        add(f'{row.title}, frozen: S3R error below that of the mean predictor, every seed',
            frozen, dict.fromkeys(frozen, 1.), below=True, every=True)
    for key in 'abc':
        title = f'{SINGLE[key].title}, frozen'
        add(f'{title}: SP mIoU above random',
            of(key, 'sp_frozen', 'mIoU'), of('random', 'sp_frozen', 'mIoU'))
        add(f'{title}: S3R error below random, every seed', of(key, 's3r_frozen', 'error'),
            of('random', 's3r_frozen', 'error'), below=True, every=True)
    # 1.5 on the scenes for validation, in the mean of five seeds (docs/results/sound.md).
    add('B, frozen: SP average precision above 1.3 x random',
        of('b', 'sp_frozen', 'mAP'), of('random', 'sp_frozen', 'mAP'), 1.3)
    return checks.checked


#: Row, evaluation, metric, and by how much it is above random in every seed.
_WORTH = (('mocov2', SVM, 'mAP', 3.), (_IL, SVM, 'mAP', 5.),
          ('densecl', SEGMENTATION, 'mAP', 5.), (_IL, SEGMENTATION, 'mAP', 8.),
          (_IL, MASK_RCNN, 'bbox_mAP', 2.))
#: What rows and evaluations are called.
_NAMES = {'mocov2': 'M', 'densecl': 'D', _IL: 'IL', SVM: 'SVM mAP',
          SEGMENTATION: 'linear segmentation', MASK_RCNN: 'box AP'}


def picture_bounds(out: Path) -> List[Bound]:
    """What must hold of pictures if pretraining at the demo's size is worth anything."""
    checks = _Checks(TABLE4, out, ('random', 'mocov2', 'densecl', _IL))
    for key, run, metric, worth in _WORTH:
        checks.add(f'{_NAMES[key]}: {_NAMES[run]} at least {worth:.0f} above random, every seed',
                   checks.of(key, run, metric), checks.of('random', run, metric), plus=worth,
                   every=True)
    for better, worse, run in (('mocov2', 'densecl', SVM), ('densecl', 'mocov2', SEGMENTATION)):
        checks.add(f'{_NAMES[better]}: {_NAMES[run]} above that of {_NAMES[worse]}',
                   checks.of(better, run, 'mAP'), checks.of(worse, run, 'mAP'))
    return checks.checked


#: By the names of tables, at demo size, of simulated streets.
BOUNDS = {TABLE2A.name: sound_bounds, TABLE4.name: picture_bounds}


def show_bounds(bounds: Sequence[Bound], console: Console) -> None:
    """Prints whether what encoders are worth makes sense."""
    shown = Table('', 'measured', 'bound', 'seeds', '', title='What must hold, of the means where '
                  'nothing else is said; mean ± half of its 95 % interval, and in how many seeds')
    for bound in bounds:
        shown.add_row(*bound.cells(), 'holds' if bound.holds else '[red]DOES NOT HOLD[/]')
    if shown.row_count:
        console.print(shown)
