"""What a detector is: one verb, and a promise to fail rather than to answer "nothing"."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from domain.records import Document, SensitiveSpan, Subject


class Detector(Protocol):
    """Finds spans in one document."""

    def find(self, document: Document, subject: Subject) -> list[SensitiveSpan]:
        """The spans of this document, disjoint and sorted, in code points of its original text.

        Raises `DetectionFailed` when anything broke; an empty list means "looked, and found
        nothing".
        """
        ...


class Case(NamedTuple):
    """A document that names the subject, with what the other detectors found there."""

    document: Document
    subject: Subject
    found: Sequence[SensitiveSpan]


@runtime_checkable
class Reviewer(Detector, Protocol):
    """Takes a second look, after the owners of all findings are settled, at several documents at once."""

    def review(self, cases: Sequence[Case]) -> list[list[SensitiveSpan]]:
        """What is to be added to each of them, disjoint and sorted. Raises `DetectionFailed`."""
        ...


@runtime_checkable
class Learner(Reviewer, Protocol):
    """A reviewer whose answers are dear: they are kept, so that a search that stopped asks nothing twice."""

    def answers(self) -> bytes:
        """What it learned so far, without any text, to go on from. Personal data all the same."""
        ...

    def resume(self, answers: bytes) -> None:
        """Go on from there: what is known already is not asked again."""
        ...
