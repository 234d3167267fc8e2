"""The ways in which a person's name is written."""

import re
from collections.abc import Iterable
from dataclasses import replace

from detectors.folding import fold
from detectors.forms import HOLE, LEFT, LETTER, RIGHT, Form, plain
from detectors.people import STARTERS
from domain.records import SpanKind

_TITLES = (
    "mr mrs ms miss mx dr prof professor sir dame lord lady rev herr frau fru hr mme mlle m sr sra"
)
_LINKS = "van von der den de di da del della du la le los las ten ter zu zum bin ibn al el y e"
HONORIFICS = frozenset(_TITLES.split())
PARTICLES = frozenset(_LINKS.split())
_SEPARATOR = r"(?:\s{1,3}|[_.\-]|\\_|\s*\\\n\s*)"
_QUOTE = r"(?:\\?[\"'])?"
_CELL = r"(?:\\?[\"']\s?[,;]\s?\\?[\"']|[,;]|\s{0,3}\|\s{0,3})"
_NEXT = rf"{_QUOTE}\s{{0,3}}[,;]?\s{{0,8}}{_QUOTE}"
"""From the value of a field to the next key."""
_FIRST, _LAST = "first|given|fore|vor", "last|family|sur|nach"
KEYS = [f" (?:{_FIRST}|{_LAST}) ?name ", f"  (?:{_FIRST}|{_LAST})  "]
"""The keys of fields with a part of a name, over `folding.words`. Without "name" they are common words, and
count with two signs before and behind.
"""
_WORD_BEFORE = re.compile(r"(?<![^\W\d_])([^\W\d_]+)(\.?[ \t]|-)$")
_WORD_AFTER = re.compile(r"[ \t-]([^\W\d_]+)")
_TRANSCRIBED = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
)
"""Umlauts as passports and e-mail addresses write them, beside the plain letter that folding gives.
"""


def name_forms(value: str) -> list[Form]:
    """Forms of a full name: both orders, middle names left out or shortened, initials, and its
    parts alone.

    The parts alone and "First L." never name the person by themselves. A name of one word is
    treated as an alias.
    """
    words = words_of(value)
    if len(words) < 2:
        return alias_forms(value)
    first, middles, last = parts(words)
    given, family = spelt(first), _SEPARATOR.join(map(spelt, last))
    optional = "".join(rf"(?:{_SEPARATOR}{_shortened(word)})?" for word in middles)
    extra = rf"(?:{_SEPARATOR}[^\W\d_]\.?)?" if not middles else ""
    inner = optional + extra
    anchor = anchor_of(last[-1])
    initial = fold(first).text[0]
    g, givens = _hole(first)
    i, initials = _hole(initial) if initial.isalnum() else (plain(initial), frozenset[str]())
    f = " +".join(map(loosely, last))
    between = "".join(rf"(?: +(?:{loosely(w)}|{plain(fold(w).text[0])}))?" for w in middles)
    between += "" if middles else rf"(?: +{LETTER})?"
    reverse = f" {f} +{g} "
    return [
        name_form(
            rf"{given}{inner}{_SEPARATOR}{family}",
            1.0,
            anchor,
            loose=f" {g}{between} +{f} ",
            either=givens,
        ),
        name_form(rf"{family}\s*,\s*{given}{inner}", 1.0, anchor, loose=reverse, either=givens),
        name_form(rf"{family}\s{{1,3}}{given}", 0.9, anchor, loose=reverse, either=givens),
        name_form(
            rf"{initial}(?:\.\s?|\s)(?:[^\W\d_]\.\s?){{0,2}}{family}",
            0.6,
            anchor,
            titled=True,
            loose=rf" {i} +(?:{LETTER} +){{0,2}}{f} ",
            either=initials,
        ),
        name_form(
            rf"{family}\s*,\s*{initial}{RIGHT}\.?",
            0.6,
            anchor,
            titled=True,
            loose=f" {f} +{i} ",
            either=initials,
        ),
        name_form(
            rf"{given}\s+{fold(last[0]).text[0]}\.", 0.5, anchor_of(first), alone=False, titled=True
        ),
        name_form(family, 0.5, anchor, alone=False, titled=True),
        name_form(given, 0.5, anchor_of(first), alone=False, titled=True),
        *_fields(words, between),
    ]


def _fields(words: list[str], between: str) -> list[Form]:
    """The parts of a full name in fields of their own, both orders: in cells that follow each other,
    `"Ada","Lind"`, and behind keys, `first_name: Ada, last_name: Lind`.

    `between` is what may stand between the two words in `folding.words`.
    """
    first, middles, last = parts(words)
    given, family = spelt(first), _SEPARATOR.join(map(spelt, last))
    g, givens = _hole(first)
    f = " +".join(map(loosely, last))
    cells = "".join(rf"(?:{_CELL}(?:{_shortened(word)})?)?" for word in middles)
    cells += "" if middles else rf"(?:{_CELL}(?:[^\W\d_]\.?)?)?"
    middle = rf"(?:{_key('middle')}[^\W\d_]{{0,20}}\.?{_NEXT})?"
    in_cells = [
        (given, f"{cells}{_CELL}", family, f" {g}{between} +{f} "),
        (family, _CELL, given, f" {f} +{g} "),
    ]
    behind_keys = [
        (given, f"{_NEXT}{middle}{_key(_LAST)}", family, _around(first, last[0])),
        (family, f"{_NEXT}{_key(_FIRST)}", given, _around(last[-1], first)),
    ]
    anchor = anchor_of(last[-1])
    return [
        replace(
            name_form(f"{one}(?P<between>{gap}){two}", 0.8, anchor, titled=True, loose=loose),
            apart=True,
            either=givens,
        )
        for one, gap, two, loose in in_cells
    ] + [
        replace(name_form(f"{one}(?P<between>{gap}){two}", 0.95, anchor), apart=True, around=words)
        for one, gap, two, words in behind_keys
        if words
    ]


