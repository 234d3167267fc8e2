"""What a detector is: one verb, and a promise to fail rather than to answer "nothing"."""

from typing import Protocol

from domain.records import Document, SensitiveSpan, Subject


class Detector(Protocol):
    """Finds spans in one document."""

    def find(self, document: Document, subject: Subject) -> list[SensitiveSpan]:
        """The spans of this document, disjoint and sorted, in code points of its original text.

        Raises `DetectionFailed` when anything broke; an empty list means "looked, and found
        nothing".
        """
        ...
