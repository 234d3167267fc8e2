"""One net for many people: which of them each text may mention, in one pass over its bytes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import compress
from operator import not_

from detectors import days
from detectors.dates import read_date
from detectors.folding import WIDEST, words
from detectors.forms import HOLE, Form, Key, is_near
from detectors.names import KEYS
from detectors.patterns import Patterns, RefusedError, TooManyError
from domain.errors import Code, DetectionFailed
from domain.records import IdentifierKind, Subject

Whose = list[tuple[int, int]]
"""Places of subjects in the list that the net was made for, each with the place of one of their forms."""
Caught = dict[int, set[int]]
"""Subjects who may be in a text, each with all forms that may be there."""
Found = tuple[int, int, int]
"""A text, a subject and the place of a form. A text is named by its place, or by its first byte."""
_NUMBER_GAP = 6  # separators between two digits of one number at most: see `numbers`
_BESIDE = 4096  # bytes before and behind the key of a field in which the words of a name lie
_LETTERS = 256  # of the words in the hole of one pattern
_FEW, _MANY = 8, 256  # matches, and one more in so many bytes: with more, all texts are looked at


@dataclass(repr=False)
class Net:
    """Everything that the forms of some subjects can match, as multi-pattern databases: patterns over
    `folding.words`, and numbers over the same without spaces.

    It never loses a text in which `ExactIndex.find` finds something, nor a form that is found there;
    what it catches may hold nothing. Names with a slip and dates are looked at once more, so that few
    texts go further.

    Args:
        subjects: whom to look for.
        forms: the written forms of each, in the same order.

    """

    subjects: Sequence[Subject]
    forms: Sequence[Iterable[Form]]
    _asked: list["_Asked"] = field(default_factory=list, init=False)
    _dates: dict[Key, Whose] = field(default_factory=dict, init=False)
    _around: dict[bytes, dict[bytes, Whose]] = field(default_factory=dict, init=False)
    _always: list[set[int]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        asked: dict[tuple[str, int], dict[tuple[str, str], Whose]] = {}
        solid: dict[bool, dict[str, Whose]] = {True: {}, False: {}}
        for number, forms in enumerate(self.forms):
            self._always.append(set())
            for place, form in enumerate(forms):
                for hole in (form.either or {""}) if form.loose else ():
                    word, most = form.near or (hole, 0)
                    alike = asked.setdefault((form.loose, most), {})
                    alike.setdefault((hole, word), []).append((number, place))
                if form.solid:
                    row = solid[form.solid.isdigit()]
                    row.setdefault(form.solid, []).append((number, place))
                for before, behind in form.around:
                    self._around.setdefault(behind.encode(), {}).setdefault(
                        before.encode(), []
                    ).append((number, place))
                for key in form.keys:
                    self._dates.setdefault(key, []).append((number, place))
                if not (form.loose or form.solid or form.around or form.keys):
                    self._always[-1].add(place)
        self._asked = [
            _Asked(*key, some) for key, whose in asked.items() for some in _parted(whose)
        ]
        self._reach = max((one.reach for one in self._asked), default=0)
        written = [one.pattern for one in self._asked]
        written += [*(KEYS if self._around else ()), *days.patterns(self._born())]
        self._first_of_days = len(self._asked) + len(KEYS) * bool(self._around)
        self._words = self._patterns(written, [one.whose for one in self._asked])
        self._numbers, self._mixed = (_Solid(alike, self._patterns) for alike in solid.values())
        shortest = min(map(len, solid[True]), default=0)
        self._long = Patterns(
            [f"[0-9](?: {{0,{_NUMBER_GAP}}}[0-9]){{{shortest - 1}}}"] if shortest else []
        )

    def _born(self) -> Iterator[date]:
        """Every birth date."""
        for subject in self.subjects:
            for value in subject.values(IdentifierKind.BIRTH_DATE):
                yield from read_date(value)

    def _patterns(self, patterns: list[str], whose: list[Whose]) -> Patterns:
        try:
            return Patterns(patterns)
        except RefusedError:
            raise DetectionFailed(
                Code.DETECTOR_BROKE,
                place="the index of identifiers",
                remedy="the pattern matcher refused an identifier; look for one of unusual length",
                request_ref=self._refused(patterns, whose),
            ) from None

    def _refused(self, patterns: list[str], whose: list[Whose]) -> str:
        """The reference of one whose own patterns are refused; empty when only all together are."""
        for number, subject in enumerate(self.subjects):
            own = [
                pattern
                for pattern, several in zip(patterns, whose, strict=False)
                if any(number == one for one, _ in several)
            ]
            try:
                Patterns(own)
            except RefusedError:
                return subject.request_ref
        return ""

    def catch(self, texts: Sequence[str]) -> Iterator[tuple[int, Caught]]:
        """The texts in which somebody may be, in order, each with the subjects in order.

        Raises `DetectionFailed` when the matcher broke.
        """
        caught: dict[int, Caught] = {}
        easy = list(map(str.isascii, texts))
        for alike in (easy, list(map(not_, easy))):  # ASCII is folded faster when it stands alone
            found = list(self._found(words(list(compress(texts, alike)))))
            places = list(compress(range(len(texts)), alike)) if found else []
            for number, subject, form in found:
                people = caught.setdefault(places[number], {})
                if subject not in people:
                    people[subject] = set(self._always[subject])
                people[subject].add(form)
        for place, people in sorted(caught.items()):
            yield place, dict(sorted(people.items()))

    def _found(self, folded: bytes) -> Iterator[Found]:
        """By the places of the texts."""
        found = self._in_words(folded)
        try:
            found += self._in_long_numbers(folded)
        except TooManyError:
            yield from self._numbers.found(folded)
        yield from self._mixed.found(folded)
        yield from _numbered(folded, found)

    def _in_words(self, folded: bytes) -> list[Found]:
        """By the first bytes of the texts."""
        found: list[Found] = []
        for (start, end), patterns in self._words.hits(folded):
            before: list[str] = []
            for pattern in patterns:
                if pattern >= self._first_of_days:  # the last ones; the key is the same for all
                    key = days.key_before(folded, start, end)
                    several = self._dates.get(key, []) if key else []
                    found += [(start, subject, form) for subject, form in several]
                    break
                if pattern >= len(self._asked):
                    several = self._names_around(folded, start, end)
                    found += [(start, subject, form) for subject, form in several]
                    continue
                asked = self._asked[pattern]
                if asked.reach and not before:
                    window = folded[max(start, end - self._reach) : end]
                    before = window.decode("utf-8", "ignore").split()
                found += [(start, subject, form) for subject, form in asked.among(before)]
        return found

    def _names_around(self, folded: bytes, start: int, end: int) -> Whose:
        """Whose name stands before and behind the key of a field."""
        behind = folded[end : end + _BESIDE].split(maxsplit=1)
        names = self._around.get(behind[0], {}) if behind else {}
        before = folded[max(start, end - _BESIDE) : end].split() if names else ()
        return [one for word in set(before) for one in names.get(word, ())]

    def _in_long_numbers(self, folded: bytes) -> list[Found]:
        """Numbers with or without gaps, by the first bytes of the texts. Few texts have one as long as
        those that are looked for, so the others are not looked at. Raises `TooManyError` where that
        does not pay.
        """
        long = list(self._long.hits(folded, _FEW + len(folded) // _MANY))
        starts = list(dict.fromkeys(start for (start, _), _ in long))
        ends = [folded.find(b"\0", start) for start in starts]
        row = [folded[a : b if b >= 0 else None] for a, b in zip(starts, ends, strict=True)]
        found = self._numbers.found(b"\0".join(row))
        return [(starts[number], subject, form) for number, subject, form in found]


class _Solid:
    """Letters and digits in a row, however many spaces are between them."""

    def __init__(
        self, whose: dict[str, Whose], patterns: Callable[[list[str], list[Whose]], Patterns]
    ) -> None:
        self._whose = list(whose.values())
        self._patterns = patterns(list(whose), self._whose)

    def found(self, folded: bytes) -> Iterator[Found]:
        """By the places of the texts."""
        if not self._whose:
            return iter(())
        row = folded.translate(None, b" ")
        found = [
            (start, subject, form)
            for (start, _), patterns in self._patterns.hits(row)
            for pattern in patterns
            for subject, form in self._whose[pattern]
        ]
        return _numbered(row, found)


def _numbered(folded: bytes, found: Iterable[Found]) -> Iterator[Found]:
    """The same with the places of the texts in place of their first bytes."""
    place = last = 0
    for start, subject, form in sorted(found):
        place += folded.count(b"\0", last, start)
        last = start
        yield place, subject, form


class _Asked:
    """A pattern, and whose it is; where it has a hole, by the word there, which is right or nearly so.

    Args:
        loose: the pattern.
        most: by how many letters at least one and at most so many the word must differ; 0 for none.
        whose: by what the pattern has in the hole, and the right word; of one pair for no hole.

    """

    def __init__(self, loose: str, most: int, whose: Mapping[tuple[str, str], Whose]) -> None:
        self.whose = [one for several in whose.values() for one in several]
        self.pattern = loose.replace(HOLE, f"(?:{'|'.join(hole for hole, _ in whose)})")
        self._by_word = {word: several for (_, word), several in whose.items()}
        self._most, self._gaps = most, loose.count(" ")
        lengths = sorted(map(len, self._by_word))
        self._low, self._high = lengths[0] - most, lengths[-1] + most
        sure = len(whose) == 1 and not most
        self.reach = 0 if sure else 2 * len(loose.encode()) + WIDEST * self._gaps + 4 * self._high
        """Bytes, of which no match has more; 0 where nobody has to look at them."""

    def among(self, words: list[str]) -> Whose:
        """Those whose word is one of the words before the end of a match."""
        if not self.reach:
            return self.whose
        near = set(words[-self._gaps :])
        if not self._most:
            return [one for word in near for one in self._by_word.get(word, ())]
        return [
            one
            for written in near
            if self._low <= len(written) <= self._high
            for word, several in self._by_word.items()
            if abs(len(written) - len(word)) <= self._most and is_near(written, word, self._most)
            for one in several
        ]


def _parted(whose: Mapping[tuple[str, str], Whose]) -> Iterator[dict[tuple[str, str], Whose]]:
    """Some words at a time: the matcher takes no pattern of any length."""
    some: dict[tuple[str, str], Whose] = {}
    letters = 0
    for pair in sorted(whose):
        letters += len(pair[1])
        if some and letters > _LETTERS:
            yield some
            some, letters = {}, len(pair[1])
        some[pair] = whose[pair]
    yield some
