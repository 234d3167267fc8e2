"""What `lethe train` reads: every kind of corpus, under the references that the search has for it."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.corpus import open_corpus
from domain.errors import Code, RequestRejected
from flows.sources import read_sources

ROWS: list[dict[str, Any]] = [
    {"text": "one", "who": ["a", "b"]},
    {"text": "two", "who": []},
    {"text": "three", "who": None},
]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def written(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    file = folder / f"a{kind}"
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    elif kind == ".arrow":
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    else:
        content = lines(rows)
        file.write_bytes(gzip.compress(content) if kind.endswith(".gz") else content)
    return file


@pytest.mark.parametrize("kind", [".jsonl", ".jsonl.gz", ".parquet", ".arrow"])
def test_every_kind_gives_its_texts_and_people(kind: str, tmp_path: Path) -> None:
    written(tmp_path, kind, ROWS)
    found = read_sources(str(tmp_path), "text", "who")
    assert [(s.text, tuple(s.people)) for s in found] == [
        ("one", ("a", "b")),
        ("two", ()),
        ("three", ()),
    ]
    searched = open_corpus(str(tmp_path)).documents()
    assert [s.reference for s in found] == [d.ref for d in searched]


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_a_label_may_be_a_number_and_blank_lines_count_as_rows(kind: str, tmp_path: Path) -> None:
    file = written(tmp_path, kind, [{"text": "one", "who": 7}, {"text": "two", "who": 8}])
    if kind == ".jsonl":
        file.write_bytes(b"\n" + file.read_bytes())
    found = {s.reference: tuple(s.people) for s in read_sources(str(file), "text", "who")}
    first = 2 if kind == ".jsonl" else 1
    assert found == {f"a{kind}#{first}": ("7",), f"a{kind}#{first + 1}": ("8",)}


def test_a_text_file_has_no_fields_and_is_its_own_person(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    written(tmp_path, ".jsonl", [{"text": "two", "who": None}])
    found = {s.text: tuple(s.people) for s in read_sources(str(tmp_path), "text", "who")}
    assert found == {"one": (), "two": ()}


@pytest.mark.parametrize("field", ["who", "label"])
def test_a_field_that_no_document_has_is_refused(field: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    written(tmp_path, ".jsonl", [{"text": "two", "person": "a"}])
    with pytest.raises(RequestRejected) as refused:
        read_sources(str(tmp_path), "text", *(["who"] if field == "who" else ["", "label"]))
    assert refused.value.code is Code.CORPUS_UNREADABLE
    assert refused.value.place == f"the field {field}"


@pytest.mark.parametrize(
    ("depth", "place"), [(1000, "a.jsonl#2"), (10_000, "1 rows of the corpus (a.jsonl#2)")]
)
def test_a_row_that_is_nested_too_deep_is_named(depth: int, place: str, tmp_path: Path) -> None:
    deep = '{"text": "b", "more": ' + "[" * depth + "]" * depth + "}"
    (tmp_path / "a.jsonl").write_text('{"text": "a", "who": "x"}\n' + deep)
    with pytest.raises(RequestRejected) as refused:
        read_sources(str(tmp_path), "text", "who")
    assert (refused.value.code, refused.value.place) == (Code.CORPUS_CORRUPT, place)


@pytest.mark.parametrize(
    ("kind", "rows", "code", "place"),
    [
        (".jsonl", [{"text": "a", "who": {"b": 1}}], Code.CORPUS_CORRUPT, "a.jsonl#1"),
        (".jsonl", [{"text": "a", "who": [True]}], Code.CORPUS_CORRUPT, "a.jsonl#1"),
        (".parquet", [{"text": "a", "who": 0.5}], Code.CORPUS_CORRUPT, "a.parquet#1"),
        (".parquet", [{"text": "a"}], Code.CORPUS_UNREADABLE, "corpus file a.parquet"),
        (".jsonl", [{"words": "a"}], Code.CORPUS_CORRUPT, "1 rows of the corpus (a.jsonl#1)"),
    ],
)
def test_what_cannot_be_read_is_named(
    kind: str, rows: list[dict[str, Any]], code: Code, place: str, tmp_path: Path
) -> None:
    written(tmp_path, kind, rows)
    with pytest.raises(RequestRejected) as refused:
        read_sources(str(tmp_path), "text", "who")
    assert (refused.value.code, refused.value.place) == (code, place)
