"""Presidio finds what looks like personal data, with exact borders, and fails aloud."""

import logging
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.presidio import EMBEDDED, PresidioDetector, _engine
from domain.errors import Code, DetectionFailed, RequestRejected
from domain.records import Owner
from tests.detectors.conftest import CARD, document, person, shown

NOBODY = person(name="Nobody Here")
FOUND = [
    ("Her number is 900-51-4344 now.", "number", "900-51-4344"),
    ("What is Ann Berg's Social Security Number? 900514344", "number", "900514344"),
    ("account 55-201-7731, open", "number", "55-201-7731"),
    ("Passport AB 1234567 expired", "number", "AB 1234567"),
    ("card 4111 1111 1111 1111 was used", "number", "4111 1111 1111 1111"),
    ("IBAN DE89 3704 0044 0532 0130 00 here", "number", "DE89 3704 0044 0532 0130 00"),
    ("my iban is de89370400440532013000", "number", "de89370400440532013000"),
    ("logged in from 192.168.17.4 today", "other", "192.168.17.4"),
    ("logged in from 2001:db8::8a2e:370:7334", "other", "2001:db8::8a2e:370:7334"),
    ("call (212) 555-0137 today", "phone", "(212) 555-0137"),
    ("phone number? 7396451535", "phone", "7396451535"),
    ("tel. 030 1234567", "phone", "030 1234567"),
    ("ring +47 22 12 34 56, please", "phone", "+47 22 12 34 56"),
    ("mobile +49 (0)170 1234567", "phone", "+49 (0)170 1234567"),
    ("mail to maren.tolvik@example.org.", "email", "maren.tolvik@example.org"),
    (r"at [a\_b@me.com](mailto:a_b@me.com)", "email", r"a\_b@me.com"),
    (r"at [a\_b@me.com](mailto:a_b@me.com)", "email", "a_b@me.com"),
    ("born 4 March 1987, in", "date", "4 March 1987"),
    ("born on December 31, 1984.", "date", "December 31, 1984"),
    ("birth date: 1984-12-31", "date", "1984-12-31"),
    ("date of birth 31/12/1984", "date", "31/12/1984"),
    ("né(e), born 4. März 1987", "date", "4. März 1987"),
    (
        "lives at 10175 West 58th Place, #505, Orange, CA, 92867. She",
        "address",
        "10175 West 58th Place, #505, Orange, CA, 92867",
    ),
    ("address? 95 Hill Road, GA, 31405, Savannah.", "address", "95 Hill Road, GA, 31405, Savannah"),
    ("at 715 36.1 Road, Santa Rosa, CA, 95409.", "address", "715 36.1 Road, Santa Rosa, CA, 95409"),
    ("at 60 U.S. 80, Orange, VT, 05491", "address", "60 U.S. 80, Orange, VT, 05491"),
    ("lives at 12 Harbour Lane, Ostby.", "address", "12 Harbour Lane, Ostby"),
    ("lives at 12 Harbour Lane, Ostby, and works", "address", "12 Harbour Lane, Ostby"),
    ("Storgata 12, 0155 Oslo", "address", "Storgata 12, 0155 Oslo"),
    ("resides at Hauptstraße 5, 10115 Berlin.", "address", "Hauptstraße 5, 10115 Berlin"),
    ("12 rue de la Paix, 75002 Paris", "address", "12 rue de la Paix, 75002 Paris"),
    ("at 221B Baker Street, London NW1 6XE.", "address", "221B Baker Street, London NW1 6XE"),
    ("address 4 Elm St, Apt 3B, Salem, MA 01970", "address", "4 Elm St, Apt 3B, Salem, MA 01970"),
    ("Contact Maren Tolvik today", "person", "Maren Tolvik"),
    ("What is Anne-marie Beige's phone number?", "person", "Anne-marie Beige"),
    ("for Dr. Zoë Müller: phone", "person", "Zoë Müller"),
    ("Sean O\u2019Brien was born", "person", "Sean O\u2019Brien"),
    ("Jan van der Berg was born", "person", "Jan van der Berg"),
    ("Maren A. Tolvik lives", "person", "Maren A. Tolvik"),
    ("What is April Lane's phone number?", "person", "April Lane"),
    ("On Monday Jon Aske wrote", "person", "Jon Aske"),
    ("lives at 12 Harbour Lane, Ostby\nJon Aske\nPhone: 1", "address", "12 Harbour Lane, Ostby"),
    ("12 Harbour Lane\nOstby\n4310 Vardal", "address", "12 Harbour Lane\nOstby\n4310 Vardal"),
]
SURE_BY_KEY = [
    '"birth_date": "5 September 2005"',
    "phone_number=030 1234567",
    "home_address: 12 Mill Walk, Ostby",
]
NOT_SURE = [
    "The United States and New York signed on 4 May 1999.",
    "In 1984 some 25,000 people lived there; 3.14159 is pi.",
    "Chapter 12 Verse 4, pages 100-120, scored 3-2 in 2019.",
    "During 1940 the Marines took Hill 123 and Crossing 500, in place in December 1997.",
    "The New York Times, the Vann Lake Bridge and the 2012 Big Ten Conference Tournament.",
    "Version 2.10.4 of the Social Security Act",
]


