"""A corpus is read completely or refused, and every kind of file gives the same documents."""

import gzip
import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.corpus import open_corpus
from detectors.jsonl import LongLineError, NotARowError, blocks, read_text, replace_spans
from domain.errors import Code, RequestRejected

TEXTS = ["one", "zwei \u00fc", "three\nlines \U0001f600"]


def write_jsonl(path, texts=TEXTS):
    path.write_text("".join(json.dumps({"id": 1, "text": t}) + "\n" for t in texts), "utf-8")


def write_arrow(path, texts=TEXTS, name="text"):
    table = pa.table({"id": list(range(len(texts))), name: texts})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def read(path, field="text"):
    return [(d.ref, d.text.reveal()) for d in open_corpus(str(path), field).documents()]


def refused(path, field="text"):
    with pytest.raises(RequestRejected) as caught:
        read(path, field)
    return caught.value


def test_json_lines_are_read_by_line(tmp_path):
    write_jsonl(tmp_path / "a.jsonl")
    assert read(tmp_path / "a.jsonl") == [(f"a.jsonl#{n}", t) for n, t in enumerate(TEXTS, 1)]


def test_blank_lines_keep_the_numbering(tmp_path):
    (tmp_path / "a.ndjson").write_bytes(b'{"text":"x"}\r\n\r\n  \n{"text":null}\n{"text":"y"}')
    assert read(tmp_path / "a.ndjson") == [
        ("a.ndjson#1", "x"),
        ("a.ndjson#4", ""),
        ("a.ndjson#5", "y"),
    ]


def test_a_byte_order_mark_is_tolerated(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"text":"x"}\n')
    assert read(tmp_path) == [("a.jsonl#1", "x")]


def test_parquet_is_read_by_row(tmp_path):
    pq.write_table(pa.table({"text": [*TEXTS, None]}), tmp_path / "a.parquet", row_group_size=2)
    assert [t for _, t in read(tmp_path)] == [*TEXTS, ""]
    assert [r for r, _ in read(tmp_path)] == [f"a.parquet#{n}" for n in range(1, 5)]


