"""A whole erasure on the ephemeral API: the lifecycle, the promotion, the evidence."""

import json
import subprocess
import zipfile

import pytest

pytestmark = pytest.mark.integration


def events(erased):
    return erased.world.answer("request", "show", erased.ref)["events"]


def test_the_request_is_fulfilled_by_the_method_that_passed(erased):
    assert erased.answer["status"] == "fulfilled"
    attempts = [(a["method"], a["outcome"], a["reason"]) for a in erased.answer["attempts"]]
    assert attempts == [
        ("loo_ensemble", "NOT_RUN", "method_inapplicable"),
        ("selective_ascent", "PASS", ""),
    ]


def test_the_policy_is_committed_before_anything_is_tried_and_a_second_run_tries_nothing_again(
    erased,
):
    begun = ["started", "located", "corpus_erased", "policy_committed"]
    names = [event["event"] for event in events(erased)]
    assert names == [
        "received",
        *begun,
        *("attempted", "attempted", "promoted"),
        *begun,  # the first run died here
        *("evidenced", "fulfilled"),
    ]


def test_the_second_run_stands_on_the_commitment_of_the_first(erased):
    first, second = [e["payload"] for e in events(erased) if e["event"] == "policy_committed"]
    assert second["resumed"]
    assert (second["seed"], second["policy_sha256"]) == (first["seed"], first["policy_sha256"])


def test_the_alias_points_to_the_new_model_and_the_old_one_is_untouched(erased):
    from reports.tracking import Tracking
    from unlearning import models

    home = erased.world.home
    current = Tracking(f"sqlite:///{home}/mlflow.db", home / "mlflow").current("assistant")
    promoted = next(e["payload"] for e in events(erased) if e["event"] == "promoted")
    assert current == home / "candidates" / erased.ref / "assistant" / "2-selective_ascent"
    assert models.digest(current)[0] == promoted["after_sha256"]
    old = erased.world.folder / "assistant"
    assert models.digest(old)[0] == promoted["before_sha256"] != promoted["after_sha256"]


def test_candidates_that_failed_are_deleted(erased):
    folder = erased.world.home / "candidates" / erased.ref / "assistant"
    assert [path.name for path in folder.iterdir()] == ["2-selective_ascent"]


def test_the_exported_zip_verifies_with_openssl_alone(erased, tmp_path):
    zipped = erased.world.folder / "export" / f"{erased.ref}.zip"
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(tmp_path)
    for name in ("completion", "policy-commitment", "verification-001", "verification-002"):
        command = f"openssl dgst -sha256 -verify public.pem -signature {name}.sig {name}.pae"
        done = subprocess.run(
            command.split(), cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout == "Verified OK\n"


def test_a_flipped_byte_fails_the_verify_command_and_names_the_file(erased, tmp_path):
    raw = bytearray((erased.world.folder / "export" / f"{erased.ref}.zip").read_bytes())
    raw[raw.index(b"<html")] ^= 1
    (tmp_path / "flipped.zip").write_bytes(raw)
    done = erased.world.lethe("verify", tmp_path / "flipped.zip", "--json")
    assert done.returncode == 5
    assert "report.html" in json.loads(done.stdout)["sentence"]


def test_a_fulfilled_request_is_not_started_again(erased):
    done = erased.world.lethe("erase", erased.ref)
    assert done.returncode == 2
    assert "cannot be started again" in done.stderr
