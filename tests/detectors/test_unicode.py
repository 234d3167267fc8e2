"""Offsets are code points of the original text, whatever script stands around it and wherever a block ends."""

import gzip
import json
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import reading
from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.folding import fold
from detectors.locate import in_batches, search
from domain.records import Owner
from tests.detectors.conftest import document, person

SUBJECT = person(name="Zo\u00eb M\u00fcller", phone="212-555-0137", email="zoe@example.org")
INDEX = ExactIndex()
NAMES = [
    "Zo\u00eb M\u00fcller",
    "ZOE MUELLER",
    "M\u00fcller, Zo\u00eb",
    "\uff3a\uff4f\uff45 \uff2d\uff55\uff4c\uff4c\uff45\uff52",  # full width
    "\U0001d419\U0001d428\U0001d41e \U0001d40c\U0001d42e\U0001d425\U0001d425\U0001d41e\U0001d42b",
    "Zo\u200b\u00eb\u2060 M\u00fc\u00adl\ufeffler",  # zero width
    "212-555-0137",
    "\u0662\u0661\u0662 \u0665\u0665\u0665 \u0660\u0661\u0663\u0667",  # Arabic digits
    "zoe@example.org",
]
AROUND = [
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643",  # Arabic
    "\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd",  # Hebrew with points
    "\u202b\u200f\u061c\u2067",  # marks of direction
    "\u202c\u2069\u200e",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3fd",  # a family
    "\U0001f1f3\U0001f1f4 \u2764\ufe0f",
    "Z\u043e\u0451 \u041c\u00fcller",  # Cyrillic letters that look like those of the name
    "\u039c\u03bf\u03bd\u03ac\u03b4\u03b1 \u1fb4 \u0130stanbul \ufb01ne Gro\u00df",
    "e\u0301\u0323\u0489 \u1e9b\u0323",
    "\u65e5\u672c\u8a9e \uac00\u1100\u1161",
    "\u200b\u200d\ufeff\u00ad",
    '\\ " / \t \u2028 \u0085',
]
pieces = st.lists(st.sampled_from(AROUND) | st.text(max_size=4), max_size=3).map(" ".join)
forms = st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"])


@given(pieces, st.sampled_from(NAMES), pieces, forms, st.sampled_from([str, str.upper, str.lower]))
def test_a_name_is_cut_out_whole_whatever_stands_around(before, name, after, form, case):
    written = unicodedata.normalize(form, case(name))
    text = f"{before} | {written} | {after}"
    spans = INDEX.find(document(text), SUBJECT)
    assert written in [text[s.start : s.end] for s in spans if s.owner is Owner.SUBJECT]
    assert [s for s in spans if s.end > len(text)] == []
    ends = [0, *(end for s in spans for end in (s.start, s.end))]
    assert ends == sorted(ends)


@given(pieces, forms)
def test_every_character_of_folded_text_comes_from_where_it_stands(text, form):
    text = unicodedata.normalize(form, text)
    folded = fold(text)
    for start in range(len(folded.text)):
        first, last = folded.span(start, start + 1)
        assert folded.text[start] in fold(text[first:last]).text
    assert len(folded.origin) == len(folded.text)


@given(pieces)
def test_presidio_cuts_at_code_points(presidio, around):
    text = f"{around} zoe@example.org {around} 4111 1111 1111 1111 {around}"
    found = {text[s.start : s.end] for s in presidio.find(document(text), SUBJECT)}
    assert found >= {"zoe@example.org", "4111 1111 1111 1111"}


def test_a_name_in_letters_of_another_script_is_at_most_uncertain():
    for text in (
        "Zo\u0451 M\u00fcller",
        "Zo\u00eb \u041c\u00fcller",
        "\u0396\u03bf\u00eb M\u00fcller",
    ):
        spans = INDEX.find(document(text), SUBJECT)
        assert {s.owner for s in spans} <= {Owner.UNCERTAIN}
        assert {text[s.start : s.end] for s in spans} <= {text}


@given(
    st.lists(st.tuples(pieces, st.sampled_from(["", *NAMES]), pieces), min_size=1, max_size=6),
    st.booleans(),
    st.sampled_from([".jsonl", ".jsonl.gz"]),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_a_file_in_blocks_of_any_size_has_the_spans_of_its_texts(rows, escaped, kind, part, block):
    texts = [" | ".join(row) for row in rows]
    lines = [json.dumps({"n": 1, "text": t}, ensure_ascii=escaped) + "\n" for t in texts]
    data = "".join(lines).encode()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PART", part)
        patch.setattr(reading, "_BLOCK", block)
        Path(folder, f"a{kind}").write_bytes(gzip.compress(data, 1) if "gz" in kind else data)
        found = search(open_corpus(folder).batches(), [SUBJECT], {"exact": INDEX})
    documents = [document(text, f"a{kind}#{n}") for n, text in enumerate(texts, 1)]
    assert found == search(in_batches(documents), [SUBJECT], {"exact": INDEX})
    named = [n for n, (_, name, _) in enumerate(rows, 1) if name]
    assert {p.ref for p in found[0].passages} >= {f"a{kind}#{n}" for n in named}
