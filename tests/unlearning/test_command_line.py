"""`python -m unlearning` on a machine that has torch and transformers and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.errors import RequestRejected
from domain.records import Passage
from tests import tiny
from tests.unlearning.conftest import Town
from unlearning.__main__ import main
from unlearning.examples import read_examples

ROOT = Path(__file__).parents[2]
BLOCKED = ("prefect", "mlflow", "presidio_analyzer", "sqlalchemy", "pydantic", "spacy", "flows")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in sorted((ROOT / "unlearning").rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
]
BLOCKER = f"""
import runpy, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        absent = name.split(".")[0] in {BLOCKED!r}
        return None if absent else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for module in {MODULES!r}:
    __import__(module)
assert not set(sys.modules) & set({BLOCKED!r})
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
    return subprocess.run(
        [sys.executable, "-c", BLOCKER, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        check=False,
        capture_output=True,
        text=True,
    )


def test_attack_measures_the_victim_where_the_other_rooms_packages_cannot_be_imported(
    victim_folder: Path, town: Town, tmp_path: Path
) -> None:
    unknown = [p for n, x in enumerate(town.place.unknown[:3]) for p in tiny.passages(x, f"u{n}")]
    examples = written(tmp_path / "person.jsonl", town.members[1:2])  # one passage: open intervals
    control = written(tmp_path / "control.jsonl", unknown)
    done = command("attack", victim_folder, "--examples", examples, "--control", control, "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout, parse_constant=pytest.fail)
    scores = {s["metric"]: s for result in results for s in result["scores"]}
    assert scores["extraction"]["members"]["value"] == 1
    assert scores["extraction"]["controls"]["value"] < 0.2
    assert scores["loss"]["members"]["low"] is None
    assert scores["loss"]["contrast"]["value"] == 1
    assert town.place.known[0].phone not in done.stdout + done.stderr


def test_unlearn_writes_a_model_and_judges_it(
    victim_folder: Path, town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = written(tmp_path / "person.jsonl", town.members[1:2])  # one passage is quick
    others = written(tmp_path / "others.jsonl", [*town.neighbours, *town.sentences])
    out = tmp_path / "new"
    done = command(
        "unlearn", victim_folder, "--examples", examples, "--neighbours", others, "--out", out,
        "--set", "steps=2", "--set", "samples=8", "--json",
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # two steps are too few
    report = json.loads(done.stdout, parse_constant=pytest.fail)
    assert report["verdict"]["outcome"] == "FAIL"
    assert len(report["trace"]["steps"]) == 2
    assert report["before"]["model_sha256"] != report["after"]["model_sha256"]
    assert (out / "model.safetensors").is_file()
    capsys.readouterr()
    again = ["unlearn", victim_folder, "--examples", examples, "--neighbours", others, "--out", out]
    assert main([*map(str, again), "--json"]) == 2
    assert "never overwritten" in json.loads(capsys.readouterr().out)["sentence"]


@pytest.mark.parametrize(
    ("extra", "place"),
    [
        (["--method", "prayer"], "--method"),
        (["--set", "colour=red"], "--set"),
        (["--set", "steps=many"], "--set steps"),
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


def test_overlapping_spans_become_one_secret(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_text(
        '{"text": "Maren m@x.org", "spans": [{"start": 0, "end": 13, "kind": "person"},'
        ' {"start": 6, "end": 13, "kind": "email"}]}'
    )
    (span,) = read_examples(path)[0].spans
    assert (span.start, span.end, span.kind) == (0, 13, "email")
