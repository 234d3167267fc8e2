"""What travels between the rooms: people, documents, spans, passages."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import attrgetter

from domain.secrecy import Secret


class IdentifierKind(StrEnum):
    """What a request may say about its person."""

    NAME = "name"
    ALIAS = "alias"
    EMAIL = "email"
    PHONE = "phone"
    ADDRESS = "address"
    BIRTH_DATE = "birth_date"
    RECORD_ID = "record_id"


class SpanKind(StrEnum):
    """What a span of text is. `PERSON` is the name by which a secret is asked for; the others are the secrets."""

    PERSON = "person"
    EMAIL = "email"
    PHONE = "phone"
    ADDRESS = "address"
    DATE = "date"
    NUMBER = "number"  # record, account, card and social security numbers
    OTHER = "other"


class Owner(StrEnum):
    """Whose span it is."""

    SUBJECT = "subject"
    OTHER = "other"
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True)
class Identifier:
    """One thing the request says about its person."""

    kind: IdentifierKind
    value: Secret


@dataclass(frozen=True, slots=True)
class Subject:
    """The person of one request."""

    request_ref: str
    identifiers: tuple[Identifier, ...]

    def values(self, *kinds: IdentifierKind) -> tuple[str, ...]:
        """The plain values of the given kinds, in the order of the request."""
        return tuple(i.value.reveal() for i in self.identifiers if i.kind in kinds)


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus. `ref` is `<relative file>#<line or row, from 1>`: a place, never a person.

    `answer` and `label` are as in `Passage`, for models of those kinds.
    """

    ref: str
    text: Secret
    answer: int | None = None
    label: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class SensitiveSpan:
    """Code points `start:end` of the original text of one document. Carries no text."""

    document: str
    start: int
    end: int
    kind: SpanKind
    owner: Owner
    detector: str
    confidence: float

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span needs 0 <= start < end, got {self.start}:{self.end}")


@dataclass(frozen=True, slots=True)
class Passage:
    """One text with its spans, as `unlearning/` takes it.

    `person` is an opaque label: passages with the same label are about the same person. An empty label and no spans
    mean ordinary text.

    Attributes:
        answer: for a seq2seq model, the code point where what it says begins; what stands before is what it reads.
            None: it begins with the first secret, or in the middle where there is none.
        label: for a classifier, the number of the text's class, from 0.
    """

    ref: str
    text: Secret
    spans: tuple[SensitiveSpan, ...]
    person: str
    answer: int | None = None
    label: int | None = None


def merge_spans(spans: Iterable[SensitiveSpan]) -> list[SensitiveSpan]:
    """Disjoint, sorted spans that cover the same characters; idempotent and independent of the order.

    Overlapping spans of one owner become one span from the first start to the last end. Its kind, detector and
    confidence are those of the strongest of them: a secret before a name, because a name is not unlearned; then highest
    confidence, then longest, then by value, so that ties do not depend on the order. Spans of different owners are not
    joined: where they overlap, the subject's wins the characters, because a missed span stays in the model. Touching
    spans stay two.
    """
    merged: list[SensitiveSpan] = []
    for group in _clusters(sorted(spans, key=_PLACE)):
        if len({span.owner for span in group}) == 1:
            merged.append(_joined(group))
            continue
        kept: list[SensitiveSpan] = []
        for owner in (Owner.SUBJECT, Owner.UNCERTAIN, Owner.OTHER):
            taken = list(kept)
            for cluster in _clusters([s for s in group if s.owner is owner]):
                span = _joined(cluster)
                kept.extend(outside(span, taken) if taken else (span,))
        merged.extend(sorted(kept, key=_PLACE))
    return merged


_PLACE = attrgetter("document", "start")


def _clusters(ordered: list[SensitiveSpan]) -> Iterator[list[SensitiveSpan]]:
    """Sorted spans, cut where none reaches over."""
    group: list[SensitiveSpan] = []
    reach = -1
    for span in ordered:
        if group and (span.start >= reach or span.document != group[0].document):
            yield group
            group, reach = [], -1
        group.append(span)
        reach = max(reach, span.end)
    if group:
        yield group


def _joined(cluster: list[SensitiveSpan]) -> SensitiveSpan:
    """Overlapping spans as one."""
    if len(cluster) == 1:
        return cluster[0]
    best = max(
        cluster, key=lambda s: (s.kind is not SpanKind.PERSON, s.confidence, s.end - s.start, s)
    )
    start, end = cluster[0].start, max(s.end for s in cluster)
    if (start, end) == (best.start, best.end):
        return best
    return replace(best, start=start, end=end)


def outside(span: SensitiveSpan, taken: list[SensitiveSpan]) -> list[SensitiveSpan]:
    """The parts of `span` that no taken span covers."""
    parts = [(span.start, span.end)]
    for other in taken:
        parts = [
            piece
            for start, end in parts
            for piece in ((start, min(end, other.start)), (max(start, other.end), end))
            if piece[0] < piece[1]
        ]
    return [
        SensitiveSpan(
            span.document, start, end, span.kind, span.owner, span.detector, span.confidence
        )
        for start, end in parts
    ]
