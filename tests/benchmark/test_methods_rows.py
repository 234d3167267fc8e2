"""The table of `make methods`: rows that have no model of their own, and options that name places."""

import json
import math
from pathlib import Path

import pytest

from tests.benchmark import methods_fairness
from tests.benchmark.methods import ARMS
from tests.benchmark.methods_rows import COLUMNS, merged, show
from tests.benchmark.methods_scores import FREEDOM, SPREAD, Measured, range_of
from tests.benchmark.methods_world import UNREAD, VICTIMS, world
from unlearning.methods import METHODS
from unlearning.statistics import student


def test_a_row_without_scores_shows_its_relation_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, holds in ((1, True), (2, False)):
        kept = {"relation": holds, "evidence": f"of {seed}"}
        (tmp_path / f"{seed}-fairness.json").write_text(json.dumps(kept))
    row = methods_fairness.row([1, 2], tmp_path)
    assert (row["relation"], row["holds"]) == (False, 1)
    show([row], COLUMNS)
    table, said = capsys.readouterr().out.split("\n\n")
    assert table.splitlines()[-1] == f"| `fairness` | {'- | ' * (len(COLUMNS) - 1)}FAIL 1/2 |"
    assert said.strip().endswith("[of 1; of 2]")


def test_rows_that_were_not_asked_for_stay_and_those_that_were_replace_their_own() -> None:
    kept = [{"method": name, "made": "before"} for name in ("a", "b", "gone")]
    rows = merged(kept, [{"method": name, "made": "now"} for name in ("c", "b")], ["a", "b", "c"])
    assert [(row["method"], row["made"]) for row in rows] == [
        ("a", "before"),
        ("b", "now"),
        ("c", "now"),
    ]


def test_the_retrained_range_is_as_wide_as_such_models_lie_apart() -> None:
    """By hand: 1.96 deviations of one more model, and what the mean of those at hand is off by."""

    def scored(*bits: float) -> Measured:
        return Measured({}, bits, *[math.nan] * 8)

    low, high = range_of([scored(1.0, 0.6), scored(1.4, 1.0)])
    assert (low + high) / 2 == pytest.approx(1.0)
    assert range_of([scored(0.1)])[0] == 0
    assert (high - low) / 2 == pytest.approx(student(FREEDOM, 0.025) * SPREAD * math.sqrt(1.5))
    assert range_of([scored(1.0)])[1] - 1.0 > high - 1.0


@pytest.mark.parametrize("victim", VICTIMS)
def test_people_whom_no_model_has_read_are_enough_and_have_nobodys_name(victim: str) -> None:
    """Of the biggest world of each kind, too: how many names there are is bounded."""
    for seed in (11, 33):
        place = world(seed, victim)
        assert len({p.name for p in place.unread}) == UNREAD
        assert not {p.name for p in place.unread} & {p.name for p in place.people}


def test_every_row_takes_its_options() -> None:
    assert all(METHODS[arm.method](**arm.options) for arm in ARMS.values())
