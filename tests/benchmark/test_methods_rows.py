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
    assert str(row["system"]).startswith("FairSISA (Kadhe 2023)")
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


SYSTEMS = {
    "Quark (Lu 2022)": "quark",
    "FairSISA, Kadhe 2023": "sisa",
    "Leave-one-out ensemble (Liu 2023)": "loo_ensemble",
    "PCGU (Yu 2023)": "pcgu",
    "Knowledge Unlearning (Jang 2023)": "gradient_ascent",
    "KGA (Wang 2023)": "kga",
    "F-Learning (Ni 2024)": "task_vector",
    "LLMU (Yao 2023)": "llmu",
    "Who's Harry Potter (Eldan 2023)": "anchor_distillation",
    "DEPN (Wu 2023)": "depn",
    "EUL (Chen 2023)": "eul",
    "SeUL (Wang 2024)": "selective_ascent",
    "LAU (Yuan 2024)": "adversarial",
    "Mechanistic Unlearning (Guo 2025)": "mechanistic",
}
"""The fourteen published systems, as their rows name them, and the method that is each of them."""


def test_each_of_the_fourteen_systems_has_a_row() -> None:
    assert len(SYSTEMS) == len(set(SYSTEMS.values())) == 14
    rows = {(arm.method, arm.system) for arm in ARMS.values()}
    missing = [
        name
        for name, method in SYSTEMS.items()
        if not any(m == method and name in system for m, system in rows)
    ]
    assert missing == []
    assert {arm.system.split(", ")[1] for arm in ARMS.values() if arm.method == "adversarial"} >= {
        *("AdvGA", "AdvNPO")
    }


def test_every_row_takes_its_options() -> None:
    assert all(METHODS[arm.method](**arm.options) for arm in ARMS.values())
