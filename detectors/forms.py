"""A written form: a pattern over folded text, how sure it is, and a cheap literal without which it
cannot match.
"""

import re
from dataclasses import dataclass
from functools import cached_property

from detectors.folding import Folded
from domain.records import SpanKind

LEFT = r"(?<![^\W_])"
RIGHT = r"(?![^\W_])"
"""Word borders that take `_` for a separator, as file names and markdown do."""


@dataclass(frozen=True, repr=False)
class Form:
    """One way to write one identifier.

    Attributes:
        kind: what the matched characters are.
        pattern: a regular expression over folded text (`detectors.folding`).
        confidence: how surely a match is this identifier.
        alone: whether a match names the person without further evidence in the document.
        anchor: characters that every match contains; empty when there is no such literal.
        digits: whether the anchor is looked up among the digits of the text only.
        titled: whether the match must begin with a capital in the original.

    """

    kind: SpanKind
    pattern: str
    confidence: float
    alone: bool = True
    anchor: str = ""
    digits: bool = False
    titled: bool = False

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def possible(self, folded: str, digits: str) -> bool:
        """Whether the anchor occurs; a form without one is always possible."""
        return self.anchor in (digits if self.digits else folded)

    def matches(self, folded: Folded) -> list[tuple[int, int]]:
        """Where it occurs, as code points of the original text."""
        found = []
        for match in self.compiled.finditer(folded.text):
            start, end = folded.span(*match.span())
            if not self.titled or folded.original[start].isupper():
                found.append((start, end))
        return found
