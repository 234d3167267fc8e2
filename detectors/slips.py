"""Names with a slip of the pen: one letter wrong in one of their words, two in a long one."""

from detectors.folding import fold
from detectors.forms import HOLE, LEFT, LETTER, RIGHT, Form
from detectors.names import anchor_of, loosely, parts, spelt, words_of
from domain.records import SpanKind

_ONE, _TWO = 5, 10  # letters from which on a word may have one and two slips
_GAP = r"(?:\s{1,3}|[_.\-])"
_COMMA = r"\s?,\s{0,2}"
_INITIAL = rf"(?:{_GAP}[^\W\d_]\.?)?"


def slip_forms(value: str) -> list[Form]:
    """Forms of a full name in which one word is right and the other nearly so, in both orders.

    They never name the person by themselves: somebody else may have this very name.
    """
    words = words_of(value)
    if len(words) < 2:
        return []
    first, _, last = parts(words)
    given, family = spelt(first), _GAP.join(map(spelt, last))
    g, f = loosely(first), " {1,3}".join(map(loosely, last))
    before = "".join(rf"{spelt(word)}{_GAP}" for word in last[:-1])
    b = "".join(rf"{loosely(word)} {{1,3}}" for word in last[:-1])
    middle = rf" {{1,3}}(?:{LETTER} {{1,4}})?"
    forms = []
    for word, most in ((last[-1], slack(last[-1])), (first, slack(first))):
        if not most:
            continue
        hole, h = _hole(word, most)
        anchor = anchor_of(last[-1] if word is first else first)
        if word is first:
            written = (rf"{hole}{_INITIAL}{_GAP}{family}", rf"{family}{_COMMA}{hole}")
            loose = (f" {HOLE}{middle}{f} ", f" {f} {{1,4}}{HOLE} ")
        else:
            written = (rf"{given}{_INITIAL}{_GAP}{before}{hole}", rf"{before}{hole}{_COMMA}{given}")
            loose = (f" {g}{middle}{b}{HOLE} ", f" {b}{HOLE} {{1,4}}{g} ")
        near = fold(word).text, most
        forms += [_form(p, q, h, near, anchor) for p, q in zip(written, loose, strict=True)]
    return forms


def slack(word: str) -> int:
    """How many letters of a word may be wrong; none of a word with hyphens or apostrophes."""
    folded = fold(word).text
    return (len(folded) >= _ONE) + (len(folded) >= _TWO) if folded.isalpha() else 0


def _hole(word: str, most: int) -> tuple[str, str]:
    """A word of about this length, in folded text and in `folding.words`; there one of the pieces of
    the right word stands in it unharmed, since there is one piece more than slips.

    Between two pieces one letter is left out, so that even two letters exchanged harm one piece only.
    """
    right = fold(word).text
    length, step = len(right), (len(right) + 1) / (most + 1)
    holes = []
    for number in range(most + 1):
        start, end = round(number * step), round((number + 1) * step) - 1
        before = _letters(start, most) if number else ""
        after = _letters(length - end, most) if number < most else ""
        holes.append(f"{before}{right[start:end]}{after}")
    return rf"(?P<slip>[^\W\d_]{{{length - most},{length + most}}})", f"(?:{'|'.join(holes)})"


def _letters(count: int, most: int) -> str:
    """About so many letters."""
    return f"{LETTER}{{{max(0, count - most)},{count + most}}}"


def _form(pattern: str, loose: str, hole: str, near: tuple[str, int], anchor: str) -> Form:
    return Form(
        SpanKind.PERSON,
        LEFT + pattern + RIGHT,
        0.4,
        alone=False,
        anchor=anchor,
        titled=True,
        loose=loose,
        either=frozenset({hole}),
        near=near,
    )
