"""Text as it is compared: no case, no diacritics, no zero width, and a way back to the original
code points.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

_LETTERS = {
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ħ": "h",
    "ŧ": "t",
    "\u0131": "i",
    "æ": "ae",
    "œ": "oe",
    "ð": "d",
    "þ": "th",
}
"""Letters that Unicode does not decompose, as English-language forms write them."""

_QUOTES = frozenset("\u2018\u2019\u201b\u02bc\u02b9\u0060\u00b4\u2032")
_DROPPED = frozenset({"Mn", "Me", "Cf"})  # combining marks and zero-width characters
_COMBINING = frozenset({"Mn", "Me"})


@dataclass(frozen=True, slots=True, repr=False)
class Folded:
    """Folded text, and for each of its characters the index of the original code point it came
    from.
    """

    text: str
    origin: Sequence[int]
    original: str

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The original code points behind `text[start:end]`, with the combining marks that follow
        them.
        """
        first, last = self.origin[start], self.origin[end - 1] + 1
        while last < len(self.original) and _is_combining(self.original[last]):
            last += 1
        return first, last


def fold(text: str) -> Folded:
    """Fold a text; ASCII takes the fast way, where folding is lower case and every index is its
    own.
    """
    if text.isascii():
        return Folded(text.lower(), range(len(text)), text)
    pieces: list[str] = []
    origin: list[int] = []
    for index, character in enumerate(text):
        piece = _fold_character(character)
        pieces.append(piece)
        origin.extend([index] * len(piece))
    return Folded("".join(pieces), origin, text)


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    """What one code point becomes: nothing, one character, or a few (ß is ss)."""
    if character.isascii():
        return character.lower()
    if character in _QUOTES:
        return "'"
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    folded = []
    for part in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold()):
        category = unicodedata.category(part)
        if category in _DROPPED:
            continue
        if category == "Pd":
            folded.append("-")
        elif category == "Zs":
            folded.append(" ")
        else:
            folded.append(_LETTERS.get(part, part))
    return "".join(folded)


def _is_combining(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character) in _COMBINING


def digits_of(folded: str) -> str:
    """The digits of a folded text and nothing else, for a cheap look-up of numbers however they are
    written.
    """
    return re.sub(r"[^0-9]+", "", folded)
