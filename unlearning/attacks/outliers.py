"""Does one person stand out among strangers, all scores taken together, towards either side?

Many scores, one test: each is put in standard deviations of all the others, and the largest deviation counts (Westfall
& Young 1993, max-T). A stranger's own largest deviation, from the person and the other strangers, is what chance gives:
one who was never read is but one more stranger, so all are treated alike (Vovk et al. 2005, the deleted prediction). A
stranger who is odd too does not hide the person, for each widens what the other is measured by. The correlation of the
scores is in it, so nothing has to be corrected for their number. Two-sided: text pushed past the level of never-seen
text gives a person away as well.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from domain.outcomes import Estimate, Rule, Score
from unlearning.statistics import group_range

FEWEST = 4
"""Strangers below which the deviation of one from the others cannot be told."""


def stands_out(
    person: Mapping[str, float], strangers: Sequence[Mapping[str, float]], metric: str
) -> tuple[Score, ...]:
    """The person's largest deviation against the strangers' range; nothing where there are too few strangers.

    Both are averages over a person's passages, by score; the trials of the person's number are the scores.
    """
    names = [n for n in person if all(n in one for one in strangers)]
    if len(strangers) < FEWEST or not names:
        return ()
    people = [person, *strangers]
    mine, *theirs = (
        _largest(one, [*people[:n], *people[n + 1 :]], names) for n, one in enumerate(people)
    )
    value = Estimate(mine, mine, mine, len(names))
    return (Score(metric, "deviations", value, group_range(theirs), rule=Rule.RANGE),)


def _largest(
    one: Mapping[str, float], others: Sequence[Mapping[str, float]], names: Sequence[str]
) -> float:
    found = [_deviation(one[n], [other[n] for other in others]) for n in names]
    return math.nan if any(map(math.isnan, found)) else max(found)


def _deviation(value: float, others: Sequence[float]) -> float:
    """|value - mean| in standard deviations of one more draw; infinite when the others are all alike and it is not.

    NaN where one of them is no finite number.
    """
    if not all(map(math.isfinite, (value, *others))):
        return math.nan
    gap = abs(value - fmean(others))
    spread = stdev(others) * math.sqrt(1 + 1 / len(others))
    if spread == 0:
        return 0.0 if gap == 0 else math.inf
    return gap / spread
