"""One person among strangers, all scores together."""

import math
from statistics import fmean, stdev

import pytest

from domain.outcomes import Rule
from unlearning.attacks.outliers import stands_out

STRANGERS = [{"loss": 2.0 + 0.1 * n, "zlib": 0.02 - 0.0005 * n} for n in range(9)]


def test_a_stranger_among_strangers_lies_within_their_range() -> None:
    (score,) = stands_out({"loss": 2.43, "zlib": 0.0183}, STRANGERS, "stands_out")
    assert score.members.value < score.controls.high
    assert score.rule is Rule.RANGE


@pytest.mark.parametrize("loss", [0.2, 4.6])
def test_both_sides_stand_out(loss: float) -> None:
    """A text too well known, and one pushed past never-seen text."""
    (score,) = stands_out({"loss": loss, "zlib": 0.018}, STRANGERS, "stands_out")
    assert score.members.value > score.controls.high


def test_the_deviation_is_that_of_one_more_draw() -> None:
    (score,) = stands_out({"loss": 3.0}, STRANGERS, "stands_out")
    losses = [s["loss"] for s in STRANGERS]
    expected = (3.0 - fmean(losses)) / (stdev(losses) * math.sqrt(1 + 1 / 9))
    assert score.members.value == pytest.approx(expected)


def test_one_score_suffices_to_stand_out() -> None:
    (score,) = stands_out({"loss": 2.4, "zlib": 0.5}, STRANGERS, "stands_out")
    assert score.members.value > score.controls.high


def test_with_too_few_strangers_nothing_is_said() -> None:
    assert stands_out({"loss": 3.0}, STRANGERS[:3], "stands_out") == ()


def test_strangers_who_are_all_alike_make_any_difference_stand_out() -> None:
    (score,) = stands_out({"loss": 2.1}, [{"loss": 2.0}] * 5, "stands_out")
    assert score.members.value == math.inf


def test_one_stranger_among_copies_of_all_others_leaves_no_bound_and_no_traceback() -> None:
    """Its deviation from the others, who are all alike, is infinite."""
    (score,) = stands_out({"loss": 2.0}, [*[{"loss": 2.0}] * 5, {"loss": 2.5}], "stands_out")
    assert not math.isfinite(score.controls.high)


def test_an_odd_stranger_does_not_hide_the_person() -> None:
    """Measured by the other strangers alone, who are nearly alike, that one would be fifty deviations away."""
    strangers = [*({"loss": 2.0 + 0.05 * n} for n in range(8)), {"loss": 12.0}]
    (score,) = stands_out({"loss": 30.0}, strangers, "stands_out")
    assert score.members.value > score.controls.high + 3


def test_the_person_is_treated_as_one_more_stranger() -> None:
    """Whoever of them is asked about, the same deviations are compared, so that chance is the same for all."""
    everybody = [{"loss": 2.5, "zlib": 0.01}, *STRANGERS]
    found = []
    for n, one in enumerate(everybody):
        (score,) = stands_out(one, [*everybody[:n], *everybody[n + 1 :]], "stands_out")
        found.append(score.members.value + score.controls.value * len(STRANGERS))
    assert found == pytest.approx([found[0]] * len(everybody))


def test_a_score_that_is_no_number_is_no_bound() -> None:
    (score,) = stands_out({"loss": math.nan, "zlib": 0.018}, STRANGERS, "stands_out")
    assert math.isnan(score.members.value)
    assert math.isnan(score.controls.high)
