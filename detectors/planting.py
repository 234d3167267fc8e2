"""Texts of the corpus with a made-up person's datum written into each: copies in memory, never in the corpus."""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from detectors.written import written
from domain.records import Document, Identifier, IdentifierKind, Subject
from domain.secrecy import Secret

BESIDE = "beside"
"""The kind of a datum that the request does not name and that stands beside the person."""

_NAMES = (IdentifierKind.NAME, IdentifierKind.ALIAS)
_ALONE = (IdentifierKind.EMAIL, IdentifierKind.PHONE, IdentifierKind.RECORD_ID)
_LABELS = {
    IdentifierKind.EMAIL: "e-mail",
    IdentifierKind.PHONE: "phone",
    IdentifierKind.RECORD_ID: "account",
    IdentifierKind.BIRTH_DATE: "born",
    IdentifierKind.ADDRESS: "address",
}
_OF_NAMES = (
    "We spoke to {value} this morning.",
    "{value} wrote again.",
    "From: {value}\nSubject: your letter",
    '{{"customer": "{value}", "open": true}}',
    "The keys are with {value}, as before.",
    "cc: {value}",
)
_BY_ITSELF = (
    "Please use {value} from now on.",
    "{label}: {value}",
    '{{"{label}": "{value}"}}',
    "It was filed under {value} last week.",
)
_WITH_NAME = (
    "{name}: {value}",
    "{name} ({label} {value})",
    "{label} {value}, {name}",
    '{{"name": "{name}", "{label}": "{value}"}}',
    "Kind regards,\n{name}\n{label}: {value}",
    "{name} told us that {label} {value} is right.",
    "> {name} wrote:\n> my {label} is now {value}",
    "name;{label}\n{name};{value}",
)
_LONGEST = 2000  # characters of a text around what is planted
_BORDER = re.compile(r"(?<=[.!?])\s+|\n+")
_WAYS = ("Lane", "Road", "Street", "Avenue")
_WORDS = ("Quarry", "Meadow", "Foundry", "Granary", "Chapel", "Willow", "Mercer", "Station")


class Planted(NamedTuple):
    """One text with one datum in it: which made-up person's, where, and what it is."""

    document: Document
    person: int
    start: int
    end: int
    kind: str


def plant(
    people: Sequence[Subject],
    texts: Sequence[str],
    count: int,
    regions: Sequence[str],
    order: random.Random,
) -> list[Planted]:
    """`count` texts, each with one datum: every draw (person, kind, way of writing, frame, text, place) on its own."""
    kinds: list[IdentifierKind | None] = [i.kind for i in people[0].identifiers]
    kinds.append(None)  # a datum that the request does not name
    found = []
    for number in range(count):
        who, at = order.randrange(len(people)), order.randrange(len(kinds))
        frame, value, kind = _framed(people[who].identifiers, kinds[at], at, regions, order)
        before, behind = _cut(order.choice(texts), order)
        space = "\n" if "\n" in "".join(frame) else order.choice((" ", "\n"))
        first = f"{before}{space}{frame[0]}" if before else frame[0]
        start = len(first)
        text = f"{first}{value}{frame[1]}{space}{behind}"
        document = Document(f"planted#{number + 1}", Secret(text))
        found.append(Planted(document, who, start, start + len(value), kind))
    return found


def _framed(
    identifiers: Sequence[Identifier],
    kind: IdentifierKind | None,
    at: int,
    regions: Sequence[str],
    order: random.Random,
) -> tuple[tuple[str, str], str, str]:
    """What stands before and behind the datum, the datum as it is written, and its kind."""
    name = next((i for i in identifiers if i.kind in _NAMES), identifiers[0]).value.reveal()
    if kind is None:
        real, pieces = _made_up(order)
    else:
        real, pieces = kind, written(kind, identifiers[at].value.reveal(), regions, order)
    frames: Sequence[str] = _OF_NAMES if kind in _NAMES else _WITH_NAME
    if kind in _ALONE and order.random() < 0.5:
        frames = _BY_ITSELF
    said = order.choice(frames).format(name=name, label=_LABELS.get(real, ""), value="\0")
    before, _, behind = said.partition("\0")
    around = (before + pieces[0], pieces[2] + behind)
    return around, pieces[1], BESIDE if kind is None else kind.value


def _made_up(order: random.Random) -> tuple[IdentifierKind, tuple[str, str, str]]:
    """A datum of some kind in an ordinary way, with nothing around it."""

    def digits(form: str) -> str:
        return "".join(str(order.randint(2, 9)) if c == "N" else c for c in form)

    kind = order.choice(list(_LABELS))
    value = {
        IdentifierKind.EMAIL: digits(f"{order.choice(_WORDS).lower()}NN@example.org"),
        IdentifierKind.PHONE: digits("NNN-555-NNNN"),
        IdentifierKind.RECORD_ID: digits("NN-NNN-NNNN"),
        IdentifierKind.BIRTH_DATE: f"19{digits('NN')}-0{order.randint(1, 9)}-1{order.randint(0, 9)}",
        IdentifierKind.ADDRESS: digits(f"NN {order.choice(_WORDS)} {order.choice(_WAYS)}"),
    }[kind]
    return kind, ("", value, "")


def _cut(text: str, order: random.Random) -> tuple[str, str]:
    """A text, or a piece of a long one, in two at the border of a sentence or line."""
    if len(text) > _LONGEST:
        start = text.rfind(" ", 0, order.randrange(len(text) - _LONGEST)) + 1
        text = text[start : start + _LONGEST]
    borders = [match.span() for match in _BORDER.finditer(text)]
    start, end = order.choice([(0, 0), *borders, (len(text), len(text))])
    return text[:start], text[end:]