def _key(words: str) -> str:
    """The key of a field, as far as its value: see `KEYS`."""
    key = rf"{LEFT}(?:{words})[_\- ]?name|(?<=\W\W)(?:{words})(?=\W\W)"
    return rf"(?:{key}){_QUOTE}\s?[:=]\s?{_QUOTE}"


def _around(before: str, behind: str) -> frozenset[tuple[str, str]]:
    """The words of `folding.words` with which one name ends and the other begins, in all spellings;
    none for a name with other signs in it.
    """
    return frozenset(
        ("".join(one[start:]), "".join(two[:end]))
        for one in _spellings(before)
        for two in _spellings(behind)
        if "".join(one + two).isalnum()
        for start in range(len(one))
        for end in range(1, len(two) + 1)
    )


def alias_forms(value: str) -> list[Form]:
    """Forms of an alias, a user name or a one-word name. Fewer than four letters never name a
    person alone.
    """
    words = words_of(value.lstrip("@"))
    if not words:
        return []
    pattern = _SEPARATOR.join(map(spelt, words))
    alone = sum(map(len, words)) >= 4
    return [
        name_form(
            pattern,
            0.9 if alone else 0.5,
            anchor_of(words[-1]),
            alone=alone,
            titled=not alone,
            loose=f" {' +'.join(map(loosely, words))} " if alone else "",
        )
    ]


def is_bare(form: Form, text: str, start: int, end: int) -> bool:
    """Whether a part of a name stands as a name of its own: not inside a longer run of capitalised
    words.

    An honorific or a sentence beginning before it does not count: "Ms. Tolvik" is bare, "White
    House" is not.
    """
    if not form.is_part:
        return True
    border = text[max(0, start - 1) : start] in (" ", "\t", "-")
    before = _WORD_BEFORE.search(text[max(0, start - 40) : start]) if border else None
    if before and before[1][0].isupper() and not _may_precede(before[1], before[2]):
        return False
    after = _WORD_AFTER.match(text[end : end + 40])
    return not (after and after[1][0].isupper())


def _may_precede(word: str, border: str) -> bool:
    """Whether a capitalised word before a bare name is no part of it: an address, a sentence's
    beginning or end.
    """
    if border.startswith(".") and len(word) > 1:
        return True
    return word.casefold() in HONORIFICS or word in STARTERS


def words_of(value: str) -> list[str]:
    """The words of a name in the order given name first, without honorifics."""
    if value.count(",") == 1:
        family, given = value.split(",")
        value = f"{given} {family}"
    words = [w.strip(".,;") for w in value.split()]
    while len(words) > 1 and fold(words[0]).text in HONORIFICS:
        words.pop(0)
    return [w for w in words if fold(w).text.strip("-'")]


def parts(words: list[str]) -> tuple[str, list[str], list[str]]:
    """Given name, middle names, family name with its particles."""
    border = len(words) - 1
    while border > 1 and fold(words[border - 1]).text in PARTICLES:
        border -= 1
    return words[0], words[1:border], words[border:]


def spelt(word: str) -> str:
    """One word in its plain and its transcribed spelling; inner hyphens and apostrophes may be
    missing.
    """
    return _either(r"(?:\s|[-'.])?".join(map(re.escape, pieces)) for pieces in _spellings(word))


def loosely(word: str) -> str:
    """The same over `folding.words`."""
    return _either(" ?".join(map(plain, pieces)) for pieces in _spellings(word))


def _hole(word: str) -> tuple[str, frozenset[str]]:
    """What stands for a word in `Form.loose`, and `Form.either`; none for a word in pieces."""
    spellings = _spellings(word)
    if all(
        len(pieces) == 1 and pieces[0].isalnum() and len(pieces[0]) < 64 for pieces in spellings
    ):
        return HOLE, frozenset(piece for (piece,) in spellings)
    return loosely(word), frozenset()


def _spellings(word: str) -> list[list[str]]:
    """The spellings of a word, each as the pieces between its hyphens and apostrophes."""
    spellings = dict.fromkeys((fold(word).text, fold(word.translate(_TRANSCRIBED)).text))
    return [[p for p in re.split(r"[-'.\s]+", spelling) if p] for spelling in spellings]


def _either(patterns: Iterable[str]) -> str:
    several = list(patterns)
    return several[0] if len(several) == 1 else f"(?:{'|'.join(several)})"


def _shortened(word: str) -> str:
    return rf"(?:{spelt(word)}|{re.escape(fold(word).text[0])}\.?)"


def anchor_of(word: str) -> str:
    """The longest run of letters that every spelling of the word contains."""
    if fold(word).text != fold(word.translate(_TRANSCRIBED)).text:
        return ""
    return max(re.split(r"[-'.\s]+", fold(word).text), key=len)


def name_form(
    pattern: str,
    confidence: float,
    anchor: str,
    *,
    alone: bool = True,
    titled: bool = False,
    loose: str = "",
    either: frozenset[str] = frozenset(),
) -> Form:
    return Form(
        SpanKind.PERSON,
        LEFT + pattern + RIGHT,
        confidence,
        alone,
        anchor,
        digits=False,
        titled=titled,
        loose=loose,
        either=either,
    )
