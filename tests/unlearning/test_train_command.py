"""`train` on a machine that has torch, transformers and peft and nothing else, and what it is given to read."""

import json
from pathlib import Path

import pytest

from domain.errors import Code, RequestRejected
from tests import bare
from tests.unlearning.conftest import Town
from unlearning import __main__ as command
from unlearning import models, shard_training
from unlearning.__main__ import main
from unlearning.assignment import Source
from unlearning.manifest import MODEL, Manifest, kind, read
from unlearning.models import LanguageModel
from unlearning.sources import read_sources

PROGRAM = """
import runpy, sys
sys.argv[0] = "unlearning"
runpy.run_module("unlearning", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def place(town: Town, untrained: LanguageModel, tmp_path: Path) -> Path:
    """A base and a file of documents."""
    models.save(untrained, tmp_path / "base")
    rows = [{"text": p.text.reveal(), "who": p.person} for p in (*town.members, *town.neighbours)]
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def words(place: Path, *more: object) -> list[str]:
    given = ("train", place / "base", "--data", place / "letters.jsonl", "--out", place / "run")
    own = ("--key", place / "key", "--steps", 2, "--rank", 2, "--batch", 2, "--json", *more)
    return list(map(str, (*given, *own)))


def test_it_writes_a_model_beside_its_shards_and_never_over_another(place: Path) -> None:
    done = bare.python(PROGRAM, *words(place, "--person-field", "who", "--shards", 2))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert sum(report["documents"]) == 30
    assert len(report["documents"]) == 2
    assert models.load(place / "run" / MODEL, "cpu")
    assert kind(place / "run") == "model"
    manifest = read(place / "run")
    assert manifest.combined_sha256 == report["combined_sha256"]
    assert (place / "key").stat().st_mode & 0o777 == 0o600
    by_person = {n: {s // 3 for s in rows} for n, rows in _rows(manifest).items()}
    assert not set.intersection(*by_person.values())


def test_where_nothing_can_be_written_nothing_is_read_or_trained(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "letters.jsonl").write_text("{")  # would be refused as well, and later
    assert main(words(place, "--out", place / "letters.jsonl" / "run")) == 6
    said = json.loads(capsys.readouterr().out)["sentence"]
    assert said.startswith("shard folder run: it could not be written; check the folder above it")
    assert not (place / "key").exists()


def test_another_training_that_was_done_first_is_not_overwritten(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_steps", lambda: lambda *_: (place / "run").mkdir(exist_ok=True))
    assert main(words(place)) == 2
    assert json.loads(capsys.readouterr().out)["sentence"].startswith("shard folder run: it exists")
    assert not list((place / "run").iterdir())


def test_it_says_on_stderr_how_far_it_is(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "SAID_EVERY", 0.0)
    assert main(words(place, "--person-field", "who", "--shards", 2)) == 0
    lines = [f"training: step {n} of 4" for n in (1, 2, 3, 4)]
    assert capsys.readouterr().err.splitlines() == lines


def _rows(manifest: Manifest) -> dict[int, set[int]]:
    return {
        n: {int(r.split("#")[1]) - 1 for r in shard.references}
        for n, shard in enumerate(manifest.shards)
    }


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("--shards 0", "option --shards"),
        ("--out {place}/base", "--out"),
        ("--data {place}/absent.jsonl", "absent.jsonl"),
        ("--text-field words", "letters.jsonl#1"),
        ("--person-field whom", "the field whom"),
        ("--rate 0", "option --rate"),
        ("--rate 1e9", "option --rate"),
    ],
)
def test_what_it_cannot_use_is_named(
    more: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = more.format(place=place).split()
    assert main(words(place, *given)) == 2
    assert json.loads(capsys.readouterr().out)["sentence"].startswith(said)
    assert not (place / "run").exists()


ROWS = b"\n".join(b'{"text": "letter %d of the harbour"}' % n for n in range(2)) + b"\n"
DEEP = b'{"text": "a", "more": ' + b"[" * 10_000 + b"]" * 10_000 + b"}\n"


@pytest.mark.parametrize(
    ("content", "documents"),
    [
        pytest.param(ROWS + b'{"text": "half \\ud800 of a pair"}\n', 3, id="surrogate"),
        pytest.param(b"\xef\xbb\xbf" + ROWS, 2, id="byte order mark"),
        pytest.param(ROWS.replace(b"\n", b"\r\n"), 2, id="CRLF"),
        pytest.param(ROWS + b'{"text": ""}\n', 3, id="empty text"),
    ],
)
def test_a_file_that_is_written_oddly_is_trained_on(
    content: bytes, documents: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "letters.jsonl").write_bytes(content)
    assert main(words(place, "--shards", 1)) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == [documents]
    assert models.load(place / "run" / MODEL, "cpu")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(ROWS + DEEP, "letters.jsonl#3: the line must be", id="depth"),
        pytest.param(
            ROWS + b'{"text": "caf\xe9"}', "letters.jsonl#3: the line must be", id="latin"
        ),
        pytest.param(
            ROWS + b'{"text": "\xed\xa0\x80"}', "letters.jsonl#3: the line must be", id="bytes"
        ),
        pytest.param(ROWS.decode().encode("utf-16"), "letters.jsonl#1: the line must", id="UTF-16"),
        pytest.param(b"", "letters.jsonl: it holds no document", id="empty file"),
        pytest.param(b"\n \r\n", "letters.jsonl: it holds no document", id="no documents"),
    ],
)
def test_a_file_that_is_broken_is_refused_in_one_sentence_and_nothing_is_written(
    content: bytes, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "letters.jsonl").write_bytes(content)
    before = sorted(place.iterdir())
    assert main(words(place)) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"] == Code.EXAMPLES_INVALID.value
    assert answer["sentence"].startswith(said)
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize(("rate", "steps"), [(1e9, 2), (float("inf"), 1)])
def test_weights_that_run_away_in_the_last_step_are_no_model(
    rate: float,
    steps: int,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(shard_training, "_rate", lambda *_: rate)
    (place / "letters.jsonl").write_bytes(ROWS)
    assert main(words(place, "--shards", 1, "--steps", steps)) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer["error"] == Code.METHOD_DIVERGED.value
    assert "train with a lower rate" in answer["sentence"]
    assert not (place / "run").exists()


def test_a_field_that_is_null_names_nobody_and_one_that_is_nowhere_is_refused(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two", "who": null}\n')
    assert [s.people for s in read_sources(tmp_path, person_field="who")] == [[], []]
    with pytest.raises(RequestRejected) as found:
        read_sources(tmp_path, person_field="whom")
    assert (found.value.code, found.value.place) == (Code.EXAMPLES_INVALID, "the field whom")


def test_documents_are_referred_to_as_the_search_does(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.jsonl").write_text(
        '{"text": "one", "who": 7}\n\n{"text": "two", "who": ["x", null]}\n'
    )
    (tmp_path / "b" / "c.jsonl").write_text('{"text": "three", "who": ""}')
    found = read_sources(tmp_path, person_field="who")
    assert found == [
        Source("a.jsonl#1", "one", ["7"]),
        Source("a.jsonl#3", "two", ["x"]),
        Source("b/c.jsonl#1", "three", []),
    ]
    from detectors.corpus import open_corpus

    searched = open_corpus(str(tmp_path)).documents()
    assert [(d.ref, d.text.reveal()) for d in searched] == [(s.reference, s.text) for s in found]


@pytest.mark.parametrize(
    "line",
    ["x", "[]", '{"text": 1}', '{"text": "a", "who": {"b": 1}}', '{"text": "a", "who": [true]}'],
)
def test_a_row_that_cannot_be_read_is_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(RequestRejected) as found:
        read_sources(tmp_path / "a.jsonl", person_field="who")
    assert (found.value.code, found.value.place) == (Code.EXAMPLES_INVALID, "a.jsonl#2")


def test_what_is_no_json_lines_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n')
    (tmp_path / "b.parquet").write_text("PAR1")
    with pytest.raises(RequestRejected) as found:
        read_sources(tmp_path)
    assert found.value.place == "b.parquet"
