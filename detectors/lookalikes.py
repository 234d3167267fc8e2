"""Somebody who does not exist, with identifiers of the subject's form: other letters, other digits, all else alike."""

import random
import re
from collections.abc import Sequence
from datetime import date, timedelta

from detectors.addresses import STATES, STREET_WORDS
from detectors.dates import read_date
from detectors.folding import fold
from detectors.names import HONORIFICS, PARTICLES
from domain.records import Identifier, IdentifierKind, Subject
from domain.secrecy import Secret

_LINE = 4  # digits at the end of a phone number that are the person's; those before say where it is
_FIRST, _DAYS = date(1940, 1, 1), 24_000  # birth dates are drawn from here, so many days on
_PART = re.compile(r"[^\W\d_]+|[\W\d_]+")
_NAMES = HONORIFICS | PARTICLES
_PLACES = STREET_WORDS | STATES.keys() | set("_".join(STATES.values()).split("_"))
"""Words that many names, and many addresses, have: they stay."""


def lookalike(subject: Subject, ref: str, order: random.Random) -> Subject | None:
    """One made-up person; None where a value has neither a Latin letter nor a digit that could be exchanged.

    Every letter stands for another one, the same in all values, vowels for vowels: an e-mail address that holds the
    name holds the made-up name.
    """
    table = {
        **_exchanged("aeiou", order),
        **_exchanged("bcdfghjklmnpqrstvwxyz", order),
        **_exchanged("0123456789", order),
    }
    made = []
    for identifier in subject.identifiers:
        value = identifier.value.reveal()
        drawn = _value(identifier.kind, value, table, order)
        if fold(drawn).text == fold(value).text:
            return None
        made.append(Identifier(identifier.kind, Secret(drawn)))
    return Subject(ref, tuple(made))


def _exchanged(characters: str, order: random.Random) -> dict[int, str]:
    """Each character for another, small for small and capital for capital."""
    drawn: Sequence[str] = order.sample(characters, len(characters))
    pairs = dict(zip(drawn, [*drawn[1:], drawn[0]], strict=True))
    return str.maketrans(pairs | {a.upper(): b.upper() for a, b in pairs.items()})


def _value(kind: IdentifierKind, value: str, table: dict[int, str], order: random.Random) -> str:
    if kind is IdentifierKind.BIRTH_DATE and read_date(value):
        return (_FIRST + timedelta(order.randrange(_DAYS))).isoformat()
    if kind is IdentifierKind.EMAIL:
        local, at, domain = value.rpartition("@")
        return local.translate(table) + at + domain
    if kind is IdentifierKind.PHONE:
        places = [at for at, c in enumerate(value) if c.isdigit()][-_LINE:]
        return "".join(c.translate(table) if at in places else c for at, c in enumerate(value))
    if kind is IdentifierKind.RECORD_ID:
        return value.translate(table)
    shared = _PLACES if kind is IdentifierKind.ADDRESS else _NAMES
    drawn = [
        m[0] if fold(m[0]).text in shared else m[0].translate(table) for m in _PART.finditer(value)
    ]
    return "".join(drawn)
