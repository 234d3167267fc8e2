"""Intervals for means and for the area under the ROC curve, and the range of a control group."""

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from domain.outcomes import Estimate

Z95 = 1.959964


def mean(values: Sequence[float]) -> Estimate:
    """The mean with a 95 % Student interval; the interval of a single value is unbounded, written as the value's own.

    Raises `ValueError` for no values.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    middle = fmean(values)
    if len(values) < 2:
        return Estimate(middle, -math.inf, math.inf, 1)
    half = student95(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(middle, middle - half, middle + half, len(values))


def share(values: Sequence[float]) -> Estimate:
    """`mean` of values between 0 and 1; the interval ends there too."""
    found = mean(values)
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high), found.trials)


def auc(members: Sequence[float], controls: Sequence[float]) -> Estimate:
    """P(a member scores lower than a control), ties half; low scores mean "known".

    The interval is Newcombe's method 5 (Statistics in Medicine 25:559, 2006): it does not collapse when the groups are
    apart, as bootstrap and DeLong do with few members. Raises `ValueError` when a group is empty.
    """
    if not members or not controls:
        raise ValueError("an AUC needs members and controls")
    won = sum((m < c) + 0.5 * (m == c) for m in members for c in controls)
    area = won / (len(members) * len(controls))

    def gap(theta: float) -> float:
        return abs(area - theta) - Z95 * math.sqrt(_hanley(theta, len(members), len(controls)))

    low = 0.0 if gap(0.0) <= 0 else _root(gap, 0.0, area)
    high = 1.0 if gap(1.0) <= 0 else _root(gap, 1.0, area)
    return Estimate(area, low, high, len(members))


def _hanley(theta: float, m: int, n: int) -> float:
    """Hanley & McNeil's variance with both sample sizes replaced by their mean, as Newcombe's method 5 has it."""
    star = (m + n) / 2 - 1
    spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
    return theta * (1 - theta) * (1 + star * spread) / (m * n)


def _root(gap: Callable[[float], float], outside: float, inside: float) -> float:
    """Where `gap` changes sign between a point outside the interval and one inside."""
    for _ in range(60):
        middle = (outside + inside) / 2
        if gap(middle) > 0:
            outside = middle
        else:
            inside = middle
    return (outside + inside) / 2


def upper_range(values: Sequence[float]) -> float:
    """The upper end of the controls' range: a one-sided 95 % prediction bound for one more of them.

    Exceeded by one in twenty strangers if the values are normal; never below the largest value seen.
    """
    if len(values) < 2:
        return max(values, default=math.nan)
    spread = student90(len(values) - 1) * stdev(values) * math.sqrt(1 + 1 / len(values))
    return max(*values, fmean(values) + spread)


_T975 = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)
_T950 = (
    6.314,
    2.920,
    2.353,
    2.132,
    2.015,
    1.943,
    1.895,
    1.860,
    1.833,
    1.812,
    1.796,
    1.782,
    1.771,
    1.761,
    1.753,
)


def student95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t (Cornish-Fisher beyond the table)."""
    return _T975[freedom - 1] if freedom <= len(_T975) else _beyond(Z95, freedom)


def student90(freedom: int) -> float:
    """One-sided 95 % quantile of Student's t."""
    return _T950[freedom - 1] if freedom <= len(_T950) else _beyond(1.644854, freedom)


def _beyond(z: float, freedom: int) -> float:
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
