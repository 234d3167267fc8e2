"""Files are read a block at a time, compressed or not, and say where they are broken."""

import gzip
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.jsonl import Lines, blocks
from detectors.locate import search
from detectors.redact import redact, verify_redaction
from domain.errors import Code, RequestRejected
from tests.detectors.conftest import CARD

TEXTS = ["one", "zwei \u00fc", "three\nlines \U0001f600", CARD]
ROWS = b"".join(json.dumps({"id": n, "text": t}).encode() + b"\n" for n, t in enumerate(TEXTS))
PIECES = st.sampled_from(
    [
        b'{"text": "a"}',
        b'{"text":"b","k":"text"}',
        b'{"text":null}',
        b'{"k":[{"text":"c"}],"text":""}',
        b'{"t\\u0065xt":"d"}',
        b'{"text":"d","t\\u0065xt":"e"}',
        b'{"text":"\\ud83d"}',
        b'{"text":NaN}',
        b'{"text":"f","text":"g"}',
        b'{"text":"h"}],[{"text":"i"}',
        b'{"text":"h"},0,{"text":"i"}',
        b'{"text":"j","k":[1',
        b'{"text":"j","k":[[1',
        b"2]}",
        b"2]]}",
        b'{"text":"l"',
        b'"k":[]}',
        b",",
        b'{"k":"text","text":1}',
        b"{}",
        b"[]",
        b"5",
        b'"text"',
        b"null",
        b"",
        b"  ",
        b"\r",
        b"\n",
        b"\n",
        b"\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b'{"text":"\xc3\xa9"}',
    ]
)


def pack(path, data):
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    else:
        with pa.output_stream(str(path), compression="zstd") as stream:
            stream.write(data)


def texts(path):
    return [(d.ref, d.text.reveal()) for d in open_corpus(str(path)).documents()]


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=12), st.integers(1, 40))
def test_a_block_is_read_as_its_lines_are(pieces, size):
    import io

    data, reader = b"".join(pieces), Lines("text")
    quick = []
    for block in blocks(io.BytesIO(data), size):
        lines = block.removesuffix(b"\n").split(b"\n")
        read = reader.texts(block)
        careful = [reader.text(line) for line in lines]
        assert read is None or read == careful
        quick += lines
    assert b"\n".join(quick) == data.removesuffix(b"\n")


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.ndjson.zst"])
def test_compressed_lines_are_the_same_documents(tmp_path, name):
    pack(tmp_path / name, ROWS)
    assert texts(tmp_path) == [(f"{name}#{n}", t) for n, t in enumerate(TEXTS, 1)]


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.zst"])
def test_a_compressed_text_is_one_document(tmp_path, name):
    pack(tmp_path / name, "Zo\u00eb".encode())
    assert texts(tmp_path) == [(f"{name}#1", "Zo\u00eb")]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("left", [0, 3, 0.5, -1])
def test_a_file_that_breaks_off_is_named(tmp_path, name, left):
    pack(tmp_path / name, ROWS * 20000)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(left * len(whole)) if left == 0.5 else left])
    with pytest.raises(RequestRejected) as caught:
        texts(tmp_path)
    assert caught.value.code is Code.CORPUS_CORRUPT
    assert caught.value.place.startswith(f"corpus file {name}, behind row ")


@pytest.mark.parametrize("name", ["a.parquet.gz", "a.csv.gz", "a.gz", "a.jsonl.bz2"])
def test_other_compressed_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(ROWS))
    with pytest.raises(RequestRejected) as caught:
        texts(tmp_path)
    assert caught.value.code is Code.CORPUS_UNREADABLE


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "b.txt.gz"])
def test_a_compressed_copy_is_redacted_and_found_clean(tmp_path, maren, name):
    (tmp_path / "in").mkdir()
    pack(tmp_path / "in" / name, CARD.encode() if ".txt" in name else ROWS)
    files = open_corpus(str(tmp_path / "in"))
    detectors = {"exact": ExactIndex()}
    [found] = search(files.batches(), [maren], detectors)
    assert len(found.spans) == 6
    redact(files, found.spans, tmp_path / "out", "[gone]", b"k" * 32)
    assert verify_redaction(tmp_path / "out", "text", maren, detectors) == 0
    before, after = texts(tmp_path / "in"), texts(tmp_path / "out")
    assert before[:-1] == after[:-1]
    assert after[-1][1].startswith("Contact card for [gone]: phone [gone]")


def test_a_line_longer_than_a_block_is_read_whole(tmp_path):
    long = "x" * 3_000_000 + " Maren Tolvik"
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": long}) + "\n" + '{"text": "y"}')
    assert [len(t) for _, t in texts(tmp_path)] == [len(long), 1]
