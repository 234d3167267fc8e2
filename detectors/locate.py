"""Search a corpus for one person: the exact index picks the documents, the other detectors look
closer at those.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from detectors.attribution import attribute
from detectors.exact import ExactIndex
from detectors.protocol import Detector
from domain.errors import Code, DetectionFailed, ErasureError, RequestRejected
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
    """Search every document.

    Args:
        documents: the corpus.
        subject: whom to look for.
        detectors: by name; one of them is an `ExactIndex`, which decides which documents the others
            see.
        progress: called with the number of documents searched so far.

    Raises:
        RequestRejected: the detectors have no exact index, or the request no identifiers.
        DetectionFailed: a detector broke.

    """
    index = next((d for d in detectors.values() if isinstance(d, ExactIndex)), None)
    if index is None:
        raise RequestRejected(
            Code.DETECTOR_UNKNOWN,
            place="detectors",
            remedy="name the detector exact among them: without it nothing says whose a finding is",
            request_ref=subject.request_ref,
        )
    closer = {name: d for name, d in detectors.items() if d is not index}
    count = uncertain = 0
    passages: list[Passage] = []
    others: list[SensitiveSpan] = []
    for document in documents:
        count += 1
        spans = _search(document, subject, index, closer)
        mine = tuple(s for s in spans if s.owner is Owner.SUBJECT)
        uncertain += sum(s.owner is Owner.UNCERTAIN for s in spans)
        if mine:
            others.extend(s for s in spans if s.owner is Owner.OTHER)
            passages.append(Passage(document.ref, document.text, mine, SUBJECT_LABEL))
        if progress is not None:
            progress(count)
    return Located(
        documents=count,
        candidates=len(passages),
        spans=tuple(span for passage in passages for span in passage.spans),
        uncertain=uncertain,
        others=tuple(others),
        passages=tuple(passages),
    )


def _search(
    document: Document, subject: Subject, index: ExactIndex, closer: Mapping[str, Detector]
) -> list[SensitiveSpan]:
    """One document: exact first; the others only where the subject is, and their findings
    attributed.
    """
    if not index.mentions(document.text.reveal(), subject):
        return []
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
