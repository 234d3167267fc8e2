"""Intervals: golden numbers, ties, and no interval that collapses."""

import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearning.statistics import auc, mean, student90, student95, upper_range


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
    assert 1 - theta == pytest.approx(1.959964 * math.sqrt(variance), abs=1e-9)


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
    assert found.high - 2 == pytest.approx(4.303 / math.sqrt(3))
    assert (mean([7.0]).low, mean([7.0]).high) == (-math.inf, math.inf)


def test_student_quantiles_beyond_the_table_are_those_of_tables() -> None:
    assert student95(30) == pytest.approx(2.0423, abs=2e-3)
    assert student95(120) == pytest.approx(1.9799, abs=1e-3)
    assert student90(30) == pytest.approx(1.6973, abs=2e-3)


def test_the_range_of_a_group_reaches_at_least_its_largest_value() -> None:
    assert upper_range([1.0, 1.0, 1.0, 9.0]) >= 9
    values = [0.0, 1.0, 2.0, 3.0, 4.0]
    assert upper_range(values) == pytest.approx(fmean(values) + 2.132 * math.sqrt(2.5 * 1.2))


def test_no_values_have_no_mean_and_no_auc() -> None:
    with pytest.raises(ValueError, match="at least one"):
        mean([])
    with pytest.raises(ValueError, match="members and controls"):
        auc([], [1.0])
