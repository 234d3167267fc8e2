"""The door to Presidio: its engine, its recognizers and ours, and a failure for every way in which
it would go silent.
"""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.shapes import SHAPES, Finding, in_context, introduce, settle
from domain.errors import Code, DetectionFailed, RequestRejected
from domain.records import Document, Owner, SensitiveSpan, SpanKind, Subject

_KINDS: dict[str, SpanKind] = {
    "PERSON": SpanKind.PERSON,
    "EMAIL_ADDRESS": SpanKind.EMAIL,
    "PHONE_NUMBER": SpanKind.PHONE,
    "LOCATION": SpanKind.OTHER,
    "ADDRESS": SpanKind.ADDRESS,
    "DATE_TIME": SpanKind.DATE,
    "CREDIT_CARD": SpanKind.NUMBER,
    "IBAN_CODE": SpanKind.NUMBER,
    "US_SSN": SpanKind.NUMBER,
}
"""Presidio's entity names; ours carry the prefix below, and every other entity that ends up here is
a number.
"""
_OURS = "LETHE_"
_PREDEFINED = ("PhoneRecognizer", "CreditCardRecognizer", "IbanRecognizer")
_SURROGATE = re.compile("[\ud800-\udfff]")
_IGNORED = frozenset({"LOCATION", "NRP", "ORGANIZATION", "URL", "DATE_TIME", "IP_ADDRESS"})
"""What a model may label and no request asks for: places and times by themselves are nobody's
secret.
"""


@dataclass(frozen=True)
class PresidioDetector:
    """Finds what looks like personal data, whoever's it is: the owner is always UNCERTAIN.

    Args:
        model: a spaCy pipeline installed or on disk, for names of people. Empty: a blank one is
            built, and names are low-confidence candidates by their capitals.
        language: of the pipeline.
        regions: ISO 3166 codes by which phone numbers without a country prefix are recognised; each
            costs a pass.
        recognizers: Presidio's own recognizers by class name. The URL recognizer takes half of the
            time and finds nothing that a request asks for.
        threshold: confidence under which a finding is dropped.

    """

    model: str = ""
    language: str = "en"
    regions: tuple[str, ...] = ("US",)
    recognizers: tuple[str, ...] = _PREDEFINED
    threshold: float = 0.35
    _engine: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    name = "presidio"

    def find(self, document: Document, subject: Subject) -> list[SensitiveSpan]:
        """Disjoint, sorted spans with their confidence. Raises `DetectionFailed` when anything
        broke.
        """
        text = document.text.reveal()
        return [
            SensitiveSpan(
                document.ref, f.start, f.end, f.kind, Owner.UNCERTAIN, self.name, min(1.0, f.score)
            )
            for f in introduce(
                text, settle(self._findings(text, document.ref, subject.request_ref))
            )
        ]

    def _findings(self, text: str, ref: str, request_ref: str) -> list[Finding]:
        """What the engine says, with the words before each finding taken into account."""
        if not text.strip():
            return []
        try:
            engine = self._load()
            with _no_silence():
                readable = _SURROGATE.sub("\ufffd", text)  # spaCy refuses half of a surrogate pair
                results = engine.analyze(text=readable, language=self.language, score_threshold=0.0)
            findings = [
                in_context(text, Finding(r.start, r.end, _kind(r.entity_type), float(r.score)))
                for r in results
                if r.entity_type not in _IGNORED
            ]
        except RequestRejected:
            raise
        except Exception:  # noqa: BLE001 - whatever broke, its message may quote the text
            raise DetectionFailed(
                Code.DETECTOR_BROKE,
                place=f"detector presidio at {ref}",
                remedy="Presidio failed on this document; "
                "check the spaCy model and the recognizers of the policy",
                request_ref=request_ref,
            ) from None
        return [f for f in findings if f.score >= self.threshold]

    def _load(self) -> Any:
        """The engine, built at the first document."""
        if not self._engine:
            self._engine.append(_engine(self.model, self.language, self.regions, self.recognizers))
        return self._engine[0]


