"""The door to Presidio and spaCy: their recognizers, our shapes, and a failure for every way in which
it would go silent.
"""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detectors.numbers import require_regions
from detectors.people import NAME_SCORE
from detectors.shapes import SURE, Finding, in_context, introduce, looks, settle
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
    "IP_ADDRESS": SpanKind.OTHER,
}
"""Presidio's entity names; every other one that ends up here is a number."""
_PREDEFINED = ("PhoneRecognizer", "CreditCardRecognizer", "IbanRecognizer", "IpRecognizer")
_SURROGATE = re.compile("[\ud800-\udfff]")
EMBEDDED = "embedded"
NAMES = Path(__file__).parent / "names"
_IGNORED = frozenset({"LOCATION", "NRP", "ORGANIZATION", "URL", "DATE_TIME"})
"""What no request asks for: places and times by themselves are nobody's secret."""
_PEOPLE = frozenset({"PERSON", "PER"})
_NOT_NEEDED = ["tagger", "parser", "lemmatizer", "attribute_ruler", "morphologizer", "senter"]
_DIGIT = re.compile(r"\d|::")
_PHONE = "PHONE_NUMBER"
_LONG_NUMBER = re.compile(r"\d(?:[^\w\n]{0,3}\d){4,}")
_KEPT = 4096  # documents whose findings are kept
_WAYS, _HARDLY = 8, 0.01
"""How many ways to read a text the embedded name finder weighs, and the share of them under which what looks
like a name is none: of .01 to .7, the one with most of the names in texts of the kind that it learnt from.
"""


