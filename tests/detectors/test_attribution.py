"""Whose a finding is: each cue on a case of its own, and what holds for every text."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import attribution
from detectors.attribution import attribute
from detectors.cast import UNKNOWN
from detectors.cues import strongest
from detectors.exact import ExactIndex
from domain.records import Owner, SensitiveSpan, SpanKind, merge_spans
from tests.detectors.conftest import CARD, JON, document, person

MINE, THEIRS, OPEN = Owner.SUBJECT, Owner.OTHER, Owner.UNCERTAIN
MAREN_ONLY = person(name="Maren Tolvik", birth_date="1987-03-04")
PHONE, SECOND = "212-555-0137", "917-555-0188"
BEFORE = [
    ("Maren Tolvik has the phone 212-555-0137.", PHONE, MINE),
    ("Maren Tolvik left. Her phone is 212-555-0137.", PHONE, MINE),
    ("What is Maren Tolvik's phone number? 2125550137", "2125550137", MINE),
    ("Maren Tolvik met Dr. Jon Aske, phone 212-555-0137.", PHONE, THEIRS),
    ("Dr. Jon Aske met Maren Tolvik, phone 212-555-0137.", PHONE, MINE),
    ("Maren Tolvik met Dr. Jon Aske. Call 212-555-0137.", PHONE, OPEN),
    ("Dr. Jon Aske: phone 917-555-0188; Maren Tolvik: phone 212-555-0137", SECOND, THEIRS),
    ("Dr. Jon Aske: phone 917-555-0188; Maren Tolvik: phone 212-555-0137", PHONE, MINE),
    ("Maren Tolvik was there. Jon Aske was born on 4 March 1987.", "4 March 1987", OPEN),
    ("Maren Tolvik went on 9 July 2011.", "9 July 2011", OPEN),
    ("Maren Tolvik and Dr. Jon Aske share the phone 212-555-0137.", PHONE, OPEN),
    ("Dr. Jon Aske, whom Maren Tolvik knows, has the phone 917-555-0188.", SECOND, THEIRS),
    ("Dr. Jon Aske is out. Maren Tolvik called 917-555-0188.", SECOND, OPEN),
]
BEHIND = [
    ("Call 917-555-0188 (Jon Aske) or 212-555-0137 (Maren Tolvik).", PHONE, MINE),
    ("Call 212-555-0137 (Maren Tolvik) or 917-555-0188 (Jon Aske).", SECOND, THEIRS),
    ("Dr. Jon Aske rang: 212-555-0137 belongs to Maren Tolvik.", PHONE, MINE),
    ("Dr. Jon Aske left.\n212-555-0137 - Maren Tolvik\n917-555-0188 - Jon Aske", PHONE, MINE),
    ("Ask Dr. Jon Aske for Maren Tolvik's phone: 212-555-0137.", PHONE, MINE),
    ("The number of Maren Tolvik is 212-555-0137, Dr. Jon Aske has none.", PHONE, MINE),
    (
        "Maren Tolvik and Dr. Jon Aske have the phones 212-555-0137 and 917-555-0188.",
        SECOND,
        THEIRS,
    ),
]
SPLIT = '{{"first": "Jon", "last": "Aske", "phone": "{1}"}}, {{"first": "Maren", "last": "Tolvik", "phone": "{0}"}}'
FIELDS = [
    ('{"first_name": "Maren", "last_name": "Tolvik", "phone": "212-555-0137"}', PHONE, MINE),
    (SPLIT.format(PHONE, SECOND), PHONE, MINE),
    (SPLIT.format(PHONE, SECOND), SECOND, THEIRS),
    ("first,last,phone\nMaren,Tolvik,212-555-0137\nJon,Aske,917-555-0188", PHONE, MINE),
    ("first,last,phone\nMaren,Tolvik,212-555-0137\nJon,Aske,917-555-0188", SECOND, THEIRS),
]
PRONOUNS = [
    ("Dr. Jon Aske left. Then Maren Tolvik came. Her phone is 212-555-0137.", PHONE, MINE),
    ("Mr. Jon Aske met Ms. Maren Tolvik. Her phone is 212-555-0137.", PHONE, MINE),
    ("Mr. Jon Aske met Ms. Maren Tolvik. His phone is 917-555-0188.", SECOND, THEIRS),
    ("Dr. Jon Aske met Maren Tolvik. Her phone is 212-555-0137.", PHONE, OPEN),
    ("Dr. Jon Aske left. Maren Tolvik's boss has the phone 917-555-0188.", SECOND, OPEN),
    ("Dr. Jon Aske came. Maren Tolvik called her sister at 917-555-0188.", SECOND, OPEN),
    (
        "Dear Dr. Jon Aske,\n\nmy phone is 212-555-0137.\n\nKind regards,\nMaren Tolvik",
        PHONE,
        MINE,
    ),
    (
        "Dear Maren Tolvik,\n\nmy phone is 917-555-0188.\n\nKind regards,\nJon Aske\nSales",
        SECOND,
        THEIRS,
    ),
    ("Dear Maren Tolvik,\n\nyour account is 55-201-7731.\n\nBest,\nJon Aske", "55-201-7731", MINE),
    ("Tenant: Maren Tolvik\nOwner: Jon Aske\nThe tenant's phone is 212-555-0137.", PHONE, MINE),
]
STRUCTURE = [
    ("Name: Maren Tolvik\nPhone: 212-555-0137\nName: Jon Aske\nPhone: 917-555-0188", PHONE, MINE),
    (
        "Name: Maren Tolvik\nPhone: 212-555-0137\nName: Jon Aske\nPhone: 917-555-0188",
        SECOND,
        THEIRS,
    ),
    ("Maren Tolvik\n212-555-0137\n\nJon Aske\n917-555-0188", SECOND, THEIRS),
    ("Tolvik, Maren\n  tel 212-555-0137\nAske, Jon\n  tel 917-555-0188", SECOND, THEIRS),
    ("name,phone,age\nMaren Tolvik,212-555-0137,3\nJon Aske,917-555-0188,4", SECOND, THEIRS),
    ("last\tfirst\tphone\nTolvik\tMaren\t212-555-0137\nAske\tJon\t917-555-0188", SECOND, THEIRS),
    ("Maren Tolvik | Jon Aske\n212-555-0137 | 917-555-0188", PHONE, MINE),
    ("Maren Tolvik | Jon Aske\n212-555-0137 | 917-555-0188", SECOND, THEIRS),
    (
        (
            '[{"phone": "917-555-0188", "name": "Jon Aske"}, '
            '{"phone": "212-555-0137", "name": "Maren Tolvik"}]'
        ),
        PHONE,
        MINE,
    ),
    (
        (
            '{"name": "Maren Tolvik", "boss": {"name": "Jon Aske", "phone": "917-555-0188"}, '
            '"phone": "212-555-0137"}'
        ),
        PHONE,
        MINE,
    ),
    (
        (
            '{"name": "Maren Tolvik", "boss": {"name": "Jon Aske", "phone": "917-555-0188"}, '
            '"phone": "212-555-0137"}'
        ),
        SECOND,
        THEIRS,
    ),
    (
        "Patient: Maren Tolvik\nManager: Jon Aske\nManager's phone: 917-555-0188",
        SECOND,
        THEIRS,
    ),
    (
        "Thanks.\nMaren Tolvik\n212-555-0137\n\nOn Monday Jon Aske wrote:\n> Call me: 917-555-0188",
        SECOND,
        THEIRS,
    ),
    (
        "Maren Tolvik: what is your number?\nJon Aske: 917-555-0188\nMaren Tolvik: mine is 212-555-0137",
        PHONE,
        MINE,
    ),
    (
        "Maren Tolvik: what is your number?\nJon Aske: 917-555-0188\nMaren Tolvik: mine is 212-555-0137",
        SECOND,
        THEIRS,
    ),
    ("Jon Aske: what is Maren Tolvik's number?\nEli Berg: 212-555-0137", PHONE, MINE),
    (
        "By Maren Tolvik\nCallback: 212-555-0137\n-- Dr. Jon Aske\n[9:12] Jon: hi\n[9:14] Jon: ok",
        PHONE,
        MINE,
    ),
    ("Dr. Jon Aske met Maren Tolvik. Mail: tolvik.m@example.org.", "tolvik.m@example.org", MINE),
    ("Maren Tolvik met Dr. Jon Aske. Mail: jaske@example.org.", "jaske@example.org", THEIRS),
    ("Dr. Jon Aske met Maren Tolvik. Mail: fox7@example.org.", "fox7@example.org", OPEN),
    (
        "Maren Tolvik has 212-555-0137. Dr. Jon Aske left. Again: 212-555-0137.",
        PHONE,
        MINE,
    ),
    ("Dr. Jon Aske and Maren Tolvik work here. The office phone is 917-555-0188.", SECOND, OPEN),
]


def owners(presidio, text, subject=MAREN_ONLY):
    """Each span's text with its owner; the last one where a text comes twice."""
    doc = document(text)
    spans = attribute(doc, ExactIndex().find(doc, subject), presidio.find(doc, subject))
    assert merge_spans(spans) == spans
    return {text[s.start : s.end]: s.owner for s in spans}


