"""A name with a slip is found, and is nobody's for sure unless something else says whose."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from detectors.attribution import attribute
from detectors.exact import ExactIndex
from detectors.slips import _hole, slack
from domain.records import Owner
from tests.detectors.conftest import document, person

NEAR = [
    ("Maren Tolvik", "Maren Tolvig"),
    ("Maren Tolvik", "Maren Tovlik"),
    ("Maren Tolvik", "Maren Tolvick"),
    ("Maren Tolvik", "Marn Tolvik"),
    ("Maren Tolvik", "Maaren A. Tolvik"),
    ("Maren Tolvik", "Tolvig, Maren"),
    ("Maren Tolvik", "Tolvik, Marem"),
    ("Jan van der Berghem", "Jan van der Bergham"),
    ("Zoë Müller", "Zoe Muler"),
    ("Bartholomew Fox", "Bartolomev Fox"),
    ("Dr. Maren Tolvik", "Maren Tolwik"),
]
FAR = [
    ("Maren Tolvik", "Marin Tolvig"),
    ("Maren Tolvik", "Maren Solberg"),
    ("Maren Tolvik", "Maren tolvig"),
    ("Maren Tolvik", "maren Tolvig"),
    ("Maren Tolvik", "Maren. Tolvig"),
    ("Maren Tolvik", "Maren and Tolvig"),
    ("Wei Li", "Wei Lu"),
    ("Anna Berg", "Anna Borg"),
    ("Anne-Marie Berghem", "Anne-Marie Bergen"),
]


def spans(text, **known):
    found = ExactIndex().find(document(text), person(**known))
    return [(text[s.start : s.end], s.owner) for s in found]


@pytest.mark.parametrize(("name", "written"), NEAR)
def test_a_slip_alone_is_uncertain(name, written):
    assert spans(f"see {written}; thanks", name=name) == [(written, Owner.UNCERTAIN)]


@pytest.mark.parametrize(("name", "written"), FAR)
def test_more_than_a_slip_is_somebody_else(name, written):
    assert spans(f"see {written}; thanks", name=name) == []


def test_beside_the_persons_number_a_slip_is_the_person():
    text = "Maren Tolvig, phone 212-555-0137"
    assert spans(text, name="Maren Tolvik", phone="212-555-0137") == [
        ("Maren Tolvig", Owner.SUBJECT),
        ("212-555-0137", Owner.SUBJECT),
    ]


def test_beside_the_persons_own_name_a_slip_is_a_relative():
    text = "Maren Tolvik and Karen Tolvik, mail m@x.org"
    found = dict(spans(text, name="Maren Tolvik", email="m@x.org"))
    assert found["Karen Tolvik"] is Owner.UNCERTAIN


def test_at_a_shared_address_a_slip_is_a_relative():
    text = "Karen Tolvik, 12 Harbour Lane, Ostby"
    found = dict(spans(text, name="Maren Tolvik", address="12 Harbour Lane, Ostby"))
    assert found["Karen Tolvik"] is Owner.UNCERTAIN


def test_what_follows_a_relative_is_not_the_persons(presidio):
    text = "Maren Tolvik wrote. Karen Tolvik has the phone 917-555-0188."
    doc, subject = document(text), person(name="Maren Tolvik")
    found = attribute(doc, ExactIndex().find(doc, subject), presidio.find(doc, subject))
    owners = {text[s.start : s.end]: s.owner for s in found}
    assert owners["917-555-0188"] is Owner.UNCERTAIN


@given(st.text("abc\u0436", min_size=5, max_size=14), st.data())
def test_a_word_with_so_many_slips_keeps_a_piece_unharmed(word, data):
    most, letters = slack(word), list(word)
    for _ in range(most):
        at = data.draw(st.integers(0, len(letters) - 1))
        how = data.draw(st.sampled_from(["add", "drop", "change", "exchange"]))
        if how == "exchange":
            letters[at : at + 2] = letters[at : at + 2][::-1]
        else:
            letters[at : at + (how != "add")] = [] if how == "drop" else ["x"]
    written = "".join(letters)
    if OSA.distance(written, word) <= most:
        assert re.fullmatch(_hole(word, most)[1].encode(), written.encode())
