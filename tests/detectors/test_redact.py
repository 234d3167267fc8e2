"""The redacted copy differs from the original in the spans and in nothing else."""

import hashlib
import hmac
import json
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.locate import locate
from detectors.redact import commitment, redact, splice, verify_redaction
from domain.errors import Code, EvidenceInvalid, RequestRejected
from domain.records import Owner, SensitiveSpan, SpanKind
from tests.detectors.conftest import CARD, JON, document
from tests.detectors.test_corpus import write_arrow

KEY = b"k" * 32
EXACT = {"exact": ExactIndex()}
TEXTS = [CARD, "nothing here", JON, f"{JON} {CARD}", "Zo\u00eb \U0001f600 Maren Tolvik"]


def run(folder, out, subject, field="text"):
    files = open_corpus(str(folder), field)
    found = locate(files.documents(), subject, EXACT)
    return found, redact(files, found.spans, out, "[removed]", KEY)


def span(ref, start, end, owner=Owner.SUBJECT):
    return SensitiveSpan(ref, start, end, SpanKind.PERSON, owner, "exact", 1.0)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_lines_keep_every_byte_outside_the_spans(tmp_path, maren, ascii_only):
    source = tmp_path / "corpus" / "a.jsonl"
    source.parent.mkdir()
    lines = [
        json.dumps({"id": n, "text": t, "x": [1.0, "\u00e9"]}, ensure_ascii=ascii_only)
        for n, t in enumerate(TEXTS)
    ]
    lines[1] = '{ "text" : "https:\\/\\/x.org \\u00e9\\n" }'
    source.write_text("\r\n".join(lines), "utf-8", newline="")
    found, copy = run(source.parent, tmp_path / "out", maren)
    before, after = (p.read_bytes().split(b"\r\n") for p in (source, tmp_path / "out" / "a.jsonl"))
    assert [b == a for b, a in zip(before, after, strict=True)] == [False, True, True, False, False]
    assert json.loads(after[0])["text"] == (
        "Contact card for [removed]: phone [removed], e-mail [removed], born [removed], "
        "account [removed], lives at [removed]."
    )
    assert json.loads(after[3])["text"].startswith(JON)
    assert json.loads(after[4]) == {
        "id": 4,
        "text": "Zo\u00eb \U0001f600 [removed]",
        "x": [1.0, "\u00e9"],
    }
    assert copy.spans == len(found.spans) == 13
    assert verify_redaction(tmp_path / "out", "text", maren, EXACT) == 0


def test_parquet_keeps_every_other_value_and_its_layout(tmp_path, maren):
    source = tmp_path / "corpus" / "a.parquet"
    source.parent.mkdir()
    table = pa.table(
        {
            "id": pa.array([1, 2, None, 4, 5], pa.int16()),
            "text": pa.array(TEXTS, pa.large_string()),
            "nested": [[{"a": 1.5}], [], None, [{"a": None}], []],
        }
    ).replace_schema_metadata({"made": "up"})
    pq.write_table(table, source, row_group_size=2, compression="zstd")
    run(source.parent, tmp_path / "out", maren)
    copy = pq.ParquetFile(tmp_path / "out" / "a.parquet")
    original = pq.ParquetFile(source)
    assert copy.schema_arrow.equals(original.schema_arrow, check_metadata=True)
    assert copy.schema_arrow.metadata == {b"made": b"up"}
    assert copy.num_row_groups == 3
    assert copy.metadata.row_group(0).column(0).compression == "ZSTD"
    after = copy.read()
    assert after.drop_columns("text").equals(original.read().drop_columns("text"))
    assert [a == b for a, b in zip(after["text"].to_pylist(), TEXTS, strict=True)] == [
        False,
        True,
        True,
        False,
        False,
    ]
    assert verify_redaction(tmp_path / "out", "text", maren, EXACT) == 0


def test_a_dataset_folder_stays_one(tmp_path, maren):
    source = tmp_path / "corpus"
    source.mkdir()
    write_arrow(source / "data-0.arrow", TEXTS)
    (source / "state.json").write_text('{"_data_files": [{"filename": "data-0.arrow"}]}')
    (source / "dataset_info.json").write_text('{"features": {}}')
    run(source, tmp_path / "out", maren)
    assert (tmp_path / "out" / "state.json").read_bytes() == (source / "state.json").read_bytes()
    with pa.ipc.open_stream(tmp_path / "out" / "data-0.arrow") as reader:
        after = reader.read_all()
    assert after["id"].to_pylist() == list(range(5))
    assert after["text"].to_pylist()[1:3] == TEXTS[1:3]
    assert verify_redaction(tmp_path / "out", "text", maren, EXACT) == 0


def test_text_files_keep_their_line_ends(tmp_path, maren):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes("\ufeffZo\u00eb\r\nMaren Tolvik\r\n".encode())
    (tmp_path / "in" / "b.txt").write_bytes(b"plain")
    run(tmp_path / "in", tmp_path / "out", maren)
    assert (tmp_path / "out" / "a.txt").read_bytes() == "\ufeffZo\u00eb\r\n[removed]\r\n".encode()
    assert (tmp_path / "out" / "b.txt").read_bytes() == b"plain"