@pytest.mark.parametrize(
    ("text", "value", "owner"), [*BEFORE, *BEHIND, *PRONOUNS, *STRUCTURE, *FIELDS]
)
def test_each_cue_says_whose_it_is(presidio, text, value, owner):
    assert owners(presidio, text)[value] is owner


def test_two_cards_in_one_document_keep_to_their_people(presidio):
    text = f"{CARD}\n{JON}"
    doc = document(text)
    spans = attribute(doc, ExactIndex().find(doc, MAREN_ONLY), presidio.find(doc, MAREN_ONLY))
    assert {s.owner for s in spans if s.start < len(CARD)} == {MINE}
    assert {s.owner for s in spans if s.start > len(CARD)} == {THEIRS}


def test_nobody_is_the_subject_of_a_document_without_them(presidio):
    doc = document(JON)
    spans = attribute(doc, [], presidio.find(doc, MAREN_ONLY))
    assert MINE not in {s.owner for s in spans}


def test_an_address_with_the_subjects_name_in_it_is_wholly_theirs(presidio):
    text = "Maren Tolvik is here: maren.tolvik@example.org"
    assert owners(presidio, text)["maren.tolvik@example.org"] is MINE


@pytest.mark.parametrize(
    ("said", "decided"),
    [
        ([], (UNKNOWN, 0.0)),
        ([(0, 0.9), (1, 0.7)], (0, 0.9)),
        ([(0, 0.9), (1, 0.9)], (UNKNOWN, 0.9)),
        ([(0, 0.9), (1, 0.88)], (UNKNOWN, 0.9)),
        ([(1, 0.4)], (UNKNOWN, 0.4)),
        ([(0, 0.7), (7, 0.7)], (0, 0.7)),
    ],
)
def test_the_strongest_decides_and_a_tie_or_a_weak_one_does_not(said, decided):
    assert strongest(said, {7}) == decided
    assert strongest(reversed(said), {7}) == decided