@dataclass(frozen=True)
class PresidioDetector:
    """Finds what looks like personal data, whoever's it is: the owner is always UNCERTAIN.

    Args:
        model: a spaCy pipeline for names of people, installed or on disk; `embedded` is the small one
            that `make ner` trains, which has the last word on what looks like a name by its capitals
            alone. Empty: none, and all of those are low-confidence candidates.
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
    _engine: list["_Engine"] = field(default_factory=list, init=False, repr=False, compare=False)
    _kept: dict[bytes, list[Finding]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    name = "presidio"

    def __post_init__(self) -> None:
        require_regions(self.regions)
        if not 0 <= self.threshold <= 1:
            raise ValueError("the threshold is from 0 to 1")

    def find(self, document: Document, subject: Subject) -> list[SensitiveSpan]:
        """Disjoint, sorted spans with their confidence. Raises `DetectionFailed` when anything
        broke.

        The findings of the last documents are kept, by digest: the same text is looked at for
        several people.
        """
        text = document.text.reveal()
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        found = self._kept.get(digest)
        if found is None:
            found = self._findings(text, document.ref, subject.request_ref)
            self._kept[digest] = found
            if len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
        return [
            SensitiveSpan(
                document.ref, f.start, f.end, f.kind, Owner.UNCERTAIN, self.name, min(1.0, f.score)
            )
            for f in found
        ]

    def _findings(self, text: str, ref: str, request_ref: str) -> list[Finding]:
        """What the shapes and the engine say, disjoint and sorted, with the words around each finding
        taken into account.
        """
        if not text.strip():
            return []
        try:
            found = [in_context(text, finding) for finding in looks(text)]
            engine = self._load()
            more = engine.findings(text, phones=_has_open_number(text, found))
            found += [in_context(text, finding) for finding in more]
            settled = introduce(text, settle(f for f in found if f.score >= self.threshold))
            return engine.without_doubtful(text, settled)
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

    def _load(self) -> "_Engine":
        """The engine, built at the first document."""
        if not self._engine:
            self._engine.append(_engine(self.model, self.language, self.regions, self.recognizers))
        return self._engine[0]


@dataclass(frozen=True)
class _Engine:
    """Presidio's recognizers and the names of a spaCy pipeline, without what `AnalyzerEngine` does
    around them: it copies every result and walks over every token to look for context words, and
    that takes most of its time.

    Args:
        recognizers: Presidio's.
        pipeline: spaCy's; None for none.
        numbers: whether none of the recognizers finds anything without a digit or two colons.
        doubts: whether the pipeline is asked about names that it did not find.

    """

    recognizers: tuple[Any, ...]
    pipeline: Any
    numbers: bool
    doubts: bool

    def findings(self, text: str, *, phones: bool) -> list[Finding]:
        """What they find; without `phones` the recognizer of phone numbers, by far the slowest, is
        left out. Raises whatever they raise, and `TimeoutError` where they only log.
        """
        readable = _SURROGATE.sub("\ufffd", text)  # half of a surrogate pair is refused
        found: list[Finding] = []
        if not self.numbers or _DIGIT.search(text):
            with _no_silence():
                results = [
                    result
                    for recognizer in self.recognizers
                    if phones or _PHONE not in recognizer.supported_entities
                    for result in recognizer.analyze(readable, recognizer.supported_entities, None)
                ]
            found += [
                Finding(r.start, r.end, _kind(r.entity_type), float(r.score))
                for r in results
                if r.entity_type not in _IGNORED
            ]
        if self.pipeline is not None:
            found += [
                Finding(e.start_char, e.end_char, SpanKind.PERSON, NAME_SCORE)
                for e in self.pipeline(readable).ents
                if e.label_ in _PEOPLE and not any(c.isdigit() for c in e.text)
            ]
        return found

    def without_doubtful(self, text: str, found: list[Finding]) -> list[Finding]:
        """Names that have their capitals to speak for them and nothing else are none where the
        pipeline, of all ways to read the text, finds hardly one with a name there.
        """
        looked = [f for f in found if f.kind is SpanKind.PERSON and f.score < SURE]
        if not self.doubts or not looked:
            return found
        doc = self.pipeline.make_doc(_SURROGATE.sub("\ufffd", text))
        finder = self.pipeline.get_pipe("ner")
        ways = finder.beam_parse([doc], beam_width=_WAYS, drop=0.0, beam_density=0.0)
        likely = [
            (doc[first].idx, doc[last - 1].idx + len(doc[last - 1]))
            for (first, last, label), share in finder.scored_ents(ways)[0].items()
            if label in _PEOPLE and share >= _HARDLY
        ]
        doubtful = {f for f in looked if not any(a < f.end and f.start < b for a, b in likely)}
        return [f for f in found if f not in doubtful]


def _has_open_number(text: str, found: list[Finding]) -> bool:
    """Whether a number as long as a phone's lies outside of everything that is sure already, so
    that a recognizer of phone numbers may still change what is found.
    """
    sure = [(f.start, f.end) for f in found if f.score >= SURE]
    return any(
        not any(start <= m.start() and m.end() <= end for start, end in sure)
        for m in _LONG_NUMBER.finditer(text)
    )


def _kind(entity: str) -> SpanKind:
    return _KINDS.get(entity, SpanKind.NUMBER)


def _engine(
    model: str, language: str, regions: tuple[str, ...], recognizers: tuple[str, ...]
) -> _Engine:
    """The recognizers named and the pipeline, with nothing that goes to the network."""
    from spacy.util import get_lang_class

    _stay_offline()
    get_lang_class(language)  # raises for a language that there is not
    return _Engine(
        tuple(_predefined(name, language, regions) for name in recognizers),
        _pipeline(model),
        set(recognizers) <= set(_PREDEFINED),
        doubts=model == EMBEDDED,
    )


def _pipeline(model: str) -> Any:
    """The pipeline of that name or path; None for none.

    Raises `RequestRejected` for a model that is not here: it would be downloaded.
    """
    import spacy

    if not model:
        return None
    if model == EMBEDDED:
        if not NAMES.is_dir():
            raise RequestRejected(
                Code.POLICY_INVALID,
                place="detectors.presidio.model",
                remedy="the embedded name finder is not there; train it once with make ner",
            )
        return spacy.load(NAMES)
    if spacy.util.is_package(model) or Path(model).is_dir():
        return spacy.load(model, exclude=_NOT_NEEDED)
    raise RequestRejected(
        Code.POLICY_INVALID,
        place="detectors.presidio.model",
        remedy="no spaCy pipeline of that name is installed; install it or name its folder",
    )


def _predefined(name: str, language: str, regions: tuple[str, ...]) -> Any:
    """One of Presidio's recognizers by its class name."""
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    recognizer = getattr(predefined_recognizers, name, None)
    if recognizer is None:
        raise RequestRejected(
            Code.POLICY_INVALID,
            place="detectors.presidio.recognizers",
            remedy="Presidio has no recognizer of one of these names; see its supported entities",
        )
    if name == "PhoneRecognizer":
        return recognizer(supported_language=language, supported_regions=regions)
    if not issubclass(recognizer, PatternRecognizer):
        raise RequestRejected(
            Code.POLICY_INVALID,
            place="detectors.presidio.recognizers",
            remedy="only recognizers by pattern can be named; name a spaCy pipeline as the model",
        )
    return recognizer(supported_language=language)


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
