"""People the model never saw: the person's own passages, with every name and secret replaced by a lookalike.

They differ from the person in nothing but the facts, so whatever the model gives away about them it gives away about
anybody: they are the level of "not known" for every attack.
"""

import random
import re
from collections.abc import Sequence

from domain.records import Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from unlearning.lookalikes import Pool, chunks

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
        names = [chunks_ for chunks_ in pool.by_kind.get(SpanKind.PERSON, []) if len(chunks_) > 1]
        self.given = sorted({n[0] for n in names if n[0].isalpha()})
        self.family = sorted({n[-1] for n in names if n[-1].isalpha()})
        self.words: dict[str, str] = {}
        self.values: dict[tuple[SpanKind, str], str] = {}
        for passage in members:
            for span in passage.spans:
                if span.kind is SpanKind.PERSON:
                    self._name(passage.text.reveal()[span.start : span.end])

    def _name(self, value: str) -> None:
        words = _WORD.findall(value)
        for place, word in enumerate(words):
            if word.casefold() in self.words:
                continue
            choices = self.family if place == len(words) - 1 and place > 0 else self.given
            taken = set(self.words) | set(self.words.values()) | {word.casefold()}
            free = [c for c in choices if c.casefold() not in taken]
            drawn = (
                self.order.choice(free)
                if free
                else self.pool.lookalike(SpanKind.OTHER, word, self.order)
            )
            self.words[word.casefold()] = drawn.casefold()

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
        return Passage(passage.ref, Secret("".join([*pieces, text[at:]])), tuple(spans), person)

    def _replacement(self, kind: SpanKind, value: str) -> str:
        if kind is SpanKind.PERSON:
            return _WORD.sub(lambda m: _cased(m[0], self.words.get(m[0].casefold(), m[0])), value)
        digits = "".join(c for c in value if c.isdigit())
        numeric = not _WORD.search(value)
        key = (kind, digits if numeric else value.casefold())
        if key not in self.values:
            self.values[key] = self._draw(kind, value)
        drawn = self.values[key]
        if (
            numeric and drawn != value
        ):  # one number, several spellings: pour the same digits into each
            poured = iter(c for c in drawn if c.isdigit())
            return "".join(next(poured, "0") if c.isdigit() else c for c in value)
        return drawn

    def _draw(self, kind: SpanKind, value: str) -> str:
        """A lookalike that is not the truth; words of the person's name in it become the stranger's."""
        for _ in range(100):
            drawn = self.pool.lookalike(kind, value, self.order)
            if drawn.casefold() != value.casefold():
                break
        mine, theirs = chunks(value), chunks(drawn)
        if len(mine) == len(theirs):
            theirs = [
                _cased(m, self.words[m.casefold()]) if m.casefold() in self.words else t
                for m, t in zip(mine, theirs, strict=True)
            ]
        return "".join(theirs)


def _cased(like: str, word: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word
