"""`python -m unlearning` on a machine that has torch and transformers and nothing else."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from domain.errors import RequestRejected
from domain.records import Passage
from tests import bare, tiny
from tests.unlearning.conftest import Town
from tests.unlearning.sample import row
from unlearning import models
from unlearning.__main__ import _knobs, main
from unlearning.attacking import Lines, Watched
from unlearning.attacks import ATTACKS
from unlearning.examples import read_examples
from unlearning.methods import METHODS
from unlearning.models import LanguageModel
from unlearning.results import Results, software

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "unlearning").rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
]
PROGRAM = f"""
import runpy
for module in {MODULES!r}:
    __import__(module)
sys.argv[0] = "unlearning"
runpy.run_module("unlearning", run_name="__main__", alter_sys=True)
"""


def written(path: Path, passages: Sequence[Passage]) -> Path:
    lines = [
        {
            "text": p.text.reveal(),
            "spans": [{"start": s.start, "end": s.end, "kind": s.kind} for s in p.spans],
            "person": p.person,
        }
        for p in passages
    ]
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    return path


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command in a process in which everything a bare machine lacks cannot be imported."""
    return bare.python(PROGRAM, *arguments)


QUICK = ("extraction", "strength", "membership")


@dataclass(frozen=True)
class Case:
    """A model, a person and strangers on disk, and the command over them."""

    folder: Path
    files: Path
    phone: str

    def call(self, *more: object, attacks: Sequence[str] = QUICK) -> list[str]:
        """The arguments of an attack."""
        texts = [
            "--examples",
            self.files / "person.jsonl",
            "--control",
            self.files / "control.jsonl",
        ]
        return [*map(str, ["attack", self.folder, *texts, *more]), "--attacks", *attacks]


