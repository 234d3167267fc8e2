"""The net over many people never loses a text in which the careful search finds one of them."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.exact import ExactIndex
from detectors.folding import fold, words
from detectors.net import Net
from domain.errors import DetectionFailed
from domain.records import Identifier, IdentifierKind, Subject
from domain.secrecy import Secret
from tests.detectors.conftest import document
from tests.detectors.test_exact import DATES, WRITTEN

KINDS = IdentifierKind
PEOPLE = [
    {
        KINDS.NAME: "Zoë Müller",
        KINDS.EMAIL: "zoe.m-k@some-host.example",
        KINDS.BIRTH_DATE: "04/03/1987",
    },
    {KINDS.NAME: "Jan van der Berg", KINDS.PHONE: "+47 22 12 34 56", KINDS.RECORD_ID: "1-23"},
    {KINDS.NAME: "Sean Patrick O'Brien", KINDS.ADDRESS: "12 St. John Street, 0155 Oslo"},
    {
        KINDS.NAME: "Wei Li",
        KINDS.ALIAS: "night_owl",
        KINDS.PHONE: "555 01",
        KINDS.RECORD_ID: "AB-12345",
    },
    {
        KINDS.NAME: "Иван Петров",
        KINDS.BIRTH_DATE: "31 December 2004",
        KINDS.ADDRESS: "New Mexico Ave 7, Ås",
    },
    {
        KINDS.NAME: "Bartholomew Featherstone",
        KINDS.BIRTH_DATE: "March 1987",
        KINDS.EMAIL: "b@x.org",
    },
    {KINDS.NAME: "Zora Müller", KINDS.ADDRESS: "14 St. John Street, Bergen"},
    {KINDS.NAME: "Bartholomew Feathersmith", KINDS.EMAIL: "bart.feathers@x.org"},
    {KINDS.NAME: "Benjamin Featherstone", KINDS.BIRTH_DATE: "1987-04-03"},
]
SUBJECTS = [
    Subject(f"er-{n}", tuple(Identifier(kind, Secret(value)) for kind, value in person.items()))
    for n, person in enumerate(PEOPLE)
]
INDEX = ExactIndex(("US", "NO"))
NET = INDEX.net(SUBJECTS)

values = sorted(value for person in PEOPLE for value in person.values())
pieces = sorted({piece for value in values for piece in re.findall(r"\w+|\W", value)})
dates = sorted(
    {text for _, text in DATES} | {"4. März 1987", "4 mars '87", "1987年3月4日", "4/3/87"}
)
SIGNS = ["", " ", "  ", " " * 20, "-" * 9, ", ", "\n", "\t", ". ", ".", "-", "_", "\\_", "\u00a0"]
SIGNS += ["\u200b", "\u2028", "\x1f", "/", "'", "\u2019", "(", ") ", " \\\n ", "\u2013", "\0"]
gaps = st.sampled_from([*SIGNS, "@", "%40", " [at] ", "+", "é", "x"])
gaps |= st.sampled_from(['","', ",", " | ", '", "last_name": "', "', 'first': '"])
written = st.one_of(
    st.sampled_from(values), st.sampled_from(pieces), st.sampled_from(dates), st.text(max_size=3)
)


def slip(text, at, how):
    """One letter changed, left out, doubled or exchanged with the next one."""
    at %= max(1, len(text))
    rest = text[at + 1 :]
    return (
        text[:at]
        + {0: "q", 1: "", 2: 2 * text[at : at + 1], 3: rest[:1] + text[at : at + 1]}[how]
        + (rest[1:] if how == 3 else rest)
    )


@st.composite
def texts(draw):
    parts = draw(st.lists(st.tuples(written, gaps), max_size=6))
    text = "".join(part + gap for part, gap in parts)
    for _ in range(draw(st.integers(0, 1))):
        text = slip(text, draw(st.integers(0, 60)), draw(st.integers(0, 3)))
    form = draw(st.sampled_from(["NFC", "NFD", "NFKD"]))
    case = draw(st.sampled_from([str, str, str.upper, str.lower, str.title, wide]))
    return case(unicodedata.normalize(form, text))


def wide(text):
    """With digits of full width."""
    return "".join(chr(ord(c) + 0xFEE0) if c in "0123456789" else c for c in text)


@settings(deadline=None, max_examples=300)
@given(st.lists(texts(), min_size=1, max_size=4))
def test_whoever_is_found_in_a_text_was_caught_there(batch):
    caught = dict(NET.catch(batch))
    for place, text in enumerate(batch):
        found = {n: INDEX.find(document(text), s) for n, s in enumerate(SUBJECTS)}
        assert {n for n, spans in found.items() if spans} <= set(caught.get(place, ()))
        for n, forms in caught.get(place, {}).items():
            assert INDEX.find(document(text), SUBJECTS[n], forms) == found[n]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [*WRITTEN, *(("birth_date", value, text) for value, text in DATES)],
)
def test_every_written_form_is_caught_at_its_place(kind, value, text):
    subject = Subject("er-1", (Identifier(IdentifierKind(kind), Secret(value)),))
    net = ExactIndex(("US", "NO", "GB")).net([SUBJECTS[3], subject])
    caught = dict(net.catch(["nothing", f"see {text}; thanks", "nothing"]))
    assert list(caught) == [1]
    assert 1 in caught[1]


def test_an_identifier_full_of_signs_is_caught():
    for name in ("((((Maren)))) Tolvik", "Maren ((((((((((Tolvik", "night----------owl"):
        subject = Subject("er-1", (Identifier(KINDS.ALIAS, Secret(name)),))
        for text in (name, name.replace("(", "((("), name.upper()):
            index = ExactIndex()
            assert index.mentions(text, subject) or not index.find(document(text), subject)


def test_ordinary_text_is_not_caught():
    batch = [
        "The ferry leaves at noon.",
        "In 1987 we met 4 people in March.",
        "call 212-555-1199",
        "",
    ]
    assert list(NET.catch(batch)) == []


def test_a_gap_as_wide_as_a_page_hides_nothing():
    assert [place for place, _ in NET.catch(["", f"4 March {' ' * 5000} 1987"])] == [1]


def test_a_zero_byte_in_a_text_is_no_border():
    assert [place for place, _ in NET.catch(["a\0b\0c", "by Wei\0Li", "Wei", "Li"])] == [1]


@pytest.mark.parametrize("others", [3, 300])
def test_numbers_are_caught_among_few_and_among_many_others(others):
    batch = [f"call 646-777-{n:04}" for n in range(others)]
    batch += ["+47 (22) 12-34-56", "Zo\u00eb's ab 12 34 5", "\u0662\u0662 12 34 56", batch[0]]
    assert [(place, list(who)) for place, who in NET.catch(batch)] == [
        (others, [1]),
        (others + 1, [3]),
        (others + 2, [1]),
    ]


@pytest.mark.parametrize("count", [3, 120])
def test_people_who_share_a_name_are_told_apart(count):
    given = [f"{a}an{b}a" for a in "bdfhjklmnprst" for b in "bcdfgklmnt"][:count]
    people = [
        Subject(f"er-{n}", (Identifier(KINDS.NAME, Secret(f"{name.title()} Aske")),))
        for n, name in enumerate(given)
    ]
    index = ExactIndex()
    texts = [f"{name.upper()} Aske" for name in given] + [f"Aske, {name}" for name in given]
    texts += [f"so {name[:-1]}u Aske" for name in given]
    found = {}
    for place, caught in index.net(people).catch(texts):
        for n, forms in caught.items():
            if index.find(document(texts[place]), people[n], forms):
                found.setdefault(place, set()).add(n)
    alone = {
        place: {n for n, one in enumerate(people) if index.find(document(text), one)}
        for place, text in enumerate(texts)
    }
    assert found == {place: who for place, who in alone.items() if who}
    assert all(place % count in found[place] for place in range(2 * count))


def test_an_identifier_that_no_pattern_takes_is_an_error_without_its_text():
    subject = Subject("er-1", (Identifier(KINDS.NAME, Secret("Maren " + "Tolvik " * 9000)),))
    index = ExactIndex()
    with pytest.raises(DetectionFailed) as caught:
        index.net([SUBJECTS[0], subject, SUBJECTS[2]])
    assert caught.value.request_ref == "er-1"
    assert "olvik" not in caught.value.sentence
    assert caught.value.__cause__ is None


@given(st.lists(st.text(st.characters(), max_size=30) | st.text(" -a", max_size=60), max_size=4))
def test_the_quick_reading_is_the_folded_text_with_spaces(batch):
    def plain(text):
        return "".join(c if c.isalnum() else " " for c in fold(text).text.lower()).encode()

    def narrow(folded):
        return re.sub(b" {8,}", b" " * 8, folded)

    if not batch:
        assert words(batch).strip() == b""
    else:
        expected = b" " + b" \0 ".join(map(plain, batch)) + b" "
        assert narrow(words(batch)) == narrow(expected)
        assert b" " * 16 not in words(batch)


def test_a_net_without_anybody_catches_nothing():
    assert list(Net([], []).catch(["Wei Li"])) == []
