"""One net for many people: which of them each text may mention, in one pass over its bytes."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectors import days
from detectors.dates import read_date
from detectors.folding import WIDEST, words
from detectors.forms import Form, is_near
from domain.errors import Code, DetectionFailed
from domain.records import IdentifierKind, Subject

People = set[int]
"""Places of subjects in the list that the net was made for."""


@dataclass(repr=False)
class Net:
    """Everything that the forms of some subjects can match, as two multi-pattern databases
    (Hyperscan): patterns over `folding.words`, and numbers over the same without spaces.

    It never loses a text in which `ExactIndex.find` finds something; what it catches may hold
    nothing. Names with a slip and dates are looked at once more, so that few texts go further.

    Args:
        subjects: whom to look for.
        forms: the written forms of each, in the same order.

    """

    subjects: Sequence[Subject]
    forms: Sequence[Iterable[Form]]
    _whose: list[tuple[People, Callable[[bytes, int, int], bool] | None]] = field(
        default_factory=list, init=False
    )
    _solid: list[People] = field(default_factory=list, init=False)
    _dates: dict[days.Key, People] = field(default_factory=dict, init=False)
    _databases: list[Any] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        loose: dict[str, People] = {}
        solid: dict[str, People] = {}
        slips: dict[tuple[str, tuple[str, int]], People] = {}
        known = set()
        for number, (subject, forms) in enumerate(zip(self.subjects, self.forms, strict=True)):
            for form in forms:
                if form.near is not None:
                    slips.setdefault((form.loose, form.near), set()).add(number)
                elif form.loose:
                    loose.setdefault(form.loose, set()).add(number)
                if form.solid:
                    solid.setdefault(form.solid, set()).add(number)
            for value in subject.values(IdentifierKind.BIRTH_DATE):
                for day in read_date(value):
                    known.add(day)
                    for key in days.keys(day):
                        self._dates.setdefault(key, set()).add(number)
        self._whose = [(people, None) for people in loose.values()]
        self._whose += [(people, _slip(*key)) for key, people in slips.items()]
        self._solid = list(solid.values())
        written = [*loose, *(pattern for pattern, _ in slips), *days.patterns(known)]
        whose = [*loose.values(), *slips.values()]
        self._databases = [
            self._database(written, whose),
            self._database(list(solid), self._solid),
        ]

    def _database(self, patterns: list[str], whose: list[People]) -> Any:
        import hyperscan

        try:
            return _compiled(patterns)
        except hyperscan.error:  # its message may quote the pattern
            raise _broken(self._refused(patterns, whose)) from None

    def _refused(self, patterns: list[str], whose: list[People]) -> str:
        """The reference of one whose own patterns are refused; empty when only all together are."""
        import hyperscan

        for number, subject in enumerate(self.subjects):
            own = [p for p, people in zip(patterns, whose, strict=False) if number in people]
            try:
                _compiled(own)
            except hyperscan.error:
                return subject.request_ref
        return ""

    def catch(self, texts: Sequence[str]) -> Iterator[tuple[int, list[int]]]:
        """The texts in which somebody may be, in order, each with the subjects, sorted.

        Raises `DetectionFailed` when the matcher broke.
        """
        if not texts:
            return
        folded = words(texts)
        caught: dict[int, People] = {}
        for hit, end, start, number in _hits(self._databases[0], folded):
            if hit >= len(self._whose):
                key = days.key_before(folded, start, end)
                people = self._dates.get(key, set()) if key else set()
            else:
                people, confirm = self._whose[hit]
                if confirm is not None and not confirm(folded, start, end):
                    continue
            if people:
                caught.setdefault(number, set()).update(people)
        for hit, _, _, number in _hits(self._databases[1], folded.translate(None, b" ")):
            caught.setdefault(number, set()).update(self._solid[hit])
        for number in sorted(caught):
            yield number, sorted(caught[number])


def _slip(loose: str, near: tuple[str, int]) -> Callable[[bytes, int, int], bool]:
    """Whether one of the words before the end of a match is nearly the one that may be wrong."""
    word, most = near
    gaps = loose.count(" ")
    reach = len(loose.encode()) + 4 * (len(word) + most) + WIDEST * gaps  # no match is longer
    low, high = len(word) - most, len(word) + most

    def confirm(folded: bytes, start: int, end: int) -> bool:
        window = folded[max(start, end - reach) : end].decode("utf-8", "ignore")
        return any(
            low <= len(written) <= high and is_near(written, word, most)
            for written in window.split()[-gaps:]
        )

    return confirm


def _compiled(patterns: list[str]) -> Any:
    """A database of these patterns; None without any. Raises `hyperscan.error`."""
    import hyperscan

    if not patterns:
        return None
    database = hyperscan.Database()
    database.compile(
        expressions=[_bounded(pattern).encode() for pattern in patterns],
        ids=list(range(len(patterns))),
        elements=len(patterns),
        flags=[0] * len(patterns),
    )
    return database


def _bounded(pattern: str) -> str:
    """The pattern with its gaps no wider than they are in `folding.words`: the matcher is several
    times faster without unbounded ones.
    """
    most = WIDEST - 1
    pattern = pattern.replace(" +", f" {{1,{most}}}").replace(" *", f" {{0,{most}}}")
    return re.sub(r" {4,}(?!\{)", f" {{4,{most}}}", pattern)


def _hits(database: Any, folded: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Pattern, end, start of the text and place of the text, for every match, sorted by end."""
    import hyperscan

    found: list[tuple[int, int]] = []
    if database is not None:

        def keep(pattern: int, _from: int, end: int, _flags: int, _context: object) -> None:
            found.append((end, pattern))

        try:
            database.scan(folded, match_event_handler=keep)
        except hyperscan.error:
            raise _broken("") from None
    number = start = at = 0
    for end, pattern in sorted(set(found)):
        passed = folded.count(b"\0", at, end)
        if passed:
            number += passed
            start = folded.rfind(b"\0", 0, end) + 1
        at = end
        yield pattern, end, start, number


def _broken(request_ref: str) -> DetectionFailed:
    return DetectionFailed(
        Code.DETECTOR_BROKE,
        place="the index of identifiers",
        remedy="the pattern matcher refused an identifier; look for one of unusual length",
        request_ref=request_ref,
    )
