"""Many patterns looked for at once (Hyperscan), in many texts that lie in one row of bytes."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from detectors.folding import WIDEST
from domain.errors import Code, DetectionFailed

Hits = tuple[tuple[int, int], list[int]]
"""Where a text begins and where matches in it end, and the places of their patterns."""


class RefusedError(ValueError):
    """The matcher takes a pattern not, or not all of them together. Carries no text."""


class TooManyError(ValueError):
    """There are more matches than were asked for. Carries no text."""


class Patterns:
    """Regular expressions over `folding.words`, compiled into one database.

    Raises `RefusedError`.
    """

    def __init__(self, expressions: Sequence[str]) -> None:
        import hyperscan

        self._database: Any = None
        if not expressions:
            return
        self._database = hyperscan.Database()
        try:
            self._database.compile(
                expressions=[_bounded(expression).encode() for expression in expressions],
                ids=list(range(len(expressions))),
                elements=len(expressions),
                flags=[0] * len(expressions),
            )
        except hyperscan.error:  # its message may quote the pattern
            raise RefusedError from None

    def hits(self, folded: bytes, most: int | None = None) -> Iterator[Hits]:
        """Every match in texts with a zero byte between two, in the order of their ends.

        Raises `DetectionFailed` when the matcher broke, `TooManyError` when there are more than
        `most`.
        """
        found: dict[int, set[int]] = {}
        for end, pattern in self._ends(folded, most):
            found.setdefault(end, set()).add(pattern)
        for end, patterns in sorted(found.items()):
            yield (folded.rfind(b"\0", 0, end) + 1, end), sorted(patterns)

    def _ends(self, folded: bytes, most: int | None) -> list[tuple[int, int]]:
        import hyperscan

        found: list[tuple[int, int]] = []
        if self._database is None:
            return found

        def keep(pattern: int, _from: int, end: int, _flags: int, _context: object) -> bool:
            found.append((end, pattern))
            return most is not None and len(found) > most

        try:
            self._database.scan(folded, match_event_handler=keep)
        except hyperscan.ScanTerminated:
            raise TooManyError from None
        except hyperscan.error:
            raise DetectionFailed(
                Code.DETECTOR_BROKE,
                place="the index of identifiers",
                remedy="the pattern matcher stopped in the middle of a text; run again",
            ) from None
        return found


def _bounded(pattern: str) -> str:
    """The pattern with its gaps no wider than they are in `folding.words`: the matcher is several
    times faster without unbounded ones.
    """
    most = WIDEST - 1
    pattern = pattern.replace(" +", f" {{1,{most}}}").replace(" *", f" {{0,{most}}}")
    return re.sub(r" {4,}(?!\{)", f" {{4,{most}}}", pattern)
