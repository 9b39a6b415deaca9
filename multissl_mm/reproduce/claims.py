"""What the paper claims, as data: which row is above which, and in what."""
from typing import Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from .intervals import (
    FAILS,
    HOLDS,
    OPEN,
    Interval,
    false_discovery_rates,
    interval,
    p_value,
    seeds_needed,
    verdict,
)
from .pictures import CONTROLS, TABLE4
from .results import Column, Found, PaperTable, paper_value, values
from .row import Row
from .second_head import SECOND_HEAD
from .sound import COLUMNS, METHODS, PAPER, ROWS, controls
from .sound_study import SOUND_STUDY
from .study import STUDY


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
        rate (float | None): False discovery rate among the claims of its kind that are as clear;
            None of too few seeds.
    """
    claim: Claim
    column: Column
    difference: Optional[Interval]
    paper: Optional[float]
    verdict: str
    seeds: Optional[int]
    rate: Optional[float] = None

    @property
    def kind(self) -> str:
        """``paper``: as it compares. ``elsewhere``: so, in a column that it lacks. ``control``."""
        if not self.claim.section:
            return 'control'
        return 'elsewhere' if self.paper is None else 'paper'


_DETECTION = ('box AP', 'mask AP')
#: Linear segmentation stands for detection where that was not run: it is not in the paper.
_DENSE = (*_DETECTION, 'linear seg. AP')
_ALL = ('SVM mAP', *_DENSE)
_IL, _MTL, _CONCAT = 'il_mocov2_densecl', 'mtl_mocov2_densecl', 'concat_mocov2_densecl'
_SHORT = 'il_short_mocov2_densecl', 'nothing_short_mocov2_densecl'
_LONG_PICTURES = ('mocov2_long', 'densecl_long', 'mtl_long')
_PICTURES: List[Claim] = [
    Claim('mocov2', 'densecl', '5.3', ('SVM mAP', )),
    Claim('densecl', 'mocov2', '5.3', _DENSE),
    Claim('mocov2', 'supervised', '5.3', ('SVM mAP', )),
    Claim('densecl', 'supervised', '5.3', _DETECTION),
    *(Claim(method, task, '1', _ALL) for method in (_MTL, _CONCAT)
      for task in ('mocov2', 'densecl')),
    *(Claim(method, 'supervised', '1', ('SVM mAP', *_DETECTION)) for method in (_MTL, _CONCAT)),
    *(Claim(_IL, other, '5.4', _ALL) for other in (
        'mocov2', 'densecl', _MTL, _CONCAT, 'supervised', 'detco')),
    *(Claim(_IL, control, '', _ALL) for control in CONTROLS),
    *(Claim(short, other, '', _ALL) for short in _SHORT for other in (_IL, *_LONG_PICTURES)),
    Claim(_CONCAT, 'concat_mocov2_mocov2', '', _ALL),
    Claim(_CONCAT, 'concat_densecl_densecl', '', _ALL),
]

_SP, _VR, _S3R = 'SP mIoU', 'VR, sounds', 'S3R error'
_THREE = (_SP, _VR, _S3R)
#: Not in the paper: where encoders differ most at this size, and where concatenated ones, which are
#: always frozen, are compared with their like.
_FROZEN = ('SP mIoU, frozen', 'SP mAP, frozen', 'S3R error, frozen')
_SP_FROZEN, _S3R_FROZEN = _FROZEN[:2], _FROZEN[2:]
_EVERY = (*_THREE, *_FROZEN)
_SOUND: List[Claim] = [
    Claim('a', 'b', '5.3', (_S3R, *_S3R_FROZEN)), Claim('a', 'c', '5.3', (_S3R, *_S3R_FROZEN)),
    Claim('b', 'a', '5.3', (_SP, _VR, *_SP_FROZEN)),
    Claim('b', 'c', '5.3', (_SP, _VR, *_SP_FROZEN)),
    # With labels of the same scenes, and, as in the paper, of AudioSet.
    *(claim for labels in ('supervised', 'audioset') for claim in (
        Claim(labels, 'b', '5.3', (_SP, )), Claim(labels, 'a', '5.3', (_S3R, )),
        *(Claim(f'{method}_b_c_a', labels, '5.4' if method == 'il' else '1', (_SP, _S3R))
          for method, _, _ in METHODS))),
    *(Claim(f'il_{combination}', f'{method}_{combination}', '5.4', _EVERY)
      for combination in ('b_c', 'b_c_a') for method, _, _ in METHODS if method != 'il'),
    *(Claim(f'{method}_{combination}', 'b', '1', (_SP, _VR, *_SP_FROZEN))
      for combination in ('b_c', 'b_c_a') for method, _, _ in METHODS if method != 'il'),
    *(Claim(f'{method}_b_c_a', 'a', '1', (_S3R, *_S3R_FROZEN))
      for method, _, _ in METHODS if method != 'il'),
    Claim('il_b_c_a', 'b', '5.4', (_SP, _VR, *_SP_FROZEN)),
    Claim('il_b_c_a', 'a', '5.4', (_S3R, *_S3R_FROZEN)),
    Claim('il_b_c', 'b', '5.5', (_SP, )), Claim('il_b_c', 'c', '5.5', (_SP, )),
    *(Claim(f'{method}_b_c_a', f'{method}_{pair}', '5.5', _EVERY)
      for method in ('concat', 'mtl', 'il') for pair in ('b_a', 'c_a', 'b_c')),
    *(Claim(f'il_{pair}', f'{method}_{pair}', '5.5', _EVERY) for pair in ('b_a', 'c_a')
      for method in ('concat', 'mtl')),
    *(Claim(f'il_{combination}', key, '', _EVERY) for combination in PAPER
      for key in controls(combination)),
    Claim('concat_b_c', 'concat_b_b', '', _EVERY),
    Claim('concat_b_c_a', 'concat_b_b_b', '', _EVERY),
]


def _each(table: PaperTable, others: Sequence[str], *singles: str) -> List[Claim]:
    """Every row of a table against some of its rows, in all of its columns; each pair once."""
    columns = tuple(column.title for column in table.columns)
    pairs: Dict[FrozenSet[str], Claim] = {}
    for key in table.rows:
        for other in others if key not in singles else ():
            if other != key:
                pairs.setdefault(frozenset((key, other)), Claim(key, other, '', columns))
    return [*pairs.values()]


_LONG_SOUND = ('a_long', 'b_long', 'c_long', 'mtl_long')
#: What is claimed of pictures and of sound, and of tables in folders of their own by their names,
#: with the rows and columns that it speaks of. None of the latter is in the paper.
CLAIMS: Dict[str, Tuple[Sequence[Claim], Mapping[str, Row], Sequence[Column]]] = {
    'pictures': (_PICTURES, TABLE4.rows, TABLE4.columns), 'sound': (_SOUND, ROWS, COLUMNS),
    **{table.name: (claims, table.rows, table.columns) for table, claims in (
        (STUDY, _each(STUDY, (*_LONG_PICTURES, 'nothing'), 'random', 'mocov2', 'densecl',
                      *_LONG_PICTURES)),
        (SOUND_STUDY, _each(SOUND_STUDY, (*_LONG_SOUND, 'nothing'), 'random', *'abc',
                            *_LONG_SOUND)),
        (SECOND_HEAD, _each(SECOND_HEAD, ('random', 'supervised', 'b_long_b_c_a',
                                          'mtl_long_b_c_a'), 'random', 'supervised')))}}


def check(subject: str, results: Mapping[str, Found]) -> List[Checked]:
    """All claims of a subject of whose rows there are results.

    What the paper says of its methods as a whole is no claim in a column where its own numbers
    contradict it.

    Args:
        subject (str): Of :data:`CLAIMS`.
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
            if claim.section and size is not None and size <= 0:
                continue
            checked.append(Checked(
                claim, column, found, size, verdict(found),
                seeds_needed(abs(found.mean) if size is None else size, found.deviation)))
    for kind in {one.kind for one in checked}:
        its = [i for i, one in enumerate(checked) if one.kind == kind]
        rates = false_discovery_rates([p_value(checked[i].difference) for i in its])
        for i, rate in zip(its, rates):
            checked[i] = checked[i]._replace(rate=rate)
    return checked


def counted(checked: Sequence[Checked]) -> Dict[str, int]:
    """How often each verdict was reached, of what the paper has numbers of."""
    verdicts = [one.verdict for one in checked if one.kind == 'paper']
    return {name: verdicts.count(name) for name in (HOLDS, FAILS, OPEN)}


def surviving(checked: Sequence[Checked], rate: float = .05) -> Tuple[int, int]:
    """How many are decided one by one, and how many of these at a false discovery rate."""
    decided = [one for one in checked if one.verdict != OPEN]
    return len(decided), sum(one.rate is not None and one.rate <= rate for one in decided)
