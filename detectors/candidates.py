"""What in a text might be private, by its looks alone: for a model that can choose but not write."""

import re
from collections.abc import Iterator

from detectors.annotation import Part
from detectors.letters import CAPITALISED
from detectors.people import STARTERS
from detectors.shapes import looks
from domain.records import SpanKind

_BREAKS = frozenset(
    """
    i you he she it we they me him her us them who whom which that this these those there here what when where why how
    is are was were be been being am has have had do does did will would can could may might must shall should
    and or but if then because while although though not no yes please let says said tells told asks asked
    """.split()
)
"""Words that no noun phrase runs across."""
_LINKS = frozenset(
    """
    of in on at to for from with without by about near behind under over through against between during as into since
    until after before
    """.split()
)
_LEADING = _LINKS | frozenset("the a an his its their my our your also still just very".split())
_WORD = re.compile(r"[^\W_](?:[\w'\u2019@.+-]*\w)?")
_STOP = re.compile(r"[,;:!?()<>|\[\]\"\n]|\.(?!\w)|\s[-\u2013\u2014]\s")
_NAMES = re.compile(rf"{CAPITALISED}(?: {CAPITALISED})*")
_LONGEST = 6  # words of a phrase


def candidates(text: str) -> list[Part]:
    """Noun phrases, their pieces between prepositions, both without their first word as well, which may be a verb; runs
    of capitalised words, and whatever has the shape of a number, a date, an address or an e-mail address; sorted,
    overlapping. English.
    """
    found = {(finding.start, finding.end) for finding in looks(text)}
    found.update(m.span() for m in _NAMES.finditer(text) if m.group() not in STARTERS)
    found.update(_phrases(text))
    return sorted(found)


def kind(part: str) -> SpanKind:
    """What a part looks like as a whole; OTHER where it has no shape of its own."""
    whole = [f for f in looks(part) if (f.start, f.end) == (0, len(part))]
    return max(whole, key=lambda f: f.score).kind if whole else SpanKind.OTHER


def _phrases(text: str) -> Iterator[Part]:
    for run in _runs(text):
        pieces: list[list[re.Match[str]]] = [run]
        piece: list[re.Match[str]] = []
        for word in run:
            if word.group().lower() in _LINKS:
                pieces.append(piece)
                piece = []
            else:
                piece.append(word)
        for words in [*pieces, piece]:
            for kept in (_trimmed(words), _trimmed(words[1:])):
                if 0 < len(kept) <= _LONGEST:
                    yield kept[0].start(), kept[-1].end()


def _runs(text: str) -> Iterator[list[re.Match[str]]]:
    """Runs of words with neither punctuation nor one of `_BREAKS` between them."""
    run: list[re.Match[str]] = []
    for word in _WORD.finditer(text):
        if run and _STOP.search(text, run[-1].end(), word.start()):
            yield run
            run = []
        if word.group().lower() in _BREAKS:
            yield run
            run = []
        else:
            run = [*run, word]
    yield run


def _trimmed(words: list[re.Match[str]]) -> list[re.Match[str]]:
    """Without articles and prepositions at its ends; nothing where only short words are left."""
    while words and words[0].group().lower() in _LEADING:
        words = words[1:]
    while words and words[-1].group().lower() in _LEADING:
        words = words[:-1]
    return words if any(len(word.group()) > 2 for word in words) else []
