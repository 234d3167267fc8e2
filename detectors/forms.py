"""A written form: a pattern over folded text, how sure it is, and looser ones for a quick look."""

import re
from dataclasses import dataclass
from functools import cached_property

from rapidfuzz.distance import OSA

from detectors.folding import Folded
from domain.records import SpanKind

LEFT = r"(?<![^\W_])"
RIGHT = r"(?![^\W_])"
"""Word borders that take `_` for a separator, as file names and markdown do."""
LETTER = r"(?:[a-z]|[\x80-\xff]{2,4})"
"""One letter in the bytes of `folding.words`."""


HOLE = "<>"
"""Stands in `Form.loose` for one of `Form.either`."""


def plain(piece: str) -> str:
    """A folded literal as `folding.words` shows it."""
    return "".join(c if c.isalnum() else " " for c in piece)


Key = tuple[int, ...]
"""The numbers of a written date in their order; a month's name is its number below zero."""


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
        loose: a regular expression that `folding.words` of a text with a match satisfies, `HOLE` between
            spaces in it where forms differ that are looked for together.
        either: what may stand at the `HOLE`: words, or a pattern for a word that is nearly right.
        solid: letters and digits in a row that `folding.words` of a text with a match contains once
            its spaces are taken out.
        keys: of a date: one of them is what each match reads as (`detectors.days`).
        around: pairs of words of `folding.words`; one of each match stands before one of `names.KEYS`, a few
            words away at most, and the other right behind it. A form that has nothing of these four says
            nothing by itself.
        apart: whether what is found are two places, before and behind the group "between" of the
            pattern.
        near: a word, and by how many letters at least one and at most so many the group "slip" of
            the pattern must differ from it.

    """

    kind: SpanKind
    pattern: str
    confidence: float
    alone: bool = True
    anchor: str = ""
    digits: bool = False
    titled: bool = False
    loose: str = ""
    either: frozenset[str] = frozenset()
    solid: str = ""
    keys: frozenset[Key] = frozenset()
    around: frozenset[tuple[str, str]] = frozenset()
    apart: bool = False
    near: tuple[str, int] | None = None

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(_literal_first(self.pattern))

    @cached_property
    def is_part(self) -> bool:
        """Whether it is a part of a name, which says something beside the person only."""
        return self.kind is SpanKind.PERSON and not self.alone and self.near is None

    def possible(self, folded: str, digits: str) -> bool:
        """Whether the anchor occurs; a form without one is always possible."""
        return self.anchor in (digits if self.digits else folded)

    def matches(self, folded: Folded) -> list[tuple[int, int]]:
        """Where it occurs, as code points of the original text."""
        found = []
        for match in self.compiled.finditer(folded.text):
            start, end = folded.span(*match.span())
            if self.titled and not folded.original[start].isupper():
                continue
            if self.apart:
                first, last = match.span("between")
                found += [folded.span(match.start(), first), folded.span(last, match.end())]
            elif self.near is None or self._slipped(folded, match):
                found.append((start, end))
        return found

    def _slipped(self, folded: Folded, match: re.Match[str]) -> bool:
        at = folded.origin[match.start("slip")]
        return (
            self.near is not None
            and folded.original[at].isupper()
            and is_near(match["slip"], *self.near)
        )


_HEAD = re.compile(
    r"(?P<borders>(?:\(\?<!\[[^\])]+\]\))+)"
    r"(?:(?P<one>[^\W_]+)|\(\?:(?P<several>[^\W_]+(?:\|[^\W_]+)*)\))(?P<times>[*+?{]?)"
)


def _literal_first(pattern: str) -> str:
    """The same pattern, with the borders before its first letters looked at behind them: `re` runs to
    letters quickly and to a border slowly.
    """
    head = _HEAD.match(pattern)
    if head is None or (head["several"] and head["times"]):
        return pattern
    literals = (head["several"] or head["one"]).split("|")
    rest = pattern[head.start("times") :]
    if head["times"]:  # it is for the last letter only
        rest = literals[0][-1] + rest
        literals = [literals[0][:-1]]
    if not literals[0]:
        return pattern
    borders = head["borders"]
    return f"(?:{'|'.join(one + borders.replace(')', f'{one})') for one in literals)}){rest}"


def is_near(written: str, word: str, most: int) -> bool:
    """Whether the two differ, by at most so many letters added, left out, changed or exchanged with
    the next one.
    """
    return 0 < OSA.distance(written, word, score_cutoff=most) <= most
