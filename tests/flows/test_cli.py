"""The command line: quick to answer, one sentence for every refusal, JSON on request."""

import itertools
import json
import subprocess
import sys
import time

import pytest
import yaml

from flows.cli import main
from flows.doctor import examine
from tests.flows.conftest import REQUEST


@pytest.fixture
def lethe(lethe_home, monkeypatch, capsys):
    """Run a command in this process; returns exit code, stdout, stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lethe", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return run


@pytest.fixture
def ready(lethe, lethe_home):
    """The same, with keys and one filed request."""
    assert lethe("keys", "create")[0] == 0
    path = lethe_home / "request.yaml"
    path.write_text(REQUEST)
    code, out, _ = lethe("request", "add", path, "--json")
    assert code == 0
    return lethe, json.loads(out)["request"]


def test_help_answers_in_under_half_a_second():
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        seconds.append(time.perf_counter() - started)
        if seconds[-1] < 0.5:
            break
    assert "erase" in done.stdout
    assert min(seconds) < 0.5, "find out why: python -X importtime -m flows.cli --help"


def test_help_imports_nothing_heavy():
    script = (
        "import sys, flows.cli; "
        "print([m for m in ('torch', 'prefect', 'mlflow', 'presidio_analyzer', 'pydantic', 'sqlalchemy', "
        "'matplotlib', 'rich') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_filed_request_is_listed_and_shown_without_its_person(ready):
    lethe, ref = ready
    _, listed, _ = lethe("request", "list", "--json")
    assert [row["request"] for row in json.loads(listed)] == [ref]
    code, shown, _ = lethe("request", "show", ref)
    assert code == 0
    assert "Article 17(1)(b)" in shown
    assert "1 name, 1 email, 1 record_id" in shown
    for text in ("Zauberlinde", "mina@", "900-51-4344"):
        assert text not in listed + shown


def test_a_withdrawn_request_is_destroyed_and_cannot_be_erased(ready):
    lethe, ref = ready
    assert lethe("request", "withdraw", ref)[0] == 0
    assert "destroyed" in lethe("request", "show", ref)[1]
    code, _, err = lethe("locate", ref)
    assert code == 2
    assert "its data were destroyed" in err
    code, _, err = lethe("request", "withdraw", ref)
    assert code == 2
    assert "it is withdrawn; a request can be withdrawn until its corpus is changed" in err


def test_keys_are_never_overwritten(ready):
    lethe, _ = ready
    code, _, err = lethe("keys", "create")
    assert code == 2
    assert err.startswith("error: ")
    assert "never overwritten" in err


def test_the_home_folder_is_its_owners_alone(ready, lethe_home):
    assert (lethe_home / "home").stat().st_mode & 0o777 == 0o700


def test_only_the_missing_key_is_made(ready, lethe_home):
    lethe, _ = ready
    for path in (lethe_home / "home" / "keys").glob("signing-key*"):
        path.unlink()
    code, out, _ = lethe("keys", "create", "--json")
    assert code == 0
    assert "master key" not in json.loads(out)


def test_a_missing_key_is_one_sentence_with_its_remedy(lethe):
    code, out, err = lethe("request", "list")
    assert (code, out) == (2, "")
    assert "lethe keys create" in err
    assert len(err.splitlines()) == 1


def test_an_error_is_json_when_json_was_asked_for(lethe):
    code, out, err = lethe("request", "list", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out)["error"] == "key_missing"
    assert "lethe keys create" in json.loads(out)["sentence"]


@pytest.mark.parametrize("command", [("erase",), ("locate",), ("request", "show"), ("export",)])
def test_something_that_is_no_reference_is_refused_and_not_repeated(ready, command):
    lethe, _ = ready
    more = ("--out", "x.zip") if command == ("export",) else ()
    code, out, err = lethe(*command, "mina@zauberlinde.example", *more)
    assert code == 2
    assert "mina" not in out + err


def test_export_before_any_evidence_says_what_to_do(ready, tmp_path):
    lethe, ref = ready
    code, _, err = lethe("export", ref, "--out", tmp_path / "out.zip")
    assert code == 2
    assert f"lethe erase {ref}" in err
    assert not (tmp_path / "out.zip").exists()


def test_a_search_counts_and_reveals_only_when_told(ready, lethe_home):
    lethe, ref = ready
    policy = yaml.safe_load((lethe_home / "policy.yaml").read_text())
    del policy["detectors"]["presidio"]
    (lethe_home / "policy.yaml").write_text(yaml.safe_dump(policy))
    (lethe_home / "letters.txt").write_text("Wilhelmina Zauberlinde, mina@zauberlinde.example\n")
    code, out, _ = lethe("locate", ref, "--json")
    assert code == 0
    assert json.loads(out)[0]["spans"] == 2
    assert "mina" not in out.casefold()
    assert "mina@zauberlinde.example" in lethe("locate", ref, "--reveal")[1]


def test_an_unforeseen_error_shows_its_place_and_not_its_text(ready, monkeypatch):
    lethe, ref = ready

    def broken(_):
        raise ValueError("Wilhelmina Zauberlinde")

    monkeypatch.setattr("flows.desk.shown", broken)
    code, out, err = lethe("request", "show", ref)
    assert code == 1
    assert "unexpected ValueError at" in err
    assert "Zauberlinde" not in out + err


@pytest.mark.parametrize(
    ("command", "name"),
    [("methods", "selective_ascent"), ("attacks", "exposure"), ("detectors", "presidio")],
)
def test_what_a_policy_can_name_is_listed_with_its_options(lethe, command, name):
    code, out, _ = lethe(command, "--json")
    assert code == 0
    found = {kind["name"]: kind for kind in json.loads(out)}
    assert found[name]["what"]


def test_the_doctor_names_what_is_missing_and_the_remedy(lethe):
    code, out, _ = lethe("doctor", "--json")
    assert code == 1
    found = {finding["check"]: finding for finding in json.loads(out)}
    assert found["master key"]["detail"].endswith("run: lethe keys create")
    assert not found["models"]["ok"]
    assert found["policy"]["ok"]
    assert found["catalog"]["ok"]


def test_the_doctor_finds_a_key_that_others_may_read(ready, lethe_home):
    (lethe_home / "home" / "keys" / "master-key").chmod(0o644)
    found = {f.check: f for f in itertools.islice(examine(), 4)}
    assert "chmod 600" in found["master key"].detail
    assert found["signing key"].ok
