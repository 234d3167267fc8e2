"""Search a corpus for people: the exact index picks the documents, the other detectors look closer
at those.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol

from detectors.attribution import attribute
from detectors.exact import ExactIndex
from detectors.protocol import Detector
from domain.errors import Code, DetectionFailed, ErasureError, RequestRejected
from domain.records import Document, Owner, Passage, SensitiveSpan, Subject


class Batch(Protocol):
    """Texts, each of which can be had as a document."""

    @property
    def texts(self) -> Sequence[str]: ...

    def document(self, place: int) -> Document:
        """One of them."""
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
) -> list[Located]:
    """Search every text once, for all people together.

    Args:
        batches: the corpus, as `CorpusFiles.batches` gives it.
        subjects: whom to look for, each with a reference of its own.
        detectors: by name; one of them is an `ExactIndex`, which decides which documents the others
            see.
        progress: called after each batch with the number of documents searched so far.

    Returns:
        What was found of each, in the order of the subjects.

    Raises:
        RequestRejected: the detectors have no exact index, or a request no identifiers.
        DetectionFailed: a detector broke.

    """
    index = next((d for d in detectors.values() if isinstance(d, ExactIndex)), None)
    if index is None:
        raise RequestRejected(
            Code.DETECTOR_UNKNOWN,
            place="detectors",
            remedy="name the detector exact among them: without it nothing says whose a finding is",
            request_ref=subjects[0].request_ref if subjects else "",
        )
    closer = {name: d for name, d in detectors.items() if d is not index}
    net = index.net(subjects)
    count = 0
    finds = [_Finds() for _ in subjects]
    for batch in batches:
        for place, caught in net.catch(batch.texts):
            document = batch.document(place)
            for number in caught:
                finds[number].add(document, _search(document, subjects[number], index, closer))
        count += len(batch.texts)
        if progress is not None:
            progress(count)
    return [found.located(count) for found in finds]


@dataclass
class _Finds:
    """What was found of one person so far."""

    passages: list[Passage] = field(default_factory=list)
    others: list[SensitiveSpan] = field(default_factory=list)
    uncertain: int = 0

    def add(self, document: Document, spans: list[SensitiveSpan]) -> None:
        mine = tuple(s for s in spans if s.owner is Owner.SUBJECT)
        self.uncertain += sum(s.owner is Owner.UNCERTAIN for s in spans)
        if mine:
            self.others.extend(s for s in spans if s.owner is Owner.OTHER)
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

    def document(self, place: int) -> Document:
        return self.documents[place]


def in_batches(documents: Iterable[Document]) -> Iterator[_AtHand]:
    several = iter(documents)
    while some := list(islice(several, _BATCH)):
        yield _AtHand(some, [document.text.reveal() for document in some])


_BATCH = 1000


def _search(
    document: Document, subject: Subject, index: ExactIndex, closer: Mapping[str, Detector]
) -> list[SensitiveSpan]:
    """One document: exact first; the others only where the subject is, and their findings
    attributed.
    """
    own = find("exact", index, document, subject)
    if not any(span.owner is Owner.SUBJECT for span in own):
        return own
    found = [
        span
        for name, detector in closer.items()
        for span in find(name, detector, document, subject)
    ]
    return attribute(document, own, found)


def find(
    name: str, detector: Detector, document: Document, subject: Subject
) -> list[SensitiveSpan]:
    """`detector.find`, with every failure that is not ours turned into `DetectionFailed`."""
    try:
        return detector.find(document, subject)
    except ErasureError:
        raise
    except Exception:  # noqa: BLE001 - its message may quote the text
        raise DetectionFailed(
            Code.DETECTOR_BROKE,
            place=f"detector {name} at {document.ref}",
            remedy="the detector failed on this document; nothing was searched past it",
            request_ref=subject.request_ref,
        ) from None
