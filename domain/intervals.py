"""Confidence intervals that need no library: the exact binomial one."""

from collections.abc import Callable
from math import comb, exp, hypot, lgamma, log, log1p

from domain.outcomes import Estimate


def rate(hits: int, trials: int, confidence: float = 0.95) -> Estimate:
    """A rate with its two-sided Clopper-Pearson interval; `ValueError` when there was no trial.

    Clopper & Pearson 1934: the bounds are the proportions under which `hits` or more (fewer) have probability
    (1 - confidence) / 2.
    """
    if trials < 1 or not 0 <= hits <= trials:
        raise ValueError(f"a rate needs 0 <= hits <= trials and one trial, got {hits} of {trials}")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda p: 1 - _cdf(hits - 1, trials, p), tail)
    high = 1.0 if hits == trials else _solve(lambda p: 1 - _cdf(hits, trials, p), 1 - tail)
    return Estimate(hits / trials, low, high, trials, hits)


def difference(before: Estimate, after: Estimate) -> Estimate:
    """after - before, with a 95 % interval from the two intervals, as if the two were independent.

    Newcombe's square-and-add (Statistics in Medicine 17:873, 1998, method 10; MOVER, Zou & Donner 2008). Of the same
    people before and after the two go together, and the interval is wider than need be.
    """
    change = after.value - before.value
    low = hypot(after.value - after.low, before.high - before.value)
    high = hypot(after.high - after.value, before.value - before.low)
    return Estimate(change, change - low, change + high, min(before.trials, after.trials))


def fisher(hits: int, trials: int, other_hits: int, other_trials: int) -> float:
    """P(so many of all hits, or more, fall into the first group), if both groups have one rate: Fisher's exact test.

    One-sided: small when the first group has more than its share.
    """
    everything, all_hits = trials + other_trials, hits + other_hits
    ways = sum(
        comb(trials, k) * comb(other_trials, all_hits - k)
        for k in range(hits, min(trials, all_hits) + 1)
    )
    return ways / comb(everything, all_hits)


def _cdf(hits: int, trials: int, p: float) -> float:
    """P(Binomial(trials, p) <= hits)."""
    if p <= 0:
        return 1.0
    if p >= 1:
        return 1.0 if hits >= trials else 0.0
    if trials <= 60:
        return sum(comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(hits + 1))
    return sum(
        exp(
            lgamma(trials + 1)
            - lgamma(k + 1)
            - lgamma(trials - k + 1)
            + k * log(p)
            + (trials - k) * log1p(-p)
        )
        for k in range(hits + 1)
    )


def _solve(rising: Callable[[float], float], target: float) -> float:
    """The p in [0, 1] at which a rising function reaches `target`, by bisection to 1e-12."""
    low, high = 0.0, 1.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        if rising(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2
