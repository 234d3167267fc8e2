"""A real MLflow on a real SQLite file; made once, because its migrations take seconds."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from domain.errors import Code, ErasureError, EvidenceInvalid, Unavailable
from reports.tracking import EXPERIMENT, Tracking
from tests.reports import cases

FILES = {"completion.dsse.json": b"{}", "report.html": b"<p>report</p>"}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def tracking(root: Path) -> Tracking:
    return Tracking(f"sqlite:///{root}/mlflow.db", root / "artifacts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model with space"
    made.mkdir()
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def stored(root: Path, statement: str, *values: str) -> list[tuple[object, ...]]:
    """What the database holds, read without MLflow."""
    with sqlite3.connect(root / "mlflow.db") as database:
        return database.execute(statement, values).fetchall()


def test_a_record_holds_digests_measurements_and_the_files(tracking: Tracking, root: Path) -> None:
    run = tracking.record(cases.FULFILLED, FILES)
    tags = dict(stored(root, "SELECT key, value FROM tags WHERE run_uuid = ?", run))
    assert tags["request"] == cases.FULFILLED.request_ref
    assert tags["status"] == "fulfilled"
    assert tags["model.clinic-assistant.after"] == cases.sha(7)
    assert all(len(str(value)) < 8_000 for value in tags.values())
    metrics = dict(stored(root, "SELECT key, value FROM metrics WHERE run_uuid = ?", run))
    assert metrics["clinic-assistant.before.extraction.extraction.members"] == 45 / 64
    assert metrics["clinic-assistant.attempt-2.extraction.extraction.members"] == 0
    assert metrics["clinic-assistant.attempt-2.membership.loss.contrast"] == 0.5
    copies = {p.name: p.read_bytes() for p in (root / "artifacts").rglob(f"{run}/**/*.*")}
    assert copies == FILES


def test_the_same_evidence_is_recorded_once(tracking: Tracking) -> None:
    case = cases.case(request_ref="req-once")
    files: Mapping[str, bytes] = {"report.html": b"once"}
    assert tracking.record(case, files) == tracking.record(case, files)
    assert tracking.record(case, {"report.html": b"twice"}) != tracking.record(case, files)


def test_no_login_name_and_no_script_is_stored(tracking: Tracking, root: Path) -> None:
    run = tracking.record(cases.NO_MATCH, {"report.html": b"who"})
    keys = {k for (k,) in stored(root, "SELECT key FROM tags WHERE run_uuid = ?", run)}
    assert not [k for k in keys if k.startswith("mlflow.") and k != "mlflow.runName"]
    names = stored(root, "SELECT user_id, source_name FROM runs WHERE run_uuid = ?", run)
    assert set(names[0]) <= {"unknown", "", None}
    assert stored(root, "SELECT name FROM experiments WHERE name = ?", EXPERIMENT)


def test_an_infinite_measurement_stays_out_of_the_index(tracking: Tracking, root: Path) -> None:
    broken = cases.case(corpora=())
    last = cases.attempt(2, "depn", 0, cases.Outcome.PASS)
    assert last.after is not None
    utility = cases.Utility(cases.Estimate(float("inf"), 0, 1, 3), last.after.utility.others)
    after = cases.replace(last.after, utility=utility)
    model = cases.replace(cases.model(), attempts=(cases.replace(last, after=after),))
    run = tracking.record(cases.replace(broken, models=(model,)), {"report.html": b"inf"})
    metrics = dict(stored(root, "SELECT key, value FROM metrics WHERE run_uuid = ?", run))
    assert "clinic-assistant.attempt-2.utility.perplexity" not in metrics
    assert "clinic-assistant.attempt-2.utility.others" in metrics


def test_an_unknown_model_has_no_current_folder(tracking: Tracking) -> None:
    assert tracking.current("nobody") is None


def test_a_registered_model_is_current_only_once_promoted(
    tracking: Tracking, folder: Path, root: Path
) -> None:
    version = tracking.register("m1", folder, cases.sha(1))
    assert tracking.current("m1") is None
    tracking.promote("m1", version, cases.sha(1))
    assert tracking.current("m1") == folder
    assert not list((root / "artifacts").rglob("model.safetensors"))


def test_the_alias_moves_forward_and_back_by_promotion(tracking: Tracking, folder: Path) -> None:
    first = tracking.register("m2", folder, cases.sha(1), alias="production")
    second = tracking.register("m2", folder, cases.sha(2))
    assert first != second
    tracking.promote("m2", second, cases.sha(2))
    tracking.promote("m2", first, cases.sha(1))
    assert tracking.current("m2") == folder


def test_a_model_is_registered_once_for_each_digest(tracking: Tracking, folder: Path) -> None:
    versions = [tracking.register("m3", folder, cases.sha(n)) for n in (1, 1, 2)]
    assert versions == ["1", "1", "2"]


def test_a_version_of_another_digest_is_not_promoted(tracking: Tracking, folder: Path) -> None:
    kept = tracking.register("m4", folder, cases.sha(1), alias="production")
    other = tracking.register("m4", folder, cases.sha(2))
    with pytest.raises(EvidenceInvalid) as caught:
        tracking.promote("m4", other, cases.sha(3))
    assert caught.value.code is Code.DIGEST_MISMATCH
    tracking.promote("m4", kept, cases.sha(1))
    assert tracking.current("m4") == folder


def unavailable(caught: ErasureError) -> bool:
    return caught.code is Code.TRACKING and "MLflow" in caught.remedy


def test_a_version_that_is_not_there_is_unavailable(tracking: Tracking) -> None:
    with pytest.raises(Unavailable) as caught:
        tracking.promote("m5", "9", cases.sha(1))
    assert unavailable(caught.value)


@pytest.mark.parametrize(
    "uri", ["sqlite:////proc/none/mlflow.db", "file:///tmp/mlruns", "no://uri"]
)
def test_an_address_that_does_not_answer_is_unavailable(tmp_path: Path, uri: str) -> None:
    with pytest.raises(Unavailable) as caught:
        Tracking(uri, tmp_path).current("m")
    assert unavailable(caught.value)
