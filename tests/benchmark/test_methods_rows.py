"""The table of `make methods`: rows that have no model of their own, and options that name places."""

import json
from pathlib import Path

import pytest

from tests.benchmark import methods_fairness
from tests.benchmark.methods import ARMS
from tests.benchmark.methods_rows import COLUMNS, show
from unlearning.methods import METHODS


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


def test_every_row_takes_its_options() -> None:
    assert all(METHODS[arm.method](**arm.options) for arm in ARMS.values())
