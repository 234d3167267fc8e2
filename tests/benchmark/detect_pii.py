"""Presidio as shipped beside ours on the labelled sentences of `data/pii`, entity by entity."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.presidio import EMBEDDED, NAMES
from domain.records import Document, Identifier, IdentifierKind, SpanKind, Subject
from domain.secrecy import Secret

ENTITIES: dict[str, SpanKind] = {
    "PERSON": SpanKind.PERSON,
    "STREET_ADDRESS": SpanKind.ADDRESS,
    "PHONE_NUMBER": SpanKind.PHONE,
    "DATE_TIME": SpanKind.DATE,
    "EMAIL_ADDRESS": SpanKind.EMAIL,
    "CREDIT_CARD": SpanKind.NUMBER,
    "IBAN_CODE": SpanKind.NUMBER,
    "US_SSN": SpanKind.NUMBER,
    "US_DRIVER_LICENSE": SpanKind.NUMBER,
    "IP_ADDRESS": SpanKind.OTHER,
}
"""The labels that a request can ask for, and the kind of span that has to find them."""
STRUCTURED = ("EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS")
_SHIPPED = {
    "PERSON": SpanKind.PERSON,
    "EMAIL_ADDRESS": SpanKind.EMAIL,
    "PHONE_NUMBER": SpanKind.PHONE,
    "DATE_TIME": SpanKind.DATE,
    "IP_ADDRESS": SpanKind.OTHER,
}
_NOT_ASKED = frozenset({"URL", "NRP", "LOCATION", "ORGANIZATION", "CRYPTO"})
NOBODY = Subject("bench", (Identifier(IdentifierKind.NAME, Secret("Nobody Here")),))

Found = list[tuple[int, int, SpanKind]]


@dataclass(frozen=True)
class Score:
    """Shares of labels found and of findings that are right, by overlap."""

    precision: float
    recall: float
    labels: int

    @property
    def f2(self) -> float:
        """F-measure that counts recall four times as much as precision."""
        total = 4 * self.precision + self.recall
        return 5 * self.precision * self.recall / total if total else 0.0


def sentences(data: Path) -> list[dict[str, Any]]:
    """The labelled sentences."""
    rows: list[dict[str, Any]] = json.loads((data / "pii" / "synth_dataset_v2.json").read_bytes())
    return rows


def shipped() -> Callable[[str], Found]:
    """Presidio with a blank model and all its default recognizers, thresholds as they come."""
    engine = default_engine("")

    def find(text: str) -> Found:
        return [
            (r.start, r.end, _SHIPPED.get(r.entity_type, SpanKind.NUMBER))
            for r in engine.analyze(text=text, language="en")
            if r.entity_type not in _NOT_ASKED
        ]

    return find


def default_engine(model: str) -> Any:
    """`AnalyzerEngine` as shipped; a blank pipeline where no model is named; never the network."""
    import spacy
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    with tempfile.TemporaryDirectory() as folder:
        if not model:
            model = str(Path(folder) / "blank")
            spacy.blank("en").to_disk(model)
        elif model == EMBEDDED:
            model = str(NAMES)
        nlp = SpacyNlpEngine([{"lang_code": "en", "model_name": model}])
        nlp.load()
    return AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])


def ours(detector: Any) -> Callable[[str], Found]:
    """A detector of this project, as the search uses it."""

    def find(text: str) -> Found:
        spans = detector.find(Document("bench#1", Secret(text)), NOBODY)
        return [(s.start, s.end, s.kind) for s in spans]

    return find


def measure(rows: Sequence[dict[str, Any]], find: Callable[[str], Found]) -> dict[str, Score]:
    """Scores by entity. A label is found when a finding of its kind overlaps it; a finding is right
    when it overlaps a label of its kind.

    Card, IBAN, social security and licence numbers are one kind to us, so they share the precision
    of that kind.
    """
    labels = dict.fromkeys(ENTITIES, 0)
    hit = dict.fromkeys(ENTITIES, 0)
    made = dict.fromkeys(SpanKind, 0)
    right = dict.fromkeys(SpanKind, 0)
    for row in rows:
        found = find(row["full_text"])
        named = [
            (s["start_position"], s["end_position"], s["entity_type"])
            for s in row["spans"]
            if s["entity_type"] in ENTITIES
        ]
        for start, end, entity in named:
            labels[entity] += 1
            hit[entity] += any(
                a < end and start < b and kind is ENTITIES[entity] for a, b, kind in found
            )
        for start, end, kind in found:
            made[kind] += 1
            right[kind] += any(
                a < end and start < b and ENTITIES[entity] is kind for a, b, entity in named
            )
    return {
        entity: Score(
            right[kind] / made[kind] if made[kind] else 0.0,
            hit[entity] / labels[entity] if labels[entity] else 0.0,
            labels[entity],
        )
        for entity, kind in ENTITIES.items()
    }