def test_the_manifest_and_both_commitments_can_be_computed_by_hand(tmp_path, maren):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.txt").write_bytes(b"plain")
    (tmp_path / "in" / "a.txt").write_bytes(b"Maren Tolvik")
    _, copy = run(tmp_path / "in", tmp_path / "out", maren)
    lines = sorted(
        f"{hashlib.sha256(data).hexdigest()} {len(data)} {name}\n".encode()
        for name, data in (("a.txt", b"[removed]"), ("b.txt", b"plain"))
    )
    assert (tmp_path / "out" / "manifest.txt").read_bytes() == b"".join(lines)
    assert copy.after_sha256 == hashlib.sha256(b"".join(lines)).hexdigest()
    parts = [b"lethe/corpus-before/v1", b"a.txt", b"Maren Tolvik", b"b.txt", b"plain"]
    message = b"".join(len(p).to_bytes(8, "big") + p for p in parts)
    assert copy.before_hmac == hmac.new(KEY, message, "sha256").hexdigest()
    assert copy.before_hmac != commitment(open_corpus(str(tmp_path / "in")), b"other key")


def test_a_changed_copy_does_not_verify(tmp_path, maren):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"Maren Tolvik")
    run(tmp_path / "in", tmp_path / "out", maren)
    (tmp_path / "out" / "a.txt").write_bytes(b"something else")
    with pytest.raises(EvidenceInvalid) as caught:
        verify_redaction(tmp_path / "out", "text", maren, EXACT)
    assert caught.value.code is Code.DIGEST_MISMATCH


def test_what_is_left_in_a_copy_is_counted(tmp_path, maren):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"Maren Tolvik")
    redact(open_corpus(str(tmp_path / "in")), [], tmp_path / "out", "#", KEY)
    assert verify_redaction(tmp_path / "out", "text", maren, EXACT) == 1


def test_an_existing_folder_is_never_overwritten(tmp_path, maren):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"Maren Tolvik")
    (tmp_path / "out").mkdir()
    with pytest.raises(RequestRejected):
        run(tmp_path / "in", tmp_path / "out", maren)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "bad", [span("a.txt#1", 5, 99), span("a.txt#2", 0, 1), span("c.txt#1", 0, 1)]
)
def test_a_corpus_that_changed_since_the_search_is_refused(tmp_path, bad):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes(b"Maren Tolvik")
    with pytest.raises(RequestRejected) as caught:
        redact(open_corpus(str(tmp_path / "in")), [bad], tmp_path / "out", "#", KEY)
    assert caught.value.code is Code.CORPUS_CORRUPT
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_other_peoples_spans_are_not_redacted(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"Jon Aske")
    with pytest.raises(ValueError, match="only the subject's"):
        redact(
            open_corpus(str(tmp_path)),
            [span("a.txt#1", 0, 3, Owner.OTHER)],
            tmp_path / "o",
            "#",
            KEY,
        )


FULL = """
    import resource, sys
    from pathlib import Path
    from detectors.corpus import open_corpus
    from detectors.redact import redact
    from domain.errors import Code, Unavailable
    from domain.records import Owner, SensitiveSpan, SpanKind
    folder = Path(sys.argv[1])
    name = sys.argv[2]
    files = open_corpus(str(folder / "in"))
    spans = [SensitiveSpan(f"{name}#1", 0, 4, SpanKind.PERSON, Owner.SUBJECT, "exact", 1.0)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    try:
        redact(files, spans, folder / "out", "#", b"k")
    except Unavailable as error:
        assert error.code is Code.DISK and error.__cause__ is None
        sys.exit(7)
"""


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.parquet"])
def test_a_full_disk_leaves_the_original_and_nothing_else(tmp_path, name):
    (tmp_path / "in").mkdir()
    source = tmp_path / "in" / name
    big = "".join(chr(32 + (n * n) % 8000) for n in range(90_000))
    if name == "a.parquet":
        pq.write_table(pa.table({"text": [big]}), source, compression="none")
    else:
        source.write_text(json.dumps({"text": big}) if name == "a.jsonl" else big, "utf-8")
    before = source.read_bytes()
    code = [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path), name]
    assert subprocess.run(code, check=False).returncode == 7
    assert source.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


@given(st.text(max_size=40), st.data())
def test_splicing_changes_the_cuts_only(text, data):
    borders = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    cuts = list(zip(borders[::2], borders[1::2], strict=False))
    kept = "".join(c for n, c in enumerate(text) if not any(a <= n < b for a, b in cuts))
    assert splice(text, cuts, "") == kept
    assert len(splice(text, cuts, "##")) == len(kept) + 2 * len(cuts)


@given(
    st.lists(
        st.sampled_from([CARD, JON, "Maren Tolvik's cat", "M. Tolvik", "4 March 1987", "\u00fc\n"]),
        max_size=6,
    )
)
def test_searching_a_redacted_text_again_finds_nothing(parts):
    from tests.detectors.conftest import MAREN, person

    subject, text = person(**MAREN), " ".join(parts)
    spans = locate([document(text)], subject, EXACT).spans
    again = splice(text, [(s.start, s.end) for s in spans], "[removed]")
    assert locate([document(again)], subject, EXACT).spans == ()
