"""Search a corpus for people, batch by batch, and put together what was found of each."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from detectors.looking import Batch, Documents, Searcher, Slice, searcher
from detectors.memory import Memory, Seen, Spans
from detectors.protocol import Detector
from domain.records import Document, Owner, Passage, SensitiveSpan, Subject

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
    look = searcher(subjects, detectors)
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


def _seen(
    batch: Batch, look: Searcher, memories: Sequence[Memory], tell: Callable[[int], None]
) -> tuple[list[Seen], Documents]:
    """What is in a batch of each person, and the documents it is in: what was known, and the rest
    looked up and remembered.
    """
    if memories:
        seen, documents = _recalled(batch, look, memories, tell)
    else:
        seen, documents = look.at(batch, range(len(look.subjects)), tell)
    missing = {
        place
        for one in seen
        for place, spans in one.spans.items()
        if any(span.owner is Owner.SUBJECT for span in spans)
    } - documents.keys()
    return seen, documents | (batch.documents(missing) if missing else {})


def _recalled(
    batch: Batch, look: Searcher, memories: Sequence[Memory], tell: Callable[[int], None]
) -> tuple[list[Seen], Documents]:
    """The same from the memories, which keep what they did not know."""
    digest = batch.digest
    known = dict(enumerate(memory.seen(digest) for memory in memories))
    new = [number for number, seen in known.items() if seen is None]
    found, documents = look.at(batch, new, tell) if new else ([], {})
    known |= zip(new, found, strict=True)
    seen = [one for one in known.values() if one is not None]
    if not batch.corrupt and seen[0].documents:
        for memory, one in zip(memories, seen, strict=True):
            memory.keep(digest, one)
    return seen, documents


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


@dataclass(frozen=True, repr=False)
class _AtHand:
    """Documents as a batch."""

    at_hand: Sequence[Document]
    texts: Sequence[str]
    corrupt: int = 0
    looked: None = None

    @property
    def count(self) -> int:
        return len(self.texts)

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(b"".join(map(_measured, self.texts))).digest()

    def slices(self) -> Iterator[Slice]:
        yield self

    def document(self, place: int) -> Document:
        return self.at_hand[place]

    def documents(self, places: Collection[int]) -> Documents:
        return {place: one for place, one in enumerate(self.at_hand) if place in places}


def _measured(text: str) -> bytes:
    """The text behind its length, so that no two lists of texts are the same bytes."""
    written = text.encode("utf-8", "surrogatepass")
    return len(written).to_bytes(8, "big") + written


def in_batches(documents: Iterable[Document]) -> Iterator[_AtHand]:
    several = iter(documents)
    while some := list(islice(several, _BATCH)):
        yield _AtHand(some, [document.text.reveal() for document in some])


_BATCH = 1000