def _kind(entity: str) -> SpanKind:
    if entity.startswith(_OURS):
        return SpanKind(entity.removeprefix(_OURS).lower())
    return _KINDS.get(entity, SpanKind.NUMBER)


def _engine(
    model: str, language: str, regions: tuple[str, ...], recognizers: tuple[str, ...]
) -> Any:
    """An `AnalyzerEngine` with the recognizers named and ours, and nothing that goes to the
    network.
    """
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    _stay_offline()
    with tempfile.TemporaryDirectory(prefix="lethe-spacy-") as folder:
        nlp = SpacyNlpEngine(
            [{"lang_code": language, "model_name": _pipeline(model, language, folder)}]
        )
        nlp.load()
    registry = RecognizerRegistry(
        recognizers=[
            *(_predefined(name, language, regions) for name in recognizers),
            *_own(language),
        ],
        supported_languages=[language],
    )
    if model:
        registry.add_nlp_recognizer(nlp_engine=nlp)
    return AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[language])


def _pipeline(model: str, language: str, folder: str) -> str:
    """The name or path of the pipeline; a blank one is written to `folder`, because Presidio loads
    by name.

    Raises `RequestRejected` for a model that is not here: Presidio would download it.
    """
    import spacy

    if not model:
        path = Path(folder) / "blank"
        spacy.blank(language).to_disk(path)
        return str(path)
    if spacy.util.is_package(model) or Path(model).is_dir():
        return model
    raise RequestRejected(
        Code.POLICY_INVALID,
        place="detectors.presidio.model",
        remedy="no spaCy pipeline of that name is installed; install it or name its folder",
    )


def _predefined(name: str, language: str, regions: tuple[str, ...]) -> Any:
    """One of Presidio's recognizers by its class name."""
    from presidio_analyzer import predefined_recognizers

    recognizer = getattr(predefined_recognizers, name, None)
    if recognizer is None:
        raise RequestRejected(
            Code.POLICY_INVALID,
            place="detectors.presidio.recognizers",
            remedy="Presidio has no recognizer of one of these names; see its supported entities",
        )
    if name == "PhoneRecognizer":
        return recognizer(supported_language=language, supported_regions=regions)
    return recognizer(supported_language=language)


def _own(language: str) -> list[Any]:
    """One pattern recognizer for each kind of span, from `detectors.shapes`."""
    from presidio_analyzer import Pattern, PatternRecognizer

    kinds = dict.fromkeys(shape.kind for shape in SHAPES)
    return [
        PatternRecognizer(
            supported_entity=_OURS + kind.name,
            name=f"lethe_{kind.value}",
            supported_language=language,
            patterns=[Pattern(s.name, s.pattern, s.score) for s in SHAPES if s.kind is kind],
            global_regex_flags=0,  # capitals mean something here
        )
        for kind in kinds
    ]


def _stay_offline() -> None:
    """Presidio's e-mail recognizer asks `tldextract.extract`, which fetches its list of suffixes:
    the one in the package serves.
    """
    import tldextract

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)


class _Alarm(logging.Filter):
    """Presidio logs a pattern that timed out and goes on as if nothing were there; this keeps the
    fact.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raised = False

    def filter(self, record: logging.LogRecord) -> bool:
        self.raised = self.raised or (record.levelno >= logging.WARNING and bool(record.exc_info))
        return False  # and none of its lines, which may quote the text, leaves this place


@contextmanager
def _no_silence() -> Iterator[None]:
    """Turn Presidio's logged failures into one that is raised."""
    logger = logging.getLogger("presidio-analyzer")
    alarm = _Alarm()
    logger.addFilter(alarm)
    try:
        yield
    finally:
        logger.removeFilter(alarm)
    if alarm.raised:
        raise TimeoutError("a pattern timed out")