PIECES = [
    "Maren Tolvik", "Jon Aske", "Dr. Eli Berg", "Maren", "Ms. Tolvik", "Aske, Jon",
    "212-555-0137", "917-555-0188", "maren@example.org", "j.aske@example.net", "born 4 March 1987",
    "12 Harbour Lane, Ostby", "account 55-201-7731", "Her phone is", "my mail:", "said", '{"name": "',
    '", "phone": "', '"}', "> ", "Kind regards,", "From:", "Name:", "?", ".", ";", "|", "\t", "\n",
    "\n\n", " - ", "'s ", " (", ") ", "\u200b", "\U0001f600", "Zoe\u0308", "the tenant", "   ",
]  # fmt: skip
MADE_UP = st.lists(st.sampled_from(PIECES), max_size=24).map(" ".join)
LETTERS = st.text(alphabet="aB. ,:;|>{}\"'\n\t@1-?(\u0308", max_size=60)


@given(MADE_UP | LETTERS, st.randoms(use_true_random=False))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_finding_is_lost_whatever_the_order(presidio, text, chance):
    doc = document(text)
    own, found = ExactIndex().find(doc, MAREN_ONLY), presidio.find(doc, MAREN_ONLY)
    spans = attribute(doc, own, found)
    assert merge_spans(spans) == spans
    assert _covered(own) <= _covered(spans) <= _covered(own) | _covered(found)
    assert _covered(_new(own, found)) <= _covered(spans)
    shuffled = [*found, *found]
    chance.shuffle(shuffled)
    assert attribute(doc, own[::-1], shuffled) == spans
    decided = [replace(s, owner=chance.choice(list(Owner))) for s in found]
    assert attribute(doc, own, decided) == spans


@st.composite
def spans_in(draw):
    """A text, and spans that need not be anything."""
    text = draw(LETTERS.filter(bool))
    places = st.tuples(
        st.integers(0, len(text) - 1),
        st.integers(1, 12),
        st.sampled_from(SpanKind),
        st.sampled_from(Owner),
        st.sampled_from([0.35, 0.6, 1.0]),
    )
    spans = [
        SensitiveSpan("a#1", start, min(len(text), start + length), kind, owner, "any", confidence)
        for start, length, kind, owner, confidence in draw(st.lists(places, max_size=8))
    ]
    return text, spans


@given(spans_in(), st.integers(0, 8))
@settings(max_examples=150, deadline=None)
def test_whatever_is_found_is_kept(made, border):
    text, spans = made
    own, found = merge_spans(spans[:border]), spans[border:]
    decided = attribute(document(text, "a#1"), own, found)
    assert merge_spans(decided) == decided
    assert _covered(own) | _covered(_new(own, found)) <= _covered(decided)
    numbers = [s for s in own if s.kind is SpanKind.NUMBER and s.owner is MINE]
    assert _covered(numbers) <= _covered(s for s in decided if s.owner is MINE)


def _new(own, found):
    """The findings that say more than the subject's own spans do."""
    secrets, names = (
        _covered(s for s in own if (s.kind is SpanKind.PERSON) is person)
        for person in (False, True)
    )
    return [
        f
        for f in found
        if not _covered([f]) & secrets and not (f.kind is SpanKind.PERSON and _covered([f]) & names)
    ]


def _covered(spans):
    return {place for span in spans for place in range(span.start, span.end)}


def test_where_nobody_else_is_named_no_evidence_is_looked_for(monkeypatch):
    def asked(*_):
        raise LookupError

    monkeypatch.setattr(attribution, "evidence", asked)
    alone = document("Maren Tolvik, born 4 March 1987, wrote again; her mother was born in March.")
    own = ExactIndex().find(alone, MAREN_ONLY)
    assert attribute(alone, own, []) == own
    both = document(f"{alone.text.reveal()} Mr Aske was born on 4 March 1987.")
    with pytest.raises(LookupError):
        attribute(both, ExactIndex().find(both, MAREN_ONLY), [])
