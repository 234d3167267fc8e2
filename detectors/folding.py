"""Text as it is compared: no case, no diacritics, no zero width, and a way back to the original
code points.
"""

import codecs
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat

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
        if self.original.isascii():
            return start, end
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
    pieces = list(map(_fold_character, text))
    lengths = list(map(len, pieces))
    origin: Sequence[int] = range(len(text))
    if set(lengths) != {1}:
        origin = list(chain.from_iterable(map(repeat, origin, lengths)))
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


def words(texts: Sequence[str]) -> bytes:
    """The texts as a prefilter reads them: folded, in UTF-8, a space for every character that is
    neither letter nor digit, a space before and after each text, and a zero byte between two.

    One character of folded text is one character here, so a pattern over the one says how a looser
    pattern over the other has to look. Only gaps of `WIDEST` and more shrink, to no less than half
    of it, so that no pattern needs a gap without bounds.
    """
    joined = "\0".join(texts)
    for sign in _SIGNS if not joined.isascii() else "":
        joined = joined.replace(sign, " ")
    plain = joined.encode("ascii", _NOT_ASCII)  # the encoder finds the other runs
    row = plain.translate(_PLAIN).replace(b"\0", b" \0 ")
    if len(row) - len(plain) > 2 * max(0, len(texts) - 1):  # a text has zero bytes of its own
        return words([text.replace("\0", " ") for text in texts])
    row = b" " + row + b" "
    while _WIDE in row:
        row = row.replace(_WIDE, _WIDE[: len(_WIDE) // 2])
    return row


def _other(error: UnicodeError) -> tuple[bytes, int]:
    """What stands in place of a run of characters that the ASCII encoder asks for."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    run = error.object[error.start : error.end]
    plain = b"".join(map(_plain_character, run)) if len(run) > 1 else _plain_character(run)
    return plain, error.end


@lru_cache(maxsize=1 << 14)
def _plain_character(character: str) -> bytes:
    return "".join(c if c.isalnum() else " " for c in _fold_character(character)).encode()


_SIGNS = "\u2018\u2019\u201c\u201d\u2013\u2014\u00a0"
"""Quotes, dashes and the space that does not break: most of what is not ASCII in English text."""
WIDEST = 16
_WIDE = b" " * WIDEST


_NOT_ASCII = "lethe-plain"
codecs.register_error(_NOT_ASCII, _other)
_PLAIN = bytes(
    c if c == 0 or c > 127 else ord(chr(c).lower()) if chr(c).isalnum() else 32 for c in range(256)
)


def _is_combining(character: str) -> bool:
    return not character.isascii() and unicodedata.category(character) in _COMBINING


def digits_of(folded: str) -> str:
    """The digits of a folded text and nothing else, for a cheap look-up of numbers however they are
    written.
    """
    return folded.encode("ascii", "ignore").translate(None, _NO_DIGITS).decode()


_NO_DIGITS = bytes(set(range(256)) - set(b"0123456789"))
