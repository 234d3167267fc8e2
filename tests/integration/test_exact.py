"""A model that was made of shards: two people are erased exactly, one after the other, and the evidence says so."""

import base64
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import tiny
from tests.integration.world import ROOT, World
from unlearning import models
from unlearning.manifest import read

pytestmark = pytest.mark.integration

STEPS = (
    *("--person-field", "who", "--shards", 2, "--near", 2),
    *("--steps", 600, "--rank", 32, "--rate", 2e-2),
)


@dataclass(frozen=True)
class Exact:
    """The world, what `train` wrote, and the answers to both requests."""

    world: World
    run: Path
    answers: list[dict[str, Any]]

    def events(self, number: int) -> list[dict[str, Any]]:
        return self.world.answer("request", "show", self.answers[number]["request"])["events"]

    def served(self) -> Path:
        from reports.tracking import Tracking

        home = self.world.home
        current = Tracking(f"sqlite:///{home}/mlflow.db", home / "mlflow").current("assistant")
        assert current is not None
        return current


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exact]:
    """One person is erased with an instant drop, then another."""
    folder = tmp_path_factory.mktemp("exact")
    place = tiny.town(4)  # few: the mean of two shards knows each well, so no chance decides
    for name in ("corpus", "tmp"):
        (folder / name).mkdir()
    about = [(text, person.account) for person in place.known for text in person.documents()]
    rows = [{"text": t, "who": w} for t, w in about] + [{"text": t} for t in place.sentences[:10]]
    (folder / "corpus" / "letters.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8"
    )
    others = tiny.town(60, seed=4)  # two small shards teach only a base that knows the form
    public = others.documents + others.sentences
    (folder / "public").mkdir()
    (folder / "public" / "texts.jsonl").write_text(
        "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in public), "utf-8"
    )
    models.save(tiny.base(place, others), folder / "base")
    policy = yaml.safe_load((ROOT / "policy.yaml").read_text())
    wide = {"membership_band": 0.49, "exposure_margin": 1.5, "outlier_margin": 99.0}
    policy["thresholds"] = dict.fromkeys(policy["thresholds"], 1.0) | wide
    policy["thresholds"]["first_rank_significance"] = 5e-4
    policy["utility"] = {"perplexity_ratio": 99.0, "others_drop": 1.0}
    policy["comparison"] |= {"neighbours": 30, "ordinary": 100}
    policy["attacks"] = {"extraction": {}, "exposure": {}}
    policy["methods"]["order"] = [
        {"name": "sisa", "when": {"shards": True}, "options": {"instant": True}},
        {"name": "selective_ascent", "options": {"steps": 4, "samples": 8}},
    ]
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))
    catalog = {
        # what the base has read is listed too: of three people alone no likely strangers can be made
        "corpora": {"letters": {"path": "corpus"}, "public": {"path": "public"}},
        "models": {
            "assistant": {"path": "run/model", "corpora": ["letters", "public"], "shards": "run"}
        },
    }
    (folder / "catalog.yaml").write_text(yaml.safe_dump(catalog))
    world = World(folder, place.known)
    out = folder / "run"
    erased = (place.known[0], place.known[2])
    asked = [world.written(person, "assistant", *catalog["corpora"]) for person in erased]
    *_, first, second = world.answers(
        ["keys", "create"],
        ["train", folder / "base", "--data", folder / "corpus", "--out", out, *STEPS],
        *(["request", "add", path] for path in asked),
        *(["erase", "@2"], ["erase", "@3"]),
    )
    yield Exact(world, out, [first, second])
    shutil.rmtree(folder)


def test_both_end_fulfilled_and_exact_with_a_retrain_behind_the_drop(exact: Exact) -> None:
    for answer in exact.answers:
        assert answer["status"] == "fulfilled"
        assert [(a["method"], a["deletion"], a["outcome"]) for a in answer["attempts"]] == [
            ("sisa", "exact", "PASS"),
            ("sisa", "exact", "PASS"),
        ]
    for number in range(2):
        names = [e["event"] for e in exact.events(number)][-6:]
        assert names == [
            *("attempted", "promoted", "attempted", "promoted", "evidenced", "fulfilled")
        ]


def test_the_report_says_exact_and_how_long_it_took(exact: Exact) -> None:
    page = Path(exact.answers[0]["report"]).read_text()
    assert "What is in service is exact" in page
    assert "training it again without the person was done" in page
    assert "(estimated before: about" in page


def test_estimate_and_seconds_of_the_retrain_are_signed_and_in_the_ledger(exact: Exact) -> None:
    with zipfile.ZipFile(exact.answers[0]["bundle"]) as files:
        drop, done = (
            json.loads(base64.b64decode(json.loads(files.read(name))["payload"]))["predicate"]
            for name in ("verification-001.dsse.json", "verification-002.dsse.json")
        )
    assert drop["policyCommitment"] == done["policyCommitment"]
    first, second = drop["attempt"], done["attempt"]
    assert (first["number"], first["trace"]["stopped"]) == (1, "dropped")
    assert (second["number"], second["reason"]) == (2, "completes_drop")
    told = [e["payload"] for e in exact.events(0) if e["event"] == "attempted"]
    expected = float(first["seconds"]) + float(first["trace"]["facts"]["retrain_seconds_estimated"])
    assert told[0]["retrain_estimated"] == pytest.approx(expected, abs=0.01)
    assert told[1]["seconds"] == pytest.approx(float(second["seconds"]), abs=0.01)
    assert "retrain_estimated" not in told[1]


def test_what_is_served_is_byte_for_byte_a_training_without_both(exact: Exact) -> None:
    run = exact.served().parent
    manifest = read(run)
    assert len(manifest.dropped) == 6
    assert not manifest.due
    lines = (exact.run.parent / "corpus" / "letters.jsonl").read_text("utf-8").split("\n")
    gone = {int(reference.split("#")[1]) for reference in manifest.dropped}
    left = exact.run.parent / "left.jsonl"
    left.write_text("\n".join(line for n, line in enumerate(lines, 1) if n not in gone), "utf-8")
    never = exact.world.answer(
        *("train", exact.run.parent / "base", "--data", left, "--out", exact.run.parent / "never"),
        *STEPS,
    )
    assert never["combined_sha256"] == manifest.combined_sha256
    for name in ("model.safetensors", "config.json"):
        made = (exact.served() / name).read_bytes()
        assert made == (exact.run.parent / "never" / "model" / name).read_bytes()


def test_models_that_held_them_are_gone_but_for_the_controllers_own(exact: Exact) -> None:
    left = sorted(p.parent for p in (exact.world.home / "candidates").rglob("manifest.json"))
    assert left == [exact.served().parent]
    assert read(exact.run).combined_sha256
