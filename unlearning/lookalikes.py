"""Values of the same form as a secret: the candidates of an exposure test, and people the model never saw.

A value is a row of words, digits and separators. A lookalike keeps the separators and draws each word and digit from
what other people's values of the same form have in that place, so that a fixed prefix (every number starts with 900)
helps the truth no more than its lookalikes. A word that nobody else has is replaced by one that nobody has: the model
has learnt the others' words by heart, and a truth among words it knows would look unlikely for being new, forgotten or
not. Where too few others have that form, another person's value with fresh digits serves, and where there is nobody
else, fresh digits and letters do.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from domain.records import Passage, SensitiveSpan, SpanKind

_CHUNK = re.compile(r"[^\W\d_]+|\d|[\W_]")
ENOUGH = 8
"""So many values of one form before their places are mixed; below it a mixture would repeat the few there are."""


def chunks(value: str) -> list[str]:
    """Words, single digits and single separators, in order; joined they are the value again."""
    return _CHUNK.findall(value)


def form(parts: Iterable[str]) -> str:
    """`w` for a word, `d` for a digit, separators as they are."""
    return "".join("d" if p.isdigit() else "w" if p.isalpha() else p for p in parts)


@dataclass(frozen=True)
class Pool:
    """Other people's values, by kind and form. Personal data: lives as long as the run."""

    by_form: Mapping[tuple[SpanKind, str], list[list[str]]] = field(default_factory=dict)
    by_kind: Mapping[SpanKind, list[list[str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, passages: Iterable[Passage]) -> "Pool":
        """The distinct values of all spans of these passages."""
        seen = {(s.kind, _value(p, s)) for p in passages for s in p.spans}
        by_form: dict[tuple[SpanKind, str], list[list[str]]] = {}
        by_kind: dict[SpanKind, list[list[str]]] = {}
        for kind, value in sorted(seen):
            parts = chunks(value)
            by_form.setdefault((kind, form(parts)), []).append(parts)
            by_kind.setdefault(kind, []).append(parts)
        return cls(by_form, by_kind)

    def values(self, kind: SpanKind) -> frozenset[str]:
        """All values of a kind, as they are written."""
        return frozenset("".join(parts) for parts in self.by_kind.get(kind, []))

    def lookalike(self, kind: SpanKind, value: str, order: random.Random) -> str:
        """One value of the same form; may by chance be the value itself."""
        parts = chunks(value)
        peers = self.by_form.get((kind, form(parts)), [])
        if len(peers) >= ENOUGH:
            return "".join(self._part(p, i, peers, order) for i, p in enumerate(parts))
        others = self.by_kind.get(kind, [])
        if kind is not SpanKind.NUMBER and len(others) >= ENOUGH:
            parts = order.choice(others)
        return "".join(_fresh(parts, i, order) for i in range(len(parts)))

    def _part(self, part: str, place: int, peers: list[list[str]], order: random.Random) -> str:
        if not part.isalnum():
            return part
        novel = part.isalpha() and not self.has(part)
        return self.fresh_word(part, order) if novel else order.choice(peers)[place]

    def has(self, word: str) -> bool:
        """Whether anybody else's value holds that word."""
        return word.casefold() in self._letters.words

    def fresh_word(self, like: str, order: random.Random) -> str:
        """A word that nobody has, of the same length and case, spelt as the others' words are."""
        for _ in range(50):
            drawn = self._letters.word(len(like), order)
            if drawn and drawn not in self._letters.words and drawn != like.casefold():
                return cased(like, drawn)
        while (made := "".join(fresh_letter(c, order) for c in like)) == like:
            pass
        return made

    @cached_property
    def _letters(self) -> "_Letters":
        parts = [part for values in self.by_kind.values() for value in values for part in value]
        return _Letters(sorted({p.casefold() for p in parts if p.isalpha()}))

    def lookalikes(self, kind: SpanKind, value: str, count: int, order: random.Random) -> list[str]:
        """Up to `count` distinct values of the same form, none of them the value; fewer when the form has no more."""
        found: dict[str, None] = {}
        for _ in range(8 * count):
            if len(found) == count:
                break
            candidate = self.lookalike(kind, value, order)
            if candidate != value:
                found[candidate] = None
        return list(found)


class _Letters:
    """How words are spelt: which letter follows which two, with the ends of words."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = frozenset(words)
        self._after: dict[str, list[str]] = {}
        for word in words:
            for at in range(len(word)):
                self._after.setdefault(word[max(0, at - 2) : at], []).append(word[at])

    def word(self, length: int, order: random.Random) -> str:
        """A made-up word of that many letters; empty when the spelling leads nowhere."""
        made = ""
        while len(made) < length:
            following = self._after.get(made[-2:])
            if not following:
                return ""
            made += order.choice(following)
        return made


def ranked_among(pool: Pool, count: int, seed: int) -> Callable[[SpanKind, str], list[str]]:
    """What `encode` asks for a secret's rivals: `count` lookalikes from the pool."""
    order = random.Random(seed)
    return lambda kind, value: pool.lookalikes(kind, value, count, order)


def _fresh(parts: list[str], index: int, order: random.Random) -> str:
    part = parts[index]
    if part.isdigit():
        leading = index == 0 or not parts[index - 1].isdigit()
        return str(order.randint(1 if leading and part != "0" else 0, 9))
    if part.isalpha() and len({len(p) for p in parts if p.isalpha()}) == 1 and len(parts) == 1:
        return "".join(fresh_letter(c, order) for c in part)
    return part


def fresh_letter(like: str, order: random.Random) -> str:
    """A vowel for a vowel, a consonant for any other letter, in the case of `like`."""
    letters = "aeiou" if like.lower() in "aeiou" else "bcdfghjklmnprstvwz"
    drawn = order.choice(letters)
    return drawn.upper() if like.isupper() else drawn


def cased(like: str, word: str) -> str:
    """`word` in the case of `like`: upper, capitalised, or as it is."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word


def _value(passage: Passage, span: SensitiveSpan) -> str:
    return passage.text.reveal()[span.start : span.end]
