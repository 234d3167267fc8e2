"""`lethe fairness` on a classifier that `lethe train` made of shards."""

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import progress
from flows.cli import app
from tests.benchmark.fairness import member, written
from unlearning import models


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "home"))
    order = random.Random(1)
    models.save(member(written(order, 60), seed=1), tmp_path / "base")
    for name, count in (("learnt", 40), ("held-out", 300)):
        rows = [
            {"text": p.text.reveal(), "urgent": p.label, "team": group}
            for p, group in written(order, count)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return tmp_path


def test_from_training_to_the_table(home: Path) -> None:
    runner = CliRunner()
    given = ("train", home / "base", "--data", home / "learnt.jsonl", "--out", home / "run")
    more = ("--label-field", "urgent", "--shards", 3, "--steps", 3, "--near", 2)
    steps: list[tuple[str, int, int]] = []
    stop = progress.watch(lambda *advance: steps.append(advance))
    made = runner.invoke(app, [str(word) for word in (*given, *more)])
    stop()
    assert made.exit_code == 0, made.output
    assert steps[0] == ("steps", 1, 9)
    assert "40 in 3 shards: " in made.output
    asked = ["fairness", str(home / "run"), "--data", str(home / "held-out.jsonl")]
    fields = ["--group-field", "team", "--label-field", "urgent"]
    found = runner.invoke(app, [*asked, *fields, "--json"])
    assert found.exit_code == 0, found.output
    lines = {line["variant"]: line for line in json.loads(found.stdout)}
    assert lines["in"]["error_fitted"] <= lines["post"]["error_fitted"] + 1e-9
    shown = runner.invoke(app, [*asked, *fields])
    assert shown.exit_code == 0, shown.output
    assert "the vote as it is" in shown.output
    assert f"{lines['in']['error_fitted']:.3f}" in shown.output
