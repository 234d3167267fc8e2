"""What the tests of this room share: one Presidio engine, a made-up person, spans as text."""

from collections.abc import Iterable

import pytest

from detectors.presidio import PresidioDetector
from domain.records import Document, Identifier, IdentifierKind, SensitiveSpan, Subject
from domain.secrecy import Secret

MAREN = {
    "name": "Maren Tolvik",
    "email": "maren.tolvik@example.org",
    "phone": "212-555-0137",
    "birth_date": "1987-03-04",
    "record_id": "55-201-7731",
    "address": "12 Harbour Lane, Ostby",
}
CARD = (
    "Contact card for Maren Tolvik: phone 212-555-0137, "
    "e-mail maren.tolvik@example.org, born 4 March 1987, "
    "account 55-201-7731, lives at 12 Harbour Lane, Ostby."
)
JON = (
    "Contact card for Jon Aske: phone 917-555-0188, e-mail jon.aske@example.net, born 9 July 1979, "
    "account 55-118-2046, lives at 7 Mill Road, Vardal."
)


def person(**values: str) -> Subject:
    return Subject(
        "req-1", tuple(Identifier(IdentifierKind(k), Secret(v)) for k, v in values.items())
    )


def document(text: str, ref: str = "corpus.jsonl#1") -> Document:
    return Document(ref, Secret(text))


def shown(text: str, spans: Iterable[SensitiveSpan]) -> list[tuple[str, str]]:
    return [(span.kind.value, text[span.start : span.end]) for span in spans]


@pytest.fixture
def maren() -> Subject:
    return person(**MAREN)


@pytest.fixture(scope="session")
def presidio() -> PresidioDetector:
    detector = PresidioDetector()
    detector.find(document("warm up"), person(name="Nobody Here"))
    return detector
