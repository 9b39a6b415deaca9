"""What the paper claims, as data: which row is above which, and in what."""
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .intervals import OPEN, Interval, interval, seeds_needed, verdict
from .pictures import CONTROLS, TABLE4
from .results import Column, Found, paper_value, values
from .row import Row
from .sound import COLUMNS, METHODS, PAPER, ROWS, controls


class Claim(NamedTuple):
    """One row is better than another, in some columns.

    Args:
        better, worse (str): Keys of rows.
        section (str): Of the paper; empty for what the paper does not compare: a control of ours.
        columns (tuple[str]): Titles.
    """
    better: str
    worse: str
    section: str
    columns: Tuple[str, ...]


class Checked(NamedTuple):
    """A claim in one column, and what was measured.

    Args:
        claim (Claim): Which.
        column (Column): In what.
        difference (Interval | None): Better minus worse, paired over seeds, positive where it is
            as claimed; None where there is nothing to compare.
        paper (float | None): The same in the paper.
        verdict (str): One of three.
        seeds (int | None): It would take so many to find a difference of the paper's size; for
            controls, of the size that was measured.
    """
    claim: Claim
    column: Column
    difference: Optional[Interval]
    paper: Optional[float]
    verdict: str
    seeds: Optional[int]


_DETECTION = ('box AP', 'mask AP')
#: Linear segmentation stands for detection where that was not run: it is not in the paper.
_DENSE = (*_DETECTION, 'linear seg. AP')
_ALL = ('SVM mAP', *_DENSE)
_IL, _MTL, _CONCAT = 'il_mocov2_densecl', 'mtl_mocov2_densecl', 'concat_mocov2_densecl'
_PICTURES: List[Claim] = [
    Claim('mocov2', 'densecl', '5.3', ('SVM mAP', )),
    Claim('densecl', 'mocov2', '5.3', _DENSE),
    Claim('mocov2', 'supervised', '5.3', ('SVM mAP', )),
    Claim('densecl', 'supervised', '5.3', _DETECTION),
    *(Claim(method, task, '1', _ALL) for method in (_MTL, _CONCAT)
      for task in ('mocov2', 'densecl')),
    *(Claim(_IL, other, '5.4', _ALL) for other in (
        'mocov2', 'densecl', _MTL, _CONCAT, 'supervised', 'detco')),
    *(Claim(_IL, control, '', _ALL) for control in CONTROLS),
    Claim(_CONCAT, 'concat_mocov2_mocov2', '', _ALL),
    Claim(_CONCAT, 'concat_densecl_densecl', '', _ALL),
]

_SP, _VR, _S3R = 'SP mIoU', 'VR, sounds', 'S3R error'
_THREE = (_SP, _VR, _S3R)
_FROZEN = ('SP mIoU, frozen', 'S3R error, frozen')
_SOUND: List[Claim] = [
    Claim('a', 'b', '5.3', (_S3R, _FROZEN[1])), Claim('a', 'c', '5.3', (_S3R, _FROZEN[1])),
    Claim('b', 'a', '5.3', (_SP, _VR, _FROZEN[0])), Claim('b', 'c', '5.3', (_SP, _VR, _FROZEN[0])),
    Claim('supervised', 'b', '5.3', (_SP, )), Claim('supervised', 'a', '5.3', (_S3R, )),
    *(Claim(f'il_{combination}', f'{method}_{combination}', '5.4', _THREE)
      for combination in ('b_c', 'b_c_a') for method, _, _ in METHODS if method != 'il'),
    *(Claim(f'{method}_{combination}', 'b', '1', (_SP, _VR))
      for combination in ('b_c', 'b_c_a') for method in ('concat', 'mtl', 'progressive')),
    Claim('il_b_c_a', 'b', '5.4', (_SP, _VR)), Claim('il_b_c_a', 'a', '5.4', (_S3R, )),
    Claim('il_b_c', 'b', '5.5', (_SP, )), Claim('il_b_c', 'c', '5.5', (_SP, )),
    Claim('il_b_c_a', 'supervised', '5.4', (_SP, _S3R)),
    *(Claim(f'{method}_b_c_a', f'{method}_{pair}', '5.5', _THREE)
      for method in ('concat', 'mtl', 'il') for pair in ('b_a', 'c_a', 'b_c')),
    *(Claim(f'il_{pair}', f'{method}_{pair}', '5.5', _THREE) for pair in ('b_a', 'c_a')
      for method in ('concat', 'mtl')),
    *(Claim(f'il_{combination}', key, '', _THREE) for combination in PAPER
      for key in controls(combination)),
    Claim('concat_b_c', 'concat_b_b', '', _THREE),
    Claim('concat_b_c_a', 'concat_b_b_b', '', _THREE),
]
#: What is claimed of pictures and of sound, with the rows and columns that it speaks of.
CLAIMS: Dict[str, Tuple[Sequence[Claim], Mapping[str, Row], Sequence[Column]]] = dict(
    pictures=(_PICTURES, TABLE4.rows, TABLE4.columns), sound=(_SOUND, ROWS, COLUMNS))


def check(subject: str, results: Mapping[str, Found]) -> List[Checked]:
    """All claims of a subject of whose rows there are results.

    Args:
        subject (str): ``pictures`` or ``sound``.
        results (mapping): Of every row, by its key.
    """
    claims, rows, columns = CLAIMS[subject]
    by_title = {column.title: column for column in columns}
    checked = []
    for claim in claims:
        if claim.better not in results or claim.worse not in results:
            continue
        for title in claim.columns:
            column = by_title[title]
            sign = -1. if column.below else 1.
            better, worse = (values(results[key], column) for key in (claim.better, claim.worse))
            both = [sign * (better[seed] - worse[seed]) for seed in better if seed in worse]
            if not both:
                continue
            found = interval(both)
            paper = [paper_value(rows[key], column) for key in (claim.better, claim.worse)]
            size = None if paper[0] is None or paper[1] is None else sign * (paper[0] - paper[1])
            checked.append(Checked(
                claim, column, found, size, verdict(found),
                seeds_needed(found.mean if size is None else size, found.deviation)))
    return checked


def counted(checked: Sequence[Checked]) -> Dict[str, int]:
    """How often each verdict was reached, the paper's claims alone."""
    verdicts = [one.verdict for one in checked if one.claim.section]
    return {name: verdicts.count(name) for name in dict.fromkeys(
        ('holds', 'does not hold', OPEN))}
