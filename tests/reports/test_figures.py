from dataclasses import replace

import pytest

from domain.outcomes import Estimate
from reports import figures


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.703125, "70 %"),
        (0.0156, "1.6 %"),
        (0.995, "99.5 %"),
        (0.0004, "< 0.1 %"),
        (float("nan"), "not a number"),
    ],
)
def test_a_share_never_rounds_to_none_or_all(value: float, written: str) -> None:
    assert figures.percent(value).replace("\u202f", " ") == written


@pytest.mark.parametrize(
    ("trials", "bound"), [(32, 0.089), (64, 0.046), (128, 0.023), (299, 0.010), (598, 0.005)]
)
def test_the_bound_after_zero_hits_is_the_one_of_the_design(trials: int, bound: float) -> None:
    assert figures.zero_bound(trials) == pytest.approx(bound, abs=5e-4)  # compliance.md, section 7


def test_three_trials_leave_63_percent() -> None:
    assert figures.zero_bound(3) == pytest.approx(0.63, abs=0.005)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (3.14, "+3.1 points"),
        (-0.44, "\u22120.4 points"),
        (0.0, "0.0 points"),
        (-0.01, "0.0 points"),
    ],
)
def test_a_change_has_a_sign_unless_it_is_none(value: float, written: str) -> None:
    assert figures.change(value, "points").replace("\u202f", " ") == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (-2.1, "\u22122.10"),
        (1750.2, "1 750"),
        (1e12, "1.00 \u00d7 10\u00b9\u00b2"),
        (0.00001, "< 0.001"),
        (-0.0004, "> \u22120.001"),
        (0.0, "0.00"),
    ],
)
def test_a_number_is_written_as_people_write_it(value: float, written: str) -> None:
    assert figures.plain(value).replace("\u202f", " ") == written


def test_an_interval_without_an_end_is_left_out() -> None:
    endless = Estimate(0.1, float("-inf"), float("inf"), 2)
    assert figures.interval(endless, "people", proportion=False) == "2 people"
    alone = replace(endless, trials=1)
    assert figures.interval(alone, "people", proportion=False) == "1 person"
