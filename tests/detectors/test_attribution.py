"""Whose a finding is: the nearest name before it in the same sentence."""

import pytest

from detectors.attribution import attribute
from detectors.exact import ExactIndex
from domain.records import Owner, merge_spans
from tests.detectors.conftest import CARD, JON, document, person

MAREN_ONLY = person(name="Maren Tolvik", birth_date="1987-03-04")
CASES = [
    ("Maren Tolvik has the phone 212-555-0137.", "212-555-0137", Owner.SUBJECT),
    ("Maren Tolvik left. Her phone is 212-555-0137.", "212-555-0137", Owner.SUBJECT),
    ("What is Maren Tolvik's phone number? 2125550137", "2125550137", Owner.SUBJECT),
    ("Maren Tolvik met Dr. Jon Aske, phone 212-555-0137.", "212-555-0137", Owner.OTHER),
    ("Dr. Jon Aske met Maren Tolvik, phone 212-555-0137.", "212-555-0137", Owner.SUBJECT),
    ("Maren Tolvik met Dr. Jon Aske. Call 212-555-0137.", "212-555-0137", Owner.UNCERTAIN),
    (
        "Dr. Jon Aske: phone 917-555-0188; Maren Tolvik: phone 212-555-0137",
        "917-555-0188",
        Owner.OTHER,
    ),
    (
        "Dr. Jon Aske: phone 917-555-0188; Maren Tolvik: phone 212-555-0137",
        "212-555-0137",
        Owner.SUBJECT,
    ),
    ("Maren Tolvik was there. Jon Aske was born on 4 March 1987.", "4 March 1987", Owner.UNCERTAIN),
    ("Maren Tolvik went on 9 July 2011.", "9 July 2011", Owner.UNCERTAIN),
]


@pytest.mark.parametrize(("text", "value", "owner"), CASES)
def test_the_nearest_name_decides(presidio, text, value, owner):
    doc = document(text)
    spans = attribute(doc, ExactIndex().find(doc, MAREN_ONLY), presidio.find(doc, MAREN_ONLY))
    owners = {text[s.start : s.end]: s.owner for s in spans}
    assert owners[value] is owner
    assert merge_spans(spans) == spans


def test_two_cards_in_one_document_keep_to_their_people(presidio):
    text = f"{CARD}\n{JON}"
    doc = document(text)
    spans = attribute(doc, ExactIndex().find(doc, MAREN_ONLY), presidio.find(doc, MAREN_ONLY))
    owners = {s.owner for s in spans if s.start < len(CARD)}
    assert owners == {Owner.SUBJECT}
    assert {s.owner for s in spans if s.start > len(CARD)} == {Owner.OTHER}


def test_nobody_is_the_subject_of_a_document_without_them(presidio):
    doc = document(JON)
    spans = attribute(doc, [], presidio.find(doc, MAREN_ONLY))
    assert Owner.SUBJECT not in {s.owner for s in spans}
