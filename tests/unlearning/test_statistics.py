"""Intervals: golden numbers, ties, and no interval that collapses."""

import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.intervals import rate
from domain.outcomes import Estimate
from unlearning.statistics import auc, group_range, mean, student, tpr, upper_range


def test_auc_counts_ties_half() -> None:
    # pairs (m < c): 1<2 yes, 1<1 tie, 2<2 tie, 2<1 no -> (1 + .5 + .5 + 0) / 4
    assert auc([1, 2], [2, 1]).value == 0.5
    assert auc([0, 1], [1, 2]).value == (1 + 1 + 0.5 + 1) / 4


def test_auc_is_one_when_members_score_lower() -> None:
    found = auc([0.1] * 5, [0.9] * 20)
    assert (found.value, found.high) == (1, 1)
    assert 0.6 < found.low < 0.95  # Newcombe: not degenerate
    assert auc([0.9] * 5, [0.1] * 20).high < 0.4


def test_aucs_lower_end_solves_newcombes_equation() -> None:
    found = auc([0.1] * 5, [0.9] * 20)
    theta, star = found.low, (5 + 20) / 2 - 1
    variance = (
        theta
        * (1 - theta)
        * (1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta)))
        / (5 * 20)
    )
    assert 1 - theta == pytest.approx(1.959963985 * math.sqrt(variance), abs=1e-9)


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=12),
    st.lists(st.floats(-5, 5), min_size=1, max_size=12),
)
def test_auc_mirrors_when_the_groups_change_places(ours: list[float], theirs: list[float]) -> None:
    one, other = auc(ours, theirs), auc(theirs, ours)
    assert one.value == pytest.approx(1 - other.value)
    assert 0 <= one.low <= one.value + 1e-9
    assert one.value - 1e-9 <= one.high <= 1
    assert one.low < one.high


def test_a_mean_has_a_student_interval() -> None:
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2
    assert found.high - 2 == pytest.approx(4.3026527 / math.sqrt(3))
    assert (mean([7.0]).low, mean([7.0]).high) == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("freedom", "tail", "value"),
    [
        (1, 0.025, 12.706),
        (2, 0.025, 4.303),
        (7, 0.005, 3.499),
        (8, 0.05, 1.860),
        (120, 0.05, 1.658),
    ],
)
def test_student_quantiles_are_those_of_tables(freedom: int, tail: float, value: float) -> None:
    assert student(freedom, tail) == pytest.approx(value, abs=6e-4)


def test_more_scores_in_one_attack_widen_the_range_of_each() -> None:
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    assert group_range(values, 0.05 / 5).high > group_range(values).high
    assert group_range(values) == Estimate(2.0, 0.0, upper_range(values), 5)


def test_a_rate_of_true_positives_needs_ten_controls_beyond_the_threshold() -> None:
    controls = [float(n) for n in range(1000)]
    assert tpr([0.5], controls[:999], 0.01) is None
    found = tpr([0.5, 9.5, 10.5, 500.0], controls, 0.01)
    assert found is not None  # the ten lowest controls may be passed: below the eleventh, 10.0
    assert (found.hits, found.trials) == (2, 4)
    assert found == rate(2, 4)


def test_the_range_of_a_group_reaches_at_least_its_largest_value() -> None:
    assert upper_range([1.0, 1.0, 1.0, 9.0]) >= 9
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    assert upper_range(values) == pytest.approx(fmean(values) + 2.1318468 * math.sqrt(2.5 * 1.2))


def test_no_values_have_no_mean_and_no_auc() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean([])
    with pytest.raises(ValueError, match="members and controls"):
        auc([], [1.0])


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_gives_no_finite_bound(odd: float) -> None:
    for values in ([odd, 1.0, 2.0], [1.0, 2.0, odd]):
        assert not math.isfinite(upper_range(values))
        assert not math.isfinite(group_range(values).high)
        assert (mean(values).low, mean(values).high) == (-math.inf, math.inf)


def test_an_auc_of_scores_that_are_no_numbers_is_none() -> None:
    assert math.isnan(auc([0.1, math.nan], [0.2, 0.3]).value)
    assert math.isnan(auc([0.1], [math.nan, 0.3]).low)
