"""Intervals for means and for the area under the ROC curve, and the range of a control group."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import NormalDist, fmean, stdev

from domain.intervals import rate
from domain.outcomes import Estimate


def mean(values: Sequence[float]) -> Estimate:
    """The mean with a 95 % Student interval; that of a single value, or of one that is not finite, is unbounded.

    Raises `ValueError` for no values.
    """
    if not values:
        raise ValueError("a mean needs at least one value")
    middle = fmean(values)
    if len(values) < 2 or not math.isfinite(middle):
        return Estimate(middle, -math.inf, math.inf, len(values))
    half = student(len(values) - 1, 0.025) * stdev(values) / math.sqrt(len(values))
    return Estimate(middle, middle - half, middle + half, len(values))


def share(values: Sequence[float]) -> Estimate:
    """`mean` of values between 0 and 1; the interval ends there too."""
    found = mean(values)
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high), found.trials)


def auc(members: Sequence[float], controls: Sequence[float], confidence: float = 0.95) -> Estimate:
    """P(a member scores lower than a control), ties half; low scores mean "known".

    The interval is Newcombe's method 5 (Statistics in Medicine 25:559, 2006): it does not collapse when the groups are
    apart, as bootstrap and DeLong do with few members. NaN when a score is. Raises `ValueError` when a group is empty.
    """
    if not members or not controls:
        raise ValueError("an AUC needs members and controls")
    if any(map(math.isnan, (*members, *controls))):
        return Estimate(math.nan, math.nan, math.nan, len(members))
    won = sum((m < c) + 0.5 * (m == c) for m in members for c in controls)
    area = won / (len(members) * len(controls))
    z = NormalDist().inv_cdf((1 + confidence) / 2)

    def gap(theta: float) -> float:
        return abs(area - theta) - z * math.sqrt(_hanley(theta, len(members), len(controls)))

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


def upper_range(values: Sequence[float], tail: float = 0.05) -> float:
    """The upper end of the controls' range: a one-sided prediction bound for one more of them, 95 % by default.

    Exceeded by one in twenty strangers if the values are normal; never below the largest value seen. An attack that
    judges m scores gives each a `tail` of 0.05 / m (Bonferroni). NaN, a bound for nothing, where a value is not finite.
    """
    if not all(map(math.isfinite, values)):
        return math.nan
    if len(values) < 2:
        return max(values, default=math.nan)
    spread = student(len(values) - 1, tail) * stdev(values) * math.sqrt(1 + 1 / len(values))
    return max(*values, fmean(values) + spread)


def group_range(values: Sequence[float], tail: float = 0.05) -> Estimate:
    """The mean of a control group, with its range (least value, `upper_range`) in place of the mean's interval."""
    return Estimate(fmean(values), min(values), upper_range(values, tail), len(values))


def tpr(
    members: Sequence[float], controls: Sequence[float], false_positives: float
) -> Estimate | None:
    """Share of members found when at most that share of controls is taken for members; low scores mean "known".

    With its Clopper-Pearson interval. The threshold is the lowest control score that may not be passed: a member is
    found when its score is strictly below all but floor(share * controls) control scores. None when there are fewer
    than 10 / share controls: then the share cannot be set.
    """
    if not members or len(controls) < 10 / false_positives:
        return None
    threshold = sorted(controls)[math.floor(false_positives * len(controls) + 1e-9)]
    return rate(sum(m < threshold for m in members), len(members))


@lru_cache
def student(freedom: int, tail: float) -> float:
    """The value that Student's t with `freedom` degrees exceeds with probability `tail` < 1/2."""
    low, high = 0.0, 1.0
    while _above(high, freedom) > tail:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _above(middle, freedom) > tail else (low, middle)
    return (low + high) / 2


def _above(t: float, freedom: int) -> float:
    """P(T > t) for t >= 0, in closed form (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    theta = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    odd = freedom % 2
    total, term = 0.0, cosine if odd else 1.0
    for k in range(3 if odd else 2, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (k - 1) / k
    inside = 2 / math.pi * (theta + sine * total) if odd else sine * total
    return (1 - inside) / 2
