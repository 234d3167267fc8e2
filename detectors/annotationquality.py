"""How good an annotator's model is on generated texts: what it finds of a person, and whom it touches."""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from detectors.annotation import Part
from detectors.annotationtext import Author, Written
from detectors.candidates import candidates
from domain.intervals import rate
from domain.outcomes import Estimate

Score = Callable[[Sequence[str], str, Part], float]
"""How surely a part of a text is private about the person of these names."""
_HALF = 0.5
_THRESHOLDS = (*(n / 20 for n in range(4, 20)), 0.97, 0.98, 0.99)


class Asked(NamedTuple):
    """A text, about whom of its people was asked, and the score of every candidate in it."""

    written: Written
    owner: int
    scores: dict[Part, float]


class Quality(NamedTuple):
    """Rates, each with its 95 % interval.

    Attributes:
        found: of what is private about the person, in how much at least half of the letters are marked.
        right: of the marked spans, how many lie by half or more in what is private about the person.
        touched: of what is private about others in these texts, how much is marked anywhere.

    """

    found: Estimate
    right: Estimate
    touched: Estimate

    @property
    def f1(self) -> float:
        """The harmonic mean of `found` and `right`."""
        return 2 * self.found.value * self.right.value / (self.found.value + self.right.value or 1)


def ask(author: Author, texts: int, score: Score, seed: int) -> list[Asked]:
    """So many texts of the author, each asked about one of the people whom it names."""
    chance = random.Random(seed)
    made: list[Asked] = []
    while len(made) < texts:
        written = author.write()
        named = [n for n, name in enumerate(written.people) if name in written.text]
        if not named:
            continue
        owner = chance.choice(named)
        person = [written.people[owner]]
        parts = [p for p in candidates(written.text) if not written.is_name(p, owner)]
        scores = {part: score(person, written.text, part) for part in parts}
        made.append(Asked(written, owner, scores))
    return made


def quality(several: Iterable[Asked], threshold: float) -> Quality:
    """What of these texts is marked where each candidate from this score on is. `ValueError` without any text."""
    found, right, touched = [0, 0], [0, 0], [0, 0]
    for written, owner, scores in several:
        marked = {at for p, score in scores.items() if score >= threshold for at in range(*p)}
        own = [p for p in written.private if p.owner == owner]
        mine = {at for p in own for at in range(p.start, p.end)}
        for p in own:
            _count(found, _share(written.text, range(p.start, p.end), marked) >= _HALF)
        for span in _runs(marked):
            _count(right, _share(written.text, span, mine) >= _HALF)
        for p in written.private:
            if p.owner != owner:
                _count(touched, not marked.isdisjoint(range(p.start, p.end)))
    return Quality(*(rate(hits, max(1, trials)) for hits, trials in (found, right, touched)))


def best(several: Sequence[Asked]) -> float:
    """The threshold with the highest F1."""
    return max(_THRESHOLDS, key=lambda threshold: quality(several, threshold).f1)


def _count(counts: list[int], hit: bool) -> None:
    counts[0] += hit
    counts[1] += 1


def _share(text: str, places: range, marked: set[int]) -> float:
    """Of the letters and digits at these places the share that is marked."""
    letters = [at for at in places if text[at].isalnum()]
    return sum(at in marked for at in letters) / max(1, len(letters))


def _runs(places: set[int]) -> list[range]:
    """Runs of places that follow each other."""
    runs: list[range] = []
    for at in sorted(places):
        if runs and runs[-1].stop == at:
            runs[-1] = range(runs[-1].start, at + 1)
        else:
            runs.append(range(at, at + 1))
    return runs