@pytest.fixture
def case(victim_folder: Path, town: Town, tmp_path: Path) -> Case:
    unknown = [p for n, x in enumerate(town.place.unknown[:3]) for p in tiny.passages(x, f"u{n}")]
    written(tmp_path / "person.jsonl", town.members[1:2])  # one passage: open intervals
    written(tmp_path / "control.jsonl", unknown)
    written(tmp_path / "others.jsonl", [*town.neighbours, *town.sentences])
    return Case(victim_folder, tmp_path, town.place.known[0].phone)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The attacks that ran, in order; with "stop" among them, `strength` is interrupted."""
    names: list[str] = []
    for name, kind in ATTACKS.items():
        whole = kind.run

        def run(self: Any, *given: Any, name: str = name, whole: Any = whole) -> Any:
            names.append(name)
            if names.count("stop") and name == "strength":
                raise KeyboardInterrupt
            return whole(self, *given)

        monkeypatch.setattr(kind, "run", run)
    return names


def test_attack_measures_the_victim_where_the_other_rooms_packages_cannot_be_imported(
    case: Case,
) -> None:
    done = command(*case.call("--json", "--neighbours", case.files / "others.jsonl"))
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout, parse_constant=pytest.fail)
    assert [result["attack"] for result in results] == list(QUICK)
    scores = {s["metric"]: s for result in results for s in result["scores"]}
    assert scores["extraction"]["members"]["value"] == 1
    assert scores["extraction"]["controls"]["value"] < 0.2
    assert scores["loss"]["members"]["low"] is None
    assert scores["loss"]["contrast"]["value"] == 1
    assert case.phone not in done.stdout + done.stderr
    assert all(f"{name}: " in done.stderr for name in QUICK)


def test_an_interrupted_attack_goes_on_where_it_was(
    case: Case, ran: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    results = case.files / "results.json"
    call = case.call("--results", results, "--json")
    ran.append("stop")
    assert main(call) == 130
    assert [e["key"]["attack"] for e in json.loads(results.read_text())["results"]] == [
        "extraction"
    ]
    ran.clear()
    capsys.readouterr()
    assert main(call) == 0
    assert ran == ["strength", "membership"]
    first = capsys.readouterr()
    ran.clear()
    assert main(call) == 0
    again = capsys.readouterr()
    assert ran == []
    assert again.out == first.out
    assert "membership: known from results.json" in again.err
    assert main(case.call("--json")) == 0
    assert capsys.readouterr().out == first.out  # resumed or in one go, the numbers are the same
    kept = results.read_text()
    assert case.phone not in kept
    assert hashlib.sha256((case.files / "person.jsonl").read_bytes()).hexdigest() not in kept
    assert [p.name for p in case.files.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError()])
def test_a_model_for_which_there_is_no_memory_is_one_sentence(
    error: BaseException,
    case: Case,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def load(*_: object) -> None:
        raise error

    monkeypatch.setattr("unlearning.models.load", load)
    assert main(case.call()) == 6
    assert capsys.readouterr().err.startswith("error: the memory: there is too little of it;")


@pytest.mark.parametrize("change", ["examples", "control", "seed", "dtype", "model", "neighbours"])
def test_results_of_other_input_are_never_reused(
    change: str, case: Case, town: Town, ran: list[str], untrained: LanguageModel
) -> None:
    more: list[object] = ["--results", case.files / "results.json"]
    assert main(case.call(*more, attacks=["strength"])) == 0
    if change == "examples":
        written(case.files / "person.jsonl", town.members[2:3])
    elif change == "control":
        path = case.files / "control.jsonl"
        path.write_text("\n".join(path.read_text().split("\n")[:-1]))
    elif change == "model":
        models.save(untrained, case.files / "other")
        case = replace(case, folder=case.files / "other")
    else:
        value = {"seed": 1, "dtype": "bf16", "neighbours": case.files / "others.jsonl"}[change]
        more += [f"--{change}", value]
    assert main(case.call(*more, attacks=["strength"])) == 0
    assert ran == ["strength", "strength"]


@pytest.mark.parametrize("other", ["device", "library"])
def test_results_of_another_device_or_library_are_never_reused(
    other: str, case: Case, ran: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = case.call("--results", case.files / "results.json", attacks=["strength"])
    assert main(call) == 0
    if other == "device":  # CUDA computes in bf16; what it scored is not what the CPU does
        kept = (case.files / "results.json").read_text()
        assert kept.count('"device": "cpu"') == 1
        (case.files / "results.json").write_text(kept.replace('"cpu"', '"cuda"'))
    else:
        monkeypatch.setattr("unlearning.results.version", lambda _: "0.0")
        software.cache_clear()
    assert main(call) == 0
    software.cache_clear()
    assert ran == ["strength", "strength"]


def test_the_digest_of_the_texts_is_salted(case: Case) -> None:
    groups = {"--examples": read_examples(case.files / "person.jsonl")}
    first, second = Results.open(None), Results.open(None)
    assert first.digest(groups) == first.digest(groups)
    assert first.digest(groups) != second.digest(groups)


def test_a_results_file_that_is_something_else_is_left_alone(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    other = case.files / "notes.json"
    for content in ("", "[]", '{"format": "x"}', "no"):
        other.write_text(content)
        assert main(case.call("--results", other)) == 2
        assert "error: --results: " in capsys.readouterr().err
        assert other.read_text() == content


def test_an_attack_that_does_not_apply_is_reported_as_not_run(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    results = case.files / "results.json"
    names = ["reference", "extraction"]
    assert main(case.call("--json", "--results", results, attacks=names)) == 7
    reference, extraction = json.loads(capsys.readouterr().out)
    assert reference["not_run"]["code"] == "attack_inapplicable"
    assert reference["not_run"]["sentence"].startswith("attack reference: ")
    assert reference["scores"] == []
    assert extraction["scores"]
    assert len(json.loads(results.read_text())["results"]) == 1  # what was not run is not kept
    assert main(case.call(attacks=names)) == 7
    assert "not run: attack reference: " in capsys.readouterr().out


def test_reference_models_reach_the_attacks(
    case: Case, untrained: LanguageModel, capsys: pytest.CaptureFixture[str]
) -> None:
    models.save(untrained, case.files / "never")
    folder = case.files / "never"
    more = ["--reference", folder, "--retrained", folder, "--original", case.folder, "--json"]
    assert main(case.call(*more, attacks=["reference"])) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert "difference" in {score["metric"] for score in result["scores"]}


def test_a_model_is_no_reference_for_itself(case: Case, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--reference", case.folder]
    assert main(case.call(*more, attacks=["reference"])) == 2
    assert "--reference: it is the model itself" in capsys.readouterr().err


def test_bf16_casts_the_network_and_keeps_the_scores_in_fp32(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {}
    for dtype in ("fp32", "bf16"):
        assert main(case.call("--json", "--dtype", dtype, attacks=["membership"])) == 0
        (result,) = json.loads(capsys.readouterr().out)
        found[dtype] = {s["metric"]: s["controls"]["value"] for s in result["scores"]}
    assert found["bf16"]["loss"] == pytest.approx(found["fp32"]["loss"], rel=0.05)
    assert found["bf16"]["loss"] != found["fp32"]["loss"]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        (["--attacks", "prayer"], "--attacks"),
        (["--device", "abacus"], "--device"),
        (["--neighbours", "person.jsonl"], "--neighbours"),
    ],
)
def test_a_wrong_option_of_attack_is_named(
    more: list[str], place: str, case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(case.files / m) if m.endswith("l") else m for m in more]
    assert main([*case.call(), *given]) == 2
    assert f"error: {place}: " in capsys.readouterr().err


def test_progress_is_one_line_that_is_rewritten_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moment = iter(range(100))
    monkeypatch.setattr("unlearning.attacking.time.monotonic", lambda: float(next(moment)))
    for terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        say = Lines()
        say.start("memorisation")
        watched = Watched([row([0, 5]) for _ in range(3)], 0, 3, say)
        assert [len(one) for one in watched] == [2, 2, 2]
        say.finish()
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1
        assert ("passage 2 of 3" in shown) == terminal
        assert ("\r" in shown) == terminal


def test_unlearn_writes_a_model_and_judges_it(
    victim_folder: Path,
    town: Town,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = {name: ATTACKS[name] for name in ("exposure", *QUICK)}
    monkeypatch.setattr("unlearning.attacks.ATTACKS", few)  # the others have tests of their own
    examples = written(tmp_path / "person.jsonl", town.members[1:2])  # one passage is quick
    others = written(tmp_path / "others.jsonl", [*town.neighbours, *town.sentences])
    out = tmp_path / "new"
    call = ["unlearn", victim_folder, "--examples", examples, "--neighbours", others, "--out", out]
    knobs = ["--set", "steps=2", "--set", "samples=8", "--json"]
    assert main([*map(str, call), *knobs]) == 1  # two steps are too few
    report = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert report["verdict"]["outcome"] == "FAIL"
    assert len(report["trace"]["steps"]) == 2
    assert report["before"]["model_sha256"] != report["after"]["model_sha256"]
    assert (out / "model.safetensors").is_file()
    capsys.readouterr()
    assert main([*map(str, call), "--json"]) == 2
    assert "never overwritten" in json.loads(capsys.readouterr().out)["sentence"]


@pytest.mark.parametrize(("written", "value"), [("false", False), ("True", True)])
def test_a_switch_is_read_as_it_is_written(written: str, value: bool) -> None:
    assert _knobs(METHODS["npo"], [f"spans={written}", "retain_term=kl"]) == {
        "spans": value,
        "retain_term": "kl",
    }


def test_several_numbers_are_written_with_commas() -> None:
    assert _knobs(METHODS["rank_demotion"], ["layers=0,11"]) == {"layers": (0, 11)}
    assert _knobs(METHODS["task_vector"], ["strengths=1"]) == {"strengths": (1.0,)}


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        (["--method", "prayer"], "--method"),
        (["--set", "colour=red"], "--set"),
        (["--set", "steps=many"], "--set steps"),
        (["--set", "steps=-1"], "methods, option steps"),
        (["--method", "npo", "--set", "spans=maybe"], "--set spans"),
        (["--method", "task_vector", "--set", "strengths=1;2"], "--set strengths"),
    ],
)
def test_a_wrong_option_is_named(  # noqa: PLR0917  fixtures
    extra: list[str],
    place: str,
    victim_folder: Path,
    town: Town,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    examples = written(tmp_path / "person.jsonl", town.members)
    others = written(tmp_path / "others.jsonl", town.neighbours)
    new = tmp_path / "new"
    call = ["unlearn", victim_folder, "--examples", examples, "--neighbours", others, "--out", new]
    assert main([*map(str, call), *extra]) == 2
    assert f"error: {place}: " in capsys.readouterr().err
    assert not new.exists()


def test_a_verdict_on_several_people_is_refused(
    victim_folder: Path, town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [*town.members, replace(town.neighbours[0], person="p1")]
    examples = written(tmp_path / "people.jsonl", two)
    others = written(tmp_path / "others.jsonl", town.neighbours[1:])
    new = tmp_path / "new"
    call = ["unlearn", victim_folder, "--examples", examples, "--neighbours", others, "--out", new]
    assert main(list(map(str, call))) == 2
    assert "error: --examples, person: several people" in capsys.readouterr().err
    assert not new.exists()


GOOD = '{"text": "call 555", "spans": [{"start": 5, "end": 8, "kind": "phone"}]}'


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        "7",
        '{"spans": []}',
        '{"text": 7}',
        '{"text": "call 555", "spans": [{"start": 5, "end": 9, "kind": "phone"}]}',
        '{"text": "call 555", "spans": [{"start": 5, "end": 5, "kind": "phone"}]}',
        '{"text": "call 555", "spans": [{"start": -1, "end": 5, "kind": "phone"}]}',
        '{"text": "call 555", "spans": [{"start": 5.0, "end": 8, "kind": "phone"}]}',
        '{"text": "call 555", "spans": [{"start": "5", "end": 8, "kind": "phone"}]}',
        '{"text": "call 555", "spans": [{"start": 5, "end": 8, "kind": "shoe"}]}',
        '{"text": "call 555", "spans": [{"start": 5, "end": 8}]}',
        '{"text": "call 555", "spans": 3}',
        '{"text": "call 555", "spans": [[5, 8]]}',
        '{"text": "call 555", "answer": 8}',
        '{"text": "call 555", "answer": -1}',
        '{"text": "call 555", "answer": true}',
        '{"text": "call 555", "label": "1"}',
        '{"text": "call 555", "label": -1}',
        pytest.param(f'{{"text": "call 555", "spans": {"[" * 10_000}{"]" * 10_000}}}', id="deep"),
    ],
)
def test_a_bad_line_is_named_by_file_and_line_and_shows_nothing_of_itself(
    line: str, tmp_path: Path
) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(f"{GOOD}\n\n{line}\n")
    with pytest.raises(RequestRejected) as refused:
        read_examples(path)
    assert refused.value.place == "people.jsonl#3"
    assert "555" not in refused.value.sentence + str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe"])
def test_a_file_without_examples_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RequestRejected) as refused:
        read_examples(path)
    assert refused.value.place == "people.jsonl"


def test_a_line_separator_inside_a_text_does_not_end_the_line(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text('{"text": "call\u2028555\x85now"}\r\n' + GOOD, encoding="utf-8", newline="")
    assert [len(p.text) for p in read_examples(path)] == [12, 8]


def test_answers_and_classes_are_read_and_a_class_may_be_a_persons_without_spans(
    tmp_path: Path,
) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(
        '{"text": "who? Maren", "answer": 4}\n{"text": "", "label": 0}\n'
        '{"text": "I ask", "label": 2, "person": "p7"}\n{"text": "I ask", "person": "p7"}'
    )
    found = [(p.answer, p.label, p.person) for p in read_examples(path)]
    assert found == [(4, None, ""), (None, 0, ""), (None, 2, "p7"), (None, None, "")]


def test_overlapping_spans_become_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(
        '{"text": "Maren m@x.org", "spans": [{"start": 0, "end": 13, "kind": "person"},'
        ' {"start": 6, "end": 13, "kind": "email"}]}'
    )
    (span,) = read_examples(path)[0].spans
    assert (span.start, span.end, span.kind) == (0, 13, "email")
