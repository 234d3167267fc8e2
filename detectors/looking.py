"""Look for people in one batch: the exact index picks the documents, the other detectors look closer at those, and
reviewers add what these leave open.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol

from detectors.attribution import attribute
from detectors.broken import or_broken
from detectors.exact import ExactIndex
from detectors.memory import Looked, Seen
from detectors.net import Net
from detectors.protocol import Case, Detector, Reviewer
from detectors.reviewing import Look, reviewed
from domain.errors import Code, RequestRejected
from domain.records import Document, Owner, SensitiveSpan, Subject

Documents = dict[int, Document]
"""By place in a batch."""


class Slice(Protocol):
    """Texts, each of which can be had as a document."""

    @property
    def texts(self) -> Sequence[str]: ...

    def document(self, place: int) -> Document:
        """One of them."""
        ...


class Batch(Protocol):
    """Texts that are searched, and remembered, together."""

    @property
    def digest(self) -> bytes:
        """Batches with the same digest have the same texts."""
        ...

    @property
    def corrupt(self) -> int:
        """How many rows cannot be read, once the texts were asked for."""
        ...

    @property
    def count(self) -> int | None:
        """How many texts there are, once they were asked for."""
        ...

    @property
    def looked(self) -> Looked | None:
        """What was found before reviewers come, of some people at least; None where nobody has looked."""
        ...

    def slices(self) -> Iterable[Slice]:
        """The texts one after the other, some at a time."""
        ...

    def documents(self, places: Collection[int]) -> Documents:
        """Some of the texts."""
        ...


def index_of(detectors: Iterable[Detector], request_ref: str = "") -> ExactIndex:
    """The exact index among the detectors. Raises `RequestRejected` (DETECTOR_UNKNOWN)."""
    for detector in detectors:
        if isinstance(detector, ExactIndex):
            return detector
    raise RequestRejected(
        Code.DETECTOR_UNKNOWN,
        place="detectors",
        remedy="name the detector exact among them: without it nothing says whose a finding is",
        request_ref=request_ref,
    )


def searcher(subjects: Sequence[Subject], detectors: Mapping[str, Detector]) -> "Searcher":
    """Raises `RequestRejected` (DETECTOR_UNKNOWN) where the detectors have no exact index."""
    index = index_of(detectors.values(), subjects[0].request_ref if subjects else "")
    reviewers = {name: d for name, d in detectors.items() if isinstance(d, Reviewer)}
    closer = {n: d for n, d in detectors.items() if d is not index and n not in reviewers}
    return Searcher(subjects, index, closer, reviewers)


@dataclass(frozen=True, repr=False)
class Searcher:
    """The search itself, for some people."""

    subjects: Sequence[Subject]
    index: ExactIndex
    closer: Mapping[str, Detector]
    reviewers: Mapping[str, Reviewer]

    @cached_property
    def net(self) -> Net:
        """Made for the first batch that has to be looked at."""
        return self.index.net(self.subjects)

    def at(
        self, batch: Batch, numbers: Sequence[int], tell: Callable[[int], None]
    ) -> tuple[list[Seen], Documents]:
        """What one batch holds of each of these subjects, and documents it is in, as far as they were read.

        Where somebody has looked for all of them, only the reviewers look once more.
        `tell` is called where reviewers take their time, with the number of documents behind.
        """
        looked = batch.looked
        if looked is None or batch.count is None or not looked.keys() >= set(numbers):
            looked = None
            wanted: Looked = {number: {} for number in numbers}
        else:
            wanted = {number: dict(looked[number]) for number in numbers}
            if not self.reviewers or not any(wanted.values()):
                return [Seen(batch.count, spans) for spans in wanted.values()], {}
        documents: Documents = {}
        count = 0
        for piece in batch.slices():
            if looked is None:
                looks = self._looks(piece, wanted.keys())
            else:
                looks = self._remembered(piece, count, looked, numbers)
            for look in reviewed(looks, self.reviewers):
                place = count + look.place
                if look.case.found:
                    wanted[look.number][place] = tuple(look.case.found)
                    documents[place] = look.case.document
                if self.reviewers:
                    tell(place)
            count += len(piece.texts)
        return [Seen(count, spans) for spans in wanted.values()], documents

    def _remembered(
        self, piece: Slice, before: int, looked: Looked, numbers: Collection[int]
    ) -> Iterator[Look]:
        """What was found in these texts, which so many others stand before."""
        for place in range(len(piece.texts)):
            for number in sorted(numbers):
                if spans := looked[number].get(before + place):
                    document = piece.document(place)
                    named = [replace(span, document=document.ref) for span in spans]
                    yield Look(place, number, Case(document, self.subjects[number], named))

    def _looks(self, piece: Slice, numbers: AbstractSet[int]) -> Iterator[Look]:
        """What is found before reviewers come."""
        for place, caught in self.net.catch(piece.texts):
            document = piece.document(place)
            for number in sorted(caught.keys() & numbers):
                subject = self.subjects[number]
                spans = self._in(document, subject, caught[number])
                yield Look(place, number, Case(document, subject, spans))

    def _in(
        self, document: Document, subject: Subject, forms: AbstractSet[int]
    ) -> list[SensitiveSpan]:
        """One document: exact first; the others only where the subject is, and their findings
        attributed.
        """
        own = find("exact", _Among(self.index, forms), document, subject)
        if not any(span.owner is Owner.SUBJECT for span in own):
            return own
        found = [
            span
            for name, detector in self.closer.items()
            for span in find(name, detector, document, subject)
        ]
        return attribute(document, own, found)


@dataclass(frozen=True, repr=False)
class _Among:
    """The exact index, for the forms that may be in a document."""

    index: ExactIndex
    forms: AbstractSet[int]

    def find(self, document: Document, subject: Subject) -> list[SensitiveSpan]:
        return self.index.find(document, subject, self.forms)


def find(
    name: str, detector: Detector, document: Document, subject: Subject
) -> list[SensitiveSpan]:
    """`detector.find`, with every failure that is not ours turned into `DetectionFailed`."""
    return or_broken(
        partial(detector.find, document, subject),
        place=f"detector {name} at {document.ref}",
        remedy="the detector failed on this document; nothing was searched past it",
        request_ref=subject.request_ref,
    )
