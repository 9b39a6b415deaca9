"""Means over seeds, what they decide, and how many seeds it would take."""
import math
import statistics
from typing import List, NamedTuple, Optional, Sequence

HOLDS, FAILS, OPEN = 'holds', 'does not hold', 'not decided at this scale'
#: With two seeds nothing is decided: of rounded numbers two differences are now and then the same.
LEAST = 3


class Interval(NamedTuple):
    """A mean over seeds with its 95 % interval (Student's t); open where there is one seed."""
    mean: float
    low: Optional[float]
    high: Optional[float]
    deviation: Optional[float]  # standard deviation of a sample, n - 1
    seeds: int


def interval(values: Sequence[float]) -> Interval:
    """Of at least one value."""
    count = len(values)
    if any(map(math.isnan, values)):
        return Interval(math.nan, None, None, None, count)
    mean = statistics.mean(values)
    if count < 2:
        return Interval(mean, None, None, None, count)
    from scipy.stats import t
    deviation = statistics.stdev(values)
    half = float(t.ppf(.975, count - 1)) * deviation / math.sqrt(count)
    return Interval(mean, mean - half, mean + half, deviation, count)


def verdict(difference: Optional[Interval]) -> str:
    """Whether something is more than something else.

    Args:
        difference (Interval, optional): By how much, paired over seeds; None where there is none.
    """
    if difference is None or difference.seeds < LEAST or difference.low is None \
            or difference.high is None:
        return OPEN
    return HOLDS if difference.low > 0 else FAILS if difference.high < 0 else OPEN


def p_value(difference: Optional[Interval]) -> Optional[float]:
    """Of a paired t-test, two-sided, that the mean is zero; None of too few seeds."""
    if difference is None or difference.seeds < LEAST or difference.deviation is None:
        return None
    if difference.deviation == 0:
        return float(difference.mean == 0)
    from scipy.stats import t
    size = abs(difference.mean) / difference.deviation * math.sqrt(difference.seeds)
    return float(2 * t.sf(size, difference.seeds - 1))


def false_discovery_rates(p_values: Sequence[Optional[float]]) -> List[Optional[float]]:
    """Of each, that of all that are as small (Benjamini and Hochberg); None where there is none."""
    from scipy.stats import false_discovery_control
    known = [p for p in p_values if p is not None]
    rates = iter(false_discovery_control(known).tolist() if known else ())
    return [None if p is None else next(rates) for p in p_values]


def seeds_needed(effect: Optional[float], deviation: Optional[float], most: int = 1000
                 ) -> Optional[int]:
    """Seeds with which a paired t-test (5 %, two-sided) finds an effect 4 times out of 5.

    Args:
        effect (float, optional): Mean of the differences.
        deviation (float, optional): Standard deviation of the differences, as it was measured.
        most (int): Look no further.

    Returns:
        int | None: None where one of them is not known, the effect is not positive, or it would
        take more than ``most``.
    """
    if effect is None or deviation is None or effect <= 0:
        return None
    if deviation == 0:
        return LEAST
    from scipy.stats import nct, t

    def found(count: int) -> bool:
        limit = float(t.ppf(.975, count - 1))
        return float(nct.sf(limit, count - 1, effect / deviation * math.sqrt(count))) >= .8

    if effect / deviation * math.sqrt(2) > 30:  # beyond what the distribution is computed for
        return LEAST
    low, high = LEAST - 1, LEAST  # not enough; to be tried
    while not found(high):
        low, high = high, 2 * high
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high if high <= most else None
