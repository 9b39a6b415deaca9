"""Columns of tables, and what rows have got in them."""
from typing import Any, Dict, NamedTuple, Optional

#: Metrics by seed, and under ``made`` where they come from.
Seeds = Dict[str, Dict[str, Any]]
#: Of a row: evaluation: seed: metrics.
Found = Dict[str, Seeds]

#: Evaluations that go on training the encoder, unless it is concatenated.
TRAINING = 'mask_rcnn', 'sp', 's3r'


class Column(NamedTuple):
    """A column of a table.

    Args:
        title (str): At its head.
        run (str): The evaluation that it comes from.
        metric (str): Of that evaluation.
        digits (int): After the point.
        paper (int | None): Which of a row's numbers in the paper it is.
        without (str | None): Metric that says what nothing but a guess gets.
        below (bool): Whether less is better.
    """
    title: str
    run: str
    metric: str
    digits: int = 1
    paper: Optional[int] = None
    without: Optional[str] = None
    below: bool = False

    @property
    def trains(self) -> bool:
        """Whether the encoder is trained further."""
        return self.run in TRAINING


def values(found: Found, column: Column, metric: Optional[str] = None) -> Dict[str, float]:
    """What each seed of a row got in a column."""
    metric = metric or column.metric
    return {seed: metrics[metric] for seed, metrics in found.get(column.run, {}).items()
            if metric in metrics}
