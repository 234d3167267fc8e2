"""People the model never saw: the person's own passages, with every name and secret replaced by a lookalike.

They differ from the person in nothing but the facts, so whatever the model gives away about them it gives away about
anybody: they are the level of "not known" for every attack.
"""

import random
import re
from collections.abc import Sequence

from domain.records import Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from unlearning.lookalikes import Pool, chunks, form, native
from unlearning.made_up import cased, other

_WORD = re.compile(r"[^\W\d_]+")


def strangers(
    members: Sequence[Passage], pool: Pool, count: int, order: random.Random
) -> tuple[Passage, ...]:
    """`count` people the model never saw, each with the same passages as the person."""
    return tuple(
        passage
        for number in range(count)
        for passage in _Stranger(members, pool, order).passages(members, f"control-{number:03d}")
    )


class _Stranger:
    """One made-up person: what replaces each name word and each secret, the same in all passages."""

    def __init__(self, members: Sequence[Passage], pool: Pool, order: random.Random) -> None:
        self.pool, self.order = pool, order
        names = [
            parts for parts in map(chunks, pool.by_kind.get(SpanKind.PERSON, ())) if len(parts) > 1
        ]
        self.given = sorted({n[0] for n in names if n[0].isalpha()})
        self.family = sorted({n[-1] for n in names if n[-1].isalpha()})
        self.real = {(n[0].casefold(), n[-1].casefold()) for n in names}
        self.words: dict[str, str] = {}
        self.values: dict[tuple[SpanKind | None, str], str] = {}
        written = [
            _WORD.findall(passage.text.reveal()[span.start : span.end])
            for passage in members
            for span in passage.spans
            if span.kind is SpanKind.PERSON
        ]
        self.true = {word.casefold() for words in written for word in words}
        for words in written:
            self._name([word for word in words if len(word) > 1])
        self._initials()

    def _name(self, words: Sequence[str]) -> None:
        """A word of another person's name for each that somebody shares, so that the whole is nobody's."""
        for place, word in enumerate(words):
            if word.casefold() in self.words:
                continue
            last = place == len(words) - 1 and place > 0
            taken = self.true | set(self.words.values())
            if not self.pool.has(word):  # nobody else is called so: neither shall the stranger
                self.words[word.casefold()] = self._novel(word)
                continue
            free = [c for c in (self.family if last else self.given) if c.casefold() not in taken]
            if last:
                first = self.words.get(words[0].casefold(), "")
                free = [c for c in free if (first, c.casefold()) not in self.real] or free
            drawn = self.order.choice(free) if free else other(word, taken, self.order)
            self.words[word.casefold()] = drawn.casefold()

    def _novel(self, word: str) -> str:
        """A word that nobody has, with another initial where that can be had."""
        for _ in range(20):
            drawn = self.pool.made_up.like(word, self.order).casefold()
            if drawn[0] != word[0].casefold() and drawn not in self.words.values():
                break
        return drawn

    def _initials(self) -> None:
        """An initial becomes that of the word it stands for, or any other letter."""
        for word in sorted(w for w in self.true if len(w) == 1):
            stands_for = next((w for w in self.words if len(w) > 1 and w[0] == word), "")
            drawn = self.words[stands_for][0] if stands_for else word
            self.words[word] = drawn if drawn != word else other(word, {word}, self.order)

    def passages(self, members: Sequence[Passage], person: str) -> list[Passage]:
        """The person's passages as this stranger's, offsets moved along."""
        return [self._passage(passage, person) for passage in members]

    def _passage(self, passage: Passage, person: str) -> Passage:
        text, pieces, spans, at, length = passage.text.reveal(), [], [], 0, 0
        for span in sorted(passage.spans, key=lambda s: s.start):
            pieces.append(text[at : span.start])
            length += span.start - at
            value = self._replacement(span.kind, text[span.start : span.end])
            spans.append(
                SensitiveSpan(
                    span.document,
                    length,
                    length + len(value),
                    span.kind,
                    span.owner,
                    span.detector,
                    span.confidence,
                )
            )
            pieces.append(value)
            length, at = length + len(value), span.end
        made = Secret("".join([*pieces, text[at:]]))
        answer = None if passage.answer is None else _moved(passage.answer, passage.spans, spans)
        return Passage(passage.ref, made, tuple(spans), person, answer, passage.label)

    def _replacement(self, kind: SpanKind, value: str) -> str:
        if kind is SpanKind.PERSON and _WORD.search(value):
            return _WORD.sub(lambda m: cased(m[0], self.words.get(m[0].casefold(), m[0])), value)
        numeric = not _WORD.search(value)
        key = (None, _digits(value)) if numeric else (kind, value.casefold())
        if key not in self.values:
            self.values[key] = self._draw(kind, value)
        drawn = self.values[key]
        if numeric:  # one number, several spellings: pour the same digits into each
            poured = iter(_digits(drawn))
            return "".join(next(poured, "0") if c.isdecimal() else c for c in value)
        return drawn

    def _draw(self, kind: SpanKind, value: str) -> str:
        """A lookalike that is neither the truth nor another person's value, as far as the form allows.

        Where words of the person's name stand in the value, the stranger's stand in it instead.
        """
        drawn, known = value, self.pool.values(kind)
        for _ in range(100):
            if not _same(drawn, value) and drawn not in known:
                break
            drawn = self.pool.lookalike(kind, value, self.order)
        fewer = not _WORD.search(value) and len(_digits(drawn)) != len(_digits(value))
        if fewer or _same(drawn, value):
            drawn = "".join(_changed(part, self.order) for part in chunks(value))
        mine, theirs = chunks(value), chunks(drawn)
        if not any(m.casefold() in self.words for m in mine):
            return drawn
        if form(mine) != form(theirs):
            theirs = [_changed(m, self.order) if m.isdecimal() else m for m in mine]
        return "".join(
            cased(m, self.words[m.casefold()]) if m.casefold() in self.words else t
            for m, t in zip(mine, theirs, strict=True)
        )


def _moved(place: int, spans: Sequence[SensitiveSpan], replaced: Sequence[SensitiveSpan]) -> int:
    """Where a place of the text lies after its spans were replaced; one inside a span as far as that reaches."""
    gained = 0
    for old, new in zip(sorted(spans, key=lambda s: s.start), replaced, strict=True):
        if place < old.end:
            return min(place + gained, new.end)
        gained = new.end - old.end
    return place + gained


def _digits(value: str) -> str:
    return "".join(c for c in value if c.isdecimal())


def _same(one: str, other: str) -> bool:
    """Equal but for case, and for separators where they are numbers."""
    if not _WORD.search(one) and not _WORD.search(other) and _digits(one):
        return _digits(one) == _digits(other)
    return one.casefold() == other.casefold()


def _changed(part: str, order: random.Random) -> str:
    """Another digit, or a word of other letters; separators stay."""
    if part.isdecimal():
        return native(part, str((int(part) + order.randint(1, 9)) % 10))
    return other(part, {part.casefold()}, order) if part.isalpha() else part
