"""The people of a document: who they are, by which words, and where they are mentioned."""

import re
from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from detectors.folding import fold
from detectors.names import HONORIFICS, PARTICLES
from domain.records import Owner, SensitiveSpan

SUBJECT = 0
UNKNOWN = -1
"""Somebody, but nobody can say who."""
NOBODY = -2
"""A house, not a person."""
TITLES = r"(?:(?:Mr|Ms|Mrs|Mx|Dr)\.? )?"
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_MARKS = re.compile(rf"\W*{TITLES}")
_ASIDE = re.compile(
    r"[\s*_:#=]*(?:\([^()\d]*\))?[\s*_:#=]*(?:,[^\d@]{0,40}|,? *\[?\d{1,2}[:.]\d{2}.{0,9})?"
)


class Mention(NamedTuple):
    """Where somebody is named, or meant by a word."""

    start: int
    end: int
    person: int
    pronoun: bool = False


@dataclass
class Mentions:
    """Mentions in the order of the text."""

    all: list[Mention] = field(default_factory=list)

    def add(self, mention: Mention) -> None:
        insort(self.all, mention)

    def within(self, start: int, end: int) -> list[Mention]:
        """Those that lie between two places, wholly."""
        found = []
        for number in range(bisect_left(self.all, (start,)), len(self.all)):
            mention = self.all[number]
            if mention.start >= end:
                break
            if mention.end <= end:
                found.append(mention)
        return found

    def touching(self, start: int, end: int) -> list[Mention]:
        """Those that overlap what lies between two places."""
        first = max(0, bisect_left(self.all, (start,)) - 1)
        return [m for m in self.all[first : bisect_left(self.all, (end,))] if start < m.end]

    def drop(self, mentions: Iterable[Mention]) -> None:
        for mention in mentions:
            del self.all[bisect_left(self.all, mention)]


@dataclass
class Cast:
    """Everybody in a document.

    Attributes:
        mentions: where they are named.
        owners: by person: SUBJECT of the subject, OTHER of others, UNCERTAIN of those who may be no
            people.
        words: the folded words of each person's names.
        genders: by person, where something says.

    """

    mentions: Mentions = field(default_factory=Mentions)
    owners: dict[int, Owner] = field(default_factory=dict)
    words: dict[int, set[str]] = field(default_factory=dict)
    genders: dict[int, str] = field(default_factory=dict)
    _whose: dict[str, set[int]] = field(default_factory=dict)

    def add(self, words: set[str], places: Iterable[tuple[int, int]], owner: Owner) -> int:
        """Somebody new."""
        person = SUBJECT if owner is Owner.SUBJECT else max(self.owners, default=SUBJECT) + 1
        self.owners[person] = owner
        self.words[person] = words
        for word in words:
            self._whose.setdefault(word, set()).add(person)
            self._whose.setdefault(letters(word), set()).add(person)
        for place in places:
            self.mentions.add(Mention(*place, person))
        return person

    def fitting(self, words: Iterable[str]) -> set[int]:
        """Whose names hold one of these words."""
        return set().union(*(self._whose.get(word, ()) for word in words))

    def knows(self, word: str) -> bool:
        """Whether it is somebody's."""
        return word in self._whose

    def having(self, words: set[str]) -> set[int]:
        """Whose names hold all of these words."""
        several = [self._whose.get(word, set()) for word in words]
        return set.intersection(*several) if several else set()

    def within(self, start: int, end: int) -> list[Mention]:
        return self.mentions.within(start, end)

    def people(self, start: int, end: int) -> set[int]:
        """Who is named between two places."""
        return {m.person for m in self.within(start, end)}

    def named_alone(self, text: str, start: int, end: int) -> bool:
        """Whether a line is somebody's name and nothing else but marks, a time, a word in brackets."""
        inside = self.within(start, end)
        if len({m.person for m in inside}) != 1:
            return False
        first, last = inside[0].start, inside[-1].end
        return bool(_MARKS.fullmatch(text, start, first) and _ASIDE.fullmatch(text, last, end))

    @property
    def doubted(self) -> set[int]:
        """Who may be nobody."""
        return {person for person, owner in self.owners.items() if owner is Owner.UNCERTAIN}

    def names_subject_alone(self) -> bool:
        """Whether the subject is surely there, and nobody else is."""
        unknown = any(mention.person == UNKNOWN for mention in self.mentions.all)
        return SUBJECT in self.owners and Owner.OTHER not in self.owners.values() and not unknown

    def names_nobody_else(self) -> bool:
        """The same, and nobody else may be."""
        return self.names_subject_alone() and len(self.owners) == 1

    def believes(self, span: SensitiveSpan) -> bool:
        """Whether a name found is surely somebody else's."""
        people = self.people(span.start, span.end)
        return any(self.owners.get(person) is Owner.OTHER for person in people)


def words_of(name: str) -> set[str]:
    """The folded words of a name, without forms of address, particles and initials."""
    words = {fold(word).text for word in WORD.findall(name)}
    return {w for w in words if len(w) > 1 and w not in HONORIFICS and w not in PARTICLES}


def letters(word: str) -> str:
    """A folded word as e-mail addresses spell it."""
    return "".join(c for c in word if c.isalnum())
