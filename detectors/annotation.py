"""What a language model is asked about a document: which parts are private, and whether one is this person's."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from domain.records import SpanKind

Part = tuple[int, int]
"""Code points `start:end` of the text that was asked about."""


class Judgement(NamedTuple):
    """Whether one part is private and this person's, what it is, and how surely (0 to 1)."""

    private: bool
    kind: SpanKind
    score: float


class MalformedError(ValueError):
    """An answer that is none. Carries a reason in our words, never the answer."""


class NoAnswerError(RuntimeError):
    """There is no answer to be had. Carries the reason and the remedy in our words."""


class Backend(Protocol):
    """A language model that answers both questions. Safe to call from several threads."""

    @property
    def identity(self) -> str:
        """Everything besides the question that an answer depends on: model, place, prompts."""
        ...

    def propose(self, person: Sequence[str], text: str) -> list[Part]:
        """Every occurrence of whatever might be private about the person of these names.

        Raises `MalformedError`, `NoAnswerError`.
        """
        ...

    def judge(self, person: Sequence[str], text: str, part: Part) -> Judgement:
        """Whether that part of the text is private and about this person.

        Raises `MalformedError`, `NoAnswerError`.
        """
        ...

    def close(self) -> None:
        """Let go of connections; the next question opens new ones."""
        ...

    def check(self) -> None:
        """Whether the model is there and answers. Raises `MalformedError`, `NoAnswerError`."""
        ...