@pytest.mark.parametrize("text", SURE_BY_KEY)
def test_a_key_of_several_words_says_what_follows(presidio, text):
    assert [s.confidence >= 0.5 for s in presidio.find(document(text), NOBODY)] == [True]


@pytest.mark.parametrize(("text", "kind", "expected"), FOUND)
def test_each_kind_is_found_with_exact_borders(presidio, text, kind, expected):
    assert (kind, expected) in shown(text, presidio.find(document(text), NOBODY))


@pytest.mark.parametrize("text", NOT_SURE)
def test_ordinary_text_holds_nothing_sure(presidio, text):
    assert [s for s in presidio.find(document(text), NOBODY) if s.confidence >= 0.5] == []


def test_a_card_is_found_whole_and_owned_by_nobody_yet(presidio):
    spans = presidio.find(document(CARD), NOBODY)
    assert shown(CARD, spans) == [
        ("person", "Maren Tolvik"),
        ("phone", "212-555-0137"),
        ("email", "maren.tolvik@example.org"),
        ("date", "4 March 1987"),
        ("number", "55-201-7731"),
        ("address", "12 Harbour Lane, Ostby"),
    ]
    assert {s.owner for s in spans} == {Owner.UNCERTAIN}
    assert min(s.confidence for s in spans) >= 0.5


def test_a_lettered_escape_or_empty_text_breaks_nothing(presidio):
    for text in ("", " \n\t", "\ud83d", "\u0000"):
        assert presidio.find(document(text), NOBODY) == []


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8"), max_size=80))
def test_spans_are_disjoint_sorted_and_inside_any_text(presidio, text):
    at = 0
    for span in presidio.find(document(text), NOBODY):
        assert at <= span.start < span.end <= len(text)
        at = span.end


@pytest.fixture(scope="module")
def embedded():
    return PresidioDetector(model=EMBEDDED)


def names(detector, text):
    return [
        word
        for kind, word in shown(text, detector.find(document(text), NOBODY))
        if kind == "person"
    ]


def test_the_name_finder_has_the_last_word_on_capitals(presidio, embedded):
    text = "Ask Maren Tolvik about the Copper Kettle Menu."
    assert names(presidio, text) == ["Maren Tolvik", "Copper Kettle Menu"]
    assert names(embedded, text) == ["Maren Tolvik"]


def test_capitals_right_before_a_sure_secret_stay(embedded):
    assert names(embedded, "Copper Kettle, 0155 Oslo, tel. 22 12 34 56") == ["Copper Kettle"]


def test_a_model_that_is_not_installed_is_refused_and_not_downloaded():
    with pytest.raises(RequestRejected) as caught:
        PresidioDetector(model="no_such_model").find(document("text"), NOBODY)
    assert caught.value.code is Code.POLICY_INVALID


def test_an_unknown_recognizer_is_refused():
    with pytest.raises(RequestRejected) as caught:
        PresidioDetector(recognizers=("NoSuchRecognizer",)).find(document("text"), NOBODY)
    assert caught.value.place == "detectors.presidio.recognizers"


def test_a_recognizer_that_needs_a_model_is_refused_and_not_silent():
    with pytest.raises(RequestRejected) as caught:
        PresidioDetector(recognizers=("SpacyRecognizer",)).find(document("text"), NOBODY)
    assert caught.value.place == "detectors.presidio.recognizers"


def test_a_recognizer_that_needs_no_digit_reads_text_without_one():
    text = "Write to maren.tolvik@example.org or ring the bell."
    engine = _engine("", "en", ("US",), ("EmailRecognizer",))
    assert [(f.start, f.end) for f in engine.findings(text, phones=True)] == [(9, 33)]


def test_the_same_text_is_looked_at_once_and_keeps_its_own_place(presidio, monkeypatch):
    first = presidio.find(document(CARD + " again", "a#1"), NOBODY)
    monkeypatch.setattr(presidio.__class__, "_findings", None)
    second = presidio.find(document(CARD + " again", "b#2"), NOBODY)
    assert {s.document for s in second} == {"b#2"}
    assert [(s.start, s.end, s.kind) for s in first] == [(s.start, s.end, s.kind) for s in second]


def test_an_engine_that_cannot_be_built_fails_without_showing_the_text():
    with pytest.raises(DetectionFailed) as caught:
        PresidioDetector(language="no-such-language").find(document(CARD), NOBODY)
    assert caught.value.code is Code.DETECTOR_BROKE
    assert "Tolvik" not in caught.value.sentence + str(caught.value)
    assert caught.value.__cause__ is None


def test_a_pattern_that_times_out_is_a_failure_and_not_an_empty_answer(presidio, monkeypatch):
    from presidio_analyzer import pattern_recognizer

    monkeypatch.setattr(pattern_recognizer, "REGEX_TIMEOUT_SECONDS", 1e-9)
    with pytest.raises(DetectionFailed):
        presidio.find(document(CARD * 200), NOBODY)
    assert not logging.getLogger("presidio-analyzer").filters


def test_importing_the_registry_imports_nothing_heavy():
    code = (
        "import sys, detectors.registry as r; "
        "assert set(r.DETECTORS) == {'exact', 'presidio', 'online', 'annotator'};"
        "heavy = {'presidio_analyzer', 'spacy', 'torch', 'pyarrow', 'openai', 'transformers'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