def test_dictionary_and_large_strings_are_text(tmp_path):
    for kind in (pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        pq.write_table(
            pa.table({"text": pa.array(TEXTS, pa.string()).cast(kind)}), tmp_path / "a.parquet"
        )
        assert [t for _, t in read(tmp_path)] == TEXTS


def test_a_text_file_is_one_document(tmp_path):
    (tmp_path / "a.txt").write_bytes("L\u00efne\r\ntwo".encode())
    assert read(tmp_path / "a.txt") == [("a.txt#1", "L\u00efne\r\ntwo")]


def test_a_saved_dataset_is_read_without_its_caches(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    write_arrow(folder / "data-00000-of-00001.arrow")
    write_arrow(folder / "cache-123.arrow", ["stale"])
    (folder / "state.json").write_text(
        '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}'
    )
    (folder / "dataset_info.json").write_text("{}")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert read(tmp_path) == [
        (f"train/data-00000-of-00001.arrow#{n}", t) for n, t in enumerate(TEXTS, 1)
    ]
    assert len(open_corpus(str(tmp_path)).companions) == 3


def test_a_dataset_with_a_missing_file_is_refused(tmp_path):
    write_arrow(tmp_path / "data-0.arrow")
    (tmp_path / "state.json").write_text(
        '{"_data_files": [{"filename": "data-0.arrow"}, {"filename": "data-1.arrow"}]}'
    )
    assert refused(tmp_path).place == "state.json"


def test_an_arrow_file_in_the_file_format_is_read(tmp_path):
    table = pa.table({"text": TEXTS})
    with (
        pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, table.schema) as out,
    ):
        out.write_table(table)
    assert [t for _, t in read(tmp_path)] == TEXTS


def test_folders_and_patterns_are_searched_in_one_order(tmp_path):
    (tmp_path / "b").mkdir()
    write_jsonl(tmp_path / "b" / "z.jsonl", ["4"])
    write_jsonl(tmp_path / "a.jsonl", ["1"])
    (tmp_path / "README.md").write_text("about")
    (tmp_path / ".cache").mkdir()
    write_jsonl(tmp_path / ".cache" / "hidden.jsonl")
    assert read(tmp_path) == [("a.jsonl#1", "1"), ("b/z.jsonl#1", "4")]
    assert read(tmp_path / "**" / "*.jsonl") == read(tmp_path)
    assert read(tmp_path / "b" / "*.jsonl") == [("z.jsonl#1", "4")]


def test_corrupt_lines_are_all_counted_and_ten_are_named(tmp_path):
    lines = ['{"text": "fine"}', *["{broken"] * 14, '{"other": 1}', '{"text": 5}', "[1]", '"x"']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    error = refused(tmp_path)
    assert error.code is Code.CORPUS_CORRUPT
    names = ", ".join(f"a.jsonl#{n}" for n in range(2, 12))
    assert error.place == f"18 rows of the corpus ({names} and 8 more)"


def test_nothing_is_yielded_from_a_corpus_with_a_corrupt_line(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "fine"}\n{broken\n')
    documents = open_corpus(str(tmp_path)).documents()
    with pytest.raises(RequestRejected):
        next(documents)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_wrong_encoding_is_corrupt(tmp_path, encoding):
    (tmp_path / "a.jsonl").write_bytes('{"text": "Zo\u00eb"}\n'.encode(encoding))
    (tmp_path / "b.txt").write_bytes("Zo\u00eb".encode(encoding))
    error = refused(tmp_path)
    assert error.code is Code.CORPUS_CORRUPT
    assert "a.jsonl#1" in error.place
    assert "b.txt#1" in error.place


def test_a_field_twice_in_one_line_is_corrupt(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "Maren Tolvik", "text": "nobody"}\n')
    assert refused(tmp_path).code is Code.CORPUS_CORRUPT


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_damaged_table_is_corrupt(tmp_path, name):
    (tmp_path / name).write_bytes(b"no table at all" * 9)
    error = refused(tmp_path)
    assert (error.code, error.place) == (Code.CORPUS_CORRUPT, f"1 rows of the corpus ({name}#1)")


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", ""), ("a.jsonl", "\n \n")])
def test_an_empty_corpus_is_refused(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert refused(tmp_path).code is Code.CORPUS_EMPTY


def test_what_is_not_there_or_not_readable_is_refused(tmp_path):
    assert refused(tmp_path / "missing").code is Code.CORPUS_UNREADABLE
    assert refused(tmp_path / "*.jsonl").code is Code.CORPUS_UNREADABLE
    assert refused(tmp_path).code is Code.CORPUS_UNREADABLE


def test_a_file_that_would_be_skipped_in_silence_is_refused(tmp_path):
    write_jsonl(tmp_path / "a.jsonl")
    (tmp_path / "b.csv").write_text("text\nMaren Tolvik\n")
    assert refused(tmp_path).place == "corpus file b.csv"
    assert refused(tmp_path / "b.csv").place == "corpus file b.csv"


def test_a_table_without_the_column_is_refused(tmp_path):
    write_arrow(tmp_path / "a.arrow", name="body")
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "b.parquet")
    assert refused(tmp_path).code is Code.CORPUS_UNREADABLE
    assert read(tmp_path / "a.arrow", "body")
    assert refused(tmp_path / "b.parquet").code is Code.CORPUS_UNREADABLE


@pytest.fixture
def as_nobody(tmp_path, monkeypatch):
    """The folder, for one whom its permissions concern: they do not stop root."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    yield tmp_path
    if root:
        os.seteuid(0)


@pytest.mark.parametrize("path", ["in", "in/**/*.jsonl"])
def test_a_folder_that_may_not_be_read_is_not_passed_over(tmp_path, path, request):
    locked = tmp_path / "in" / "locked"
    locked.mkdir(parents=True)
    write_jsonl(tmp_path / "in" / "a.jsonl")
    write_jsonl(locked / "b.jsonl")
    locked.chmod(0)
    request.getfixturevalue("as_nobody")
    error = refused(path)
    assert (error.code, error.place) == (Code.CORPUS_UNREADABLE, "a folder of the corpus")


@pytest.mark.parametrize("name", ["b.jsonl", "b.jsonl.gz", "b.txt", "b.parquet", "b.arrow"])
@pytest.mark.parametrize("how", ["locked", "gone"])
def test_a_file_that_may_not_be_read_or_went_away_is_named(tmp_path, name, how, request):
    write_jsonl(tmp_path / "a.jsonl")
    (tmp_path / name).write_bytes(b"{}")
    files = open_corpus(str(tmp_path))
    if how == "gone":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).chmod(0)
        request.getfixturevalue("as_nobody")
        files = open_corpus(".")
    with pytest.raises(RequestRejected) as caught:
        files.check()
    assert (caught.value.code, caught.value.place) == (
        Code.CORPUS_UNREADABLE,
        f"corpus file {name}",
    )


LONG = """
import re, sys
from pathlib import Path
from detectors.corpus import open_corpus
from domain.errors import RequestRejected
try:
    open_corpus(sys.argv[1]).check()
except RequestRejected as error:
    print(error.sentence)
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""
"""The peak is read where it begins with this process: `getrusage` begins with its parent's."""


@pytest.mark.parametrize(
    ("name", "row"), [("a.jsonl", 2), ("a.jsonl.gz", 2), ("a.txt", 1), ("a.txt.gz", 1)]
)
def test_a_line_of_200_megabytes_is_refused_by_its_number_without_being_held(tmp_path, name, row):
    packed = name.endswith(".gz")
    with (gzip.open if packed else open)(tmp_path / name, "wb") as file:
        file.write(b'{"text": "fine"}\n{"text": "')
        for _ in range(200):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n')
    command = [sys.executable, "-c", LONG, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    sentence, peak = done.stdout.splitlines()
    assert sentence == (
        f"corpus file {name}, row {row}: it is longer than 64 MB; cut it into documents"
    )
    assert int(peak) < 400_000


def test_a_long_text_in_a_table_is_refused_by_its_row(tmp_path, monkeypatch):
    monkeypatch.setattr("detectors.reading.LONGEST", 99)
    pq.write_table(pa.table({"text": ["x", "y" * 99, "z" * 100]}), tmp_path / "a.parquet")
    assert refused(tmp_path).place == "corpus file a.parquet, row 3"


@given(st.lists(st.integers(0, 30), max_size=9), st.integers(1, 20), st.booleans())
def test_a_long_line_is_refused_wherever_a_block_ends(lengths, size, ended):
    data = b"\n".join(b"x" * n for n in lengths) + b"\n" * ended
    read: list[bytes] = []
    try:
        read.extend(blocks(io.BytesIO(data), size, 20))
    except LongLineError:
        assert max(lengths) > 20
        assert data.startswith(b"".join(read))
        assert b"".join(read).count(b"\n") <= [n > 20 for n in lengths].index(True)
    else:
        assert b"".join(read) == data
        assert all(n <= 20 for n in lengths)


texts = st.text(st.characters(), max_size=30)  # lone surrogates too


@given(texts, st.booleans(), st.data())
def test_replacing_code_points_leaves_every_other_byte(text, ascii_only, data):
    line = json.dumps(
        {"id": 7, "nested": {"text": "x"}, "text": text, "z": "text"}, ensure_ascii=ascii_only
    )
    end = data.draw(st.integers(0, len(text)))
    start = data.draw(st.integers(0, end))
    spans = [(start, end)] if start < end else []
    edited = replace_spans(line, "text", spans, '"\u00e9\n')
    expected = text[:start] + '"\u00e9\n' + text[end:] if spans else text
    assert read_text(edited, "text") == read_text(json.dumps({"text": expected}), "text")
    before, after = (
        json.dumps(text[:start], ensure_ascii=ascii_only)[1:-1],
        json.dumps(text[end:], ensure_ascii=ascii_only)[1:-1],
    )
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert edited.startswith(line[: line.index('"text": "', 30)] + '"text": "' + before)
        assert edited.endswith(after + '", "z": "text"}')


WRITTEN = [
    (r'{"text":"a\u00e9b"}', (1, 2), r'{"text":"a#b"}'),
    (r'{"text":"a\ud83d\ude00b\/c"}', (1, 2), r'{"text":"a#b\/c"}'),
    (r'{"text":"a\ud83d\ude00b\/c"}', (2, 3), r'{"text":"a\ud83d\ude00#\/c"}'),
    (r'{"text":"a\nb\"c\\d"}', (1, 2), r'{"text":"a#b\"c\\d"}'),
    (r'{"text":"a\nb\"c\\d"}', (3, 4), r'{"text":"a\nb#c\\d"}'),
    (r'{"text":"a\nb\"c\\d"}', (5, 7), r'{"text":"a\nb\"c#"}'),
    (
        '{ "n": [1, {"text": "x"}], "t\\u0065xt" :\t"ab" , "b": 2 }',
        (0, 1),
        '{ "n": [1, {"text": "x"}], "t\\u0065xt" :\t"#b" , "b": 2 }',
    ),
    ('{"k":"text","text":"ab"}', (0, 2), '{"k":"text","text":"#"}'),
    ('{"text":"\u00fc\U0001f600x"}\r\n', (1, 3), '{"text":"\u00fc#"}\r\n'),
]


@pytest.mark.parametrize(("line", "span", "expected"), WRITTEN)
def test_escapes_stay_as_they_were_written(line, span, expected):
    assert replace_spans(line, "text", [span], "#") == expected


@pytest.mark.parametrize("line", ['{"text":"ab"}', '{"other":"abcdef"}', "[]", '{"text":1}'])
def test_a_span_outside_the_text_is_refused(line):
    with pytest.raises(NotARowError):
        replace_spans(line, "text", [(1, 5)], "#")
