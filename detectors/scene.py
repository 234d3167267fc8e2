"""One document as the cues see it: its layout, its people, who is meant where, and the findings."""

from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property

from detectors.cast import Cast, Mentions
from detectors.layout import Layout
from detectors.pronouns import pronouns
from detectors.roles import roles
from detectors.speakers import Speakers
from domain.records import SensitiveSpan

Evidence = tuple[int, float]
"""Somebody, and how much speaks for them, from 0 to 1."""


class Scene:
    """What every cue looks at.

    Args:
        layout: of the text.
        cast: who is named.
        findings: what may have an owner, sorted; names are not among them.

    """

    def __init__(self, layout: Layout, cast: Cast, findings: Sequence[SensitiveSpan]) -> None:
        self.layout, self.cast, self.findings, self.text = layout, cast, findings, layout.text
        self.speakers = Speakers(layout, cast)
        meant = [*roles(layout, cast), *pronouns(layout, cast, self.speakers)]
        self.mentions = Mentions(sorted([*cast.mentions.all, *meant]))

    @cached_property
    def _starts(self) -> list[int]:
        return [finding.start for finding in self.findings]

    def things(self, start: int, end: int) -> Sequence[SensitiveSpan]:
        """The findings that begin between two places."""
        return self.findings[bisect_left(self._starts, start) : bisect_left(self._starts, end)]

    def sentence(self, place: int) -> tuple[int, int]:
        """The sentence of a place, as far as it is near."""
        start, end = self.layout.sentences[self.layout.sentence_at(place)]
        return max(start, place - _NEAR), min(end, place + _NEAR)

    def of_lines(self, lines: range) -> set[int]:
        """Who is named in some lines."""
        first, last = self.layout.lines[lines.start], self.layout.lines[lines.stop - 1]
        return self.cast.people(first.start, last.end)


_NEAR = 1000  # characters
