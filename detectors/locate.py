"""Search a corpus for people: the exact index picks the documents, the other detectors look closer
at those, and reviewers add what these leave open.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from typing import NamedTuple, Protocol

from detectors.attribution import attribute
from detectors.broken import or_broken
from detectors.exact import ExactIndex
from detectors.memory import Memory, Seen, Spans
from detectors.net import Net
from detectors.protocol import Case, Detector, Reviewer
from detectors.reviewing import Look, reviewed
from domain.errors import Code, RequestRejected
from domain.records import Document, Owner, Passage, SensitiveSpan, Subject


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
    def corrupt(self) -> Sequence[object]:
        """What of it cannot be read, once the texts were asked for."""
        ...

    def slices(self) -> Iterable[Slice]:
        """The texts one after the other, some at a time."""
        ...


SUBJECT_LABEL = "p0000"
"""`Passage.person` of the subject; neighbours count from p0001."""


@dataclass(frozen=True, slots=True)
class Located:
    """What a search found.

    Attributes:
        documents: how many were searched.
        candidates: how many hold at least one span of the subject.
        spans: the subject's, disjoint within a document.
        uncertain: how many spans nobody can be named for; they are left alone.
        others: spans of other people in the candidate documents.
        passages: the candidate documents with the subject's spans, for unlearning.

    """

    documents: int
    candidates: int
    spans: tuple[SensitiveSpan, ...]
    uncertain: int
    others: tuple[SensitiveSpan, ...]
    passages: tuple[Passage, ...]


def locate(
    documents: Iterable[Document],
    subject: Subject,
    detectors: Mapping[str, Detector],
    progress: Callable[[int], None] | None = None,
) -> Located:
    """`search` for one person through documents at hand."""
    return search(in_batches(documents), [subject], detectors, progress)[0]


def search(
    batches: Iterable[Batch],
    subjects: Sequence[Subject],
    detectors: Mapping[str, Detector],
    progress: Callable[[int], None] | None = None,
    memories: Sequence[Memory] = (),
) -> list[Located]:
    """Search every text once, for all people together.

    Args:
        batches: the corpus, as `CorpusFiles.batches` gives it.
        subjects: whom to look for, each with a reference of its own.
        detectors: by name; one of them is an `ExactIndex`, which decides which documents the others
            see.
        progress: called after each batch, and after each group of documents that a reviewer read,
            with the number of documents searched so far.
        memories: one for each of the subjects, or none. A batch that all of them know is not searched
            again; what is found goes into them batch by batch, so that a search that stopped can go
            on with them.

    Returns:
        What was found of each, in the order of the subjects.

    Raises:
        RequestRejected: the detectors have no exact index, or a request no identifiers.
        DetectionFailed: a detector broke.

    """
    index = index_of(detectors.values(), subjects[0].request_ref if subjects else "")
    reviewers = {name: d for name, d in detectors.items() if isinstance(d, Reviewer)}
    closer = {n: d for n, d in detectors.items() if d is not index and n not in reviewers}
    look = _Look(subjects, index, closer, reviewers)
    count = 0
    finds = [_Finds() for _ in subjects]

    def tell(more: int) -> None:
        if progress is not None:
            progress(count + more)

    for batch in batches:
        seen, documents = _seen(batch, look, memories, tell)
        for found, one in zip(finds, seen, strict=True):
            found.add(one.spans, documents)
        count += seen[0].documents if seen else 0
        tell(0)
    for memory in memories:
        memory.finish()
    return [found.located(count) for found in finds]


Documents = dict[int, Document]
"""By place in a batch."""


def _seen(
    batch: Batch, look: "_Look", memories: Sequence[Memory], tell: Callable[[int], None]
) -> tuple[list[Seen], Documents]:
    """What is in a batch of each person, and the documents it is in: what was known, and the rest
    looked up and remembered.
    """
    if not memories:
        return look.at(batch, range(len(look.subjects)), tell)
    digest = batch.digest
    known = dict(enumerate(memory.seen(digest) for memory in memories))
    new = [number for number, seen in known.items() if seen is None]
    found, documents = look.at(batch, new, tell) if new else ([], {})
    known |= zip(new, found, strict=True)
    seen = [one for one in known.values() if one is not None]
    if not batch.corrupt and seen[0].documents:
        for memory, one in zip(memories, seen, strict=True):
            memory.keep(digest, one)
    missing = {
        place
        for one in seen
        for place, spans in one.spans.items()
        if any(span.owner is Owner.SUBJECT for span in spans)
    } - documents.keys()
    return seen, documents | (_documents(batch, missing) if missing else {})


def _documents(batch: Batch, places: AbstractSet[int]) -> Documents:
    """Some documents of a batch."""
    found: Documents = {}
    count = 0
    for piece in batch.slices():
        here = range(count, count + len(piece.texts))
        found |= {place: piece.document(place - count) for place in places if place in here}
        count += len(piece.texts)
    return found


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


@dataclass(frozen=True, repr=False)
class _Look:
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
        """What one batch holds of each of these subjects, and the documents it is in.

        `tell` is called where reviewers take their time, with the number of documents behind.
        """
        wanted: dict[int, Spans] = {number: {} for number in numbers}
        documents: Documents = {}
        count = 0
        for piece in batch.slices():
            for look in reviewed(self._looks(piece, wanted.keys()), self.reviewers):
                place = count + look.place
                if look.case.found:
                    wanted[look.number][place] = tuple(look.case.found)
                    documents[place] = look.case.document
                if self.reviewers:
                    tell(place)
            count += len(piece.texts)
        return [Seen(count, spans) for spans in wanted.values()], documents

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


@dataclass
class _Finds:
    """What was found of one person so far."""

    passages: list[Passage] = field(default_factory=list)
    others: list[SensitiveSpan] = field(default_factory=list)
    uncertain: int = 0

    def add(self, seen: Spans, documents: Documents) -> None:
        for place, spans in seen.items():
            self.uncertain += sum(s.owner is Owner.UNCERTAIN for s in spans)
            if any(s.owner is Owner.SUBJECT for s in spans):
                document = documents[place]
                named = [
                    span if span.document else replace(span, document=document.ref)
                    for span in spans  # one that was remembered names no document
                ]
                mine = tuple(s for s in named if s.owner is Owner.SUBJECT)
                self.others.extend(s for s in named if s.owner is Owner.OTHER)
                self.passages.append(Passage(document.ref, document.text, mine, SUBJECT_LABEL))

    def located(self, documents: int) -> Located:
        return Located(
            documents=documents,
            candidates=len(self.passages),
            spans=tuple(span for passage in self.passages for span in passage.spans),
            uncertain=self.uncertain,
            others=tuple(self.others),
            passages=tuple(self.passages),
        )


class _AtHand(NamedTuple):
    """Documents as a batch."""

    documents: Sequence[Document]
    texts: Sequence[str]
    corrupt: tuple[()] = ()

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(b"".join(map(_measured, self.texts))).digest()

    def slices(self) -> Iterator[Slice]:
        yield self

    def document(self, place: int) -> Document:
        return self.documents[place]


def _measured(text: str) -> bytes:
    """The text behind its length, so that no two lists of texts are the same bytes."""
    written = text.encode("utf-8", "surrogatepass")
    return len(written).to_bytes(8, "big") + written


def in_batches(documents: Iterable[Document]) -> Iterator[_AtHand]:
    several = iter(documents)
    while some := list(islice(several, _BATCH)):
        yield _AtHand(some, [document.text.reveal() for document in some])


_BATCH = 1000


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
