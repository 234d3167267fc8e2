"""The interval of a difference, by hand."""

import math

import pytest

from domain.intervals import difference, rate
from domain.outcomes import Estimate


def test_the_interval_of_a_difference_adds_the_squares_of_the_sides_that_face_each_other() -> None:
    """.2 - hypot(.05, .1) = .0882 and .2 + hypot(.1, .1) = .3414."""
    found = difference(Estimate(0.5, 0.4, 0.6, 30), Estimate(0.7, 0.65, 0.8, 20))
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - math.sqrt(0.0125))
    assert found.high == pytest.approx(0.2 + math.sqrt(0.02))
    assert found.trials == 20


def test_no_change_is_within_its_interval_and_an_unknown_one_has_none() -> None:
    same = difference(rate(8, 20), rate(8, 20))
    assert same.value == 0.0
    assert same.low < 0.0 < same.high
    alone = Estimate(1.0, -math.inf, math.inf, 1)
    assert math.isinf(difference(alone, Estimate(2.0, 1.5, 2.5, 9)).high)
