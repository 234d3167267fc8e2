"""Words that nobody has: as long as one that somebody has, and of as many tokens.

A model copies a word of few tokens more easily than one that falls into letters, whether it has seen it or not. A rare
name that the tokenizer happens to know can therefore only be compared with made-up words that it spells as briefly.
"""

import random
from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

_DRAWN, _KEPT = 2000, 100
"""Words drawn from either source, and those of the fittest spelling of which one is taken."""


class MadeUp:
    """Words like those of some people, none of which is one of theirs.

    Half are drawn letter by letter as the people's words are spelt, half are made of the tokenizer's own pieces where
    those can stand next to each other in such words; of all, those whose number of tokens is nearest are kept.

    Args:
        words: the people's, whose spelling is learnt and which are never given.
        tokenizer: of the model that is asked; without one, the number of tokens is left to chance.
    """

    def __init__(
        self, words: Iterable[str], tokenizer: PreTrainedTokenizerBase | None = None
    ) -> None:
        self.words = frozenset(word.casefold() for word in words)
        self._tokenizer = tokenizer
        self._pairs = {pair for word in self.words for pair in pairwise(word)}
        self._after: dict[str, list[str]] = {}
        for word in sorted(self.words):
            for at in range(len(word)):
                self._after.setdefault(word[max(0, at - 2) : at], []).append(word[at])
        self._fitting = lru_cache(maxsize=None)(self._made)

    def like(self, word: str, order: random.Random) -> str:
        """A word in the place of this one, in lower case; empty where none could be made."""
        word = word.casefold()
        (tokens,) = self._tokens([word])
        fitting = [w for w in self._fitting(len(word), tokens, word.isascii()) if w != word]
        return order.choice(fitting) if fitting else ""

    def _made(self, length: int, tokens: tuple[int, ...], ascii_only: bool) -> list[str]:
        order = random.Random(length)
        drawn = {self._spelt(length, order) for _ in range(_DRAWN)}
        drawn |= {self._joined(length, order.choice(tokens), order) for _ in range(_DRAWN)}
        known = self.words | {""}
        made = sorted(w for w in drawn - known if w.isascii() == ascii_only and self._usual(w))
        apart = {
            w: sum(abs(a - b) for a, b in zip(found, tokens, strict=True))
            for w, found in zip(made, self._tokens(made), strict=True)
        }
        order.shuffle(made)
        return sorted(made, key=apart.__getitem__)[:_KEPT]

    def _spelt(self, length: int, order: random.Random) -> str:
        """Letter by letter, each as it follows two others; empty when the spelling leads nowhere."""
        made = ""
        while len(made) < length:
            following = self._after.get(made[-2:])
            if not following:
                return ""
            made += order.choice(following)
        return made

    def _usual(self, word: str) -> bool:
        """Whether all its letters stand next to each other in some of the people's words, too."""
        return all(pair in self._pairs for pair in pairwise(word))

    def _joined(self, length: int, count: int, order: random.Random) -> str:
        """So many of the tokenizer's pieces; empty where there is none of the length that is needed."""
        cuts = sorted(order.sample(range(1, length), min(count, length) - 1))
        sizes = [b - a for a, b in zip([0, *cuts], [*cuts, length], strict=True)]
        if not all(size in self._pieces for size in sizes):
            return ""
        return "".join(order.choice(self._pieces[size]) for size in sizes)

    @cached_property
    def _pieces(self) -> dict[int, list[str]]:
        """What the tokenizer joins words from, by length."""
        by_length: dict[int, list[str]] = {}
        if self._tokenizer is not None:
            decoded = self._tokenizer.batch_decode([[n] for n in range(len(self._tokenizer))])
            for piece in sorted({text.strip().removeprefix("##").casefold() for text in decoded}):
                if piece.isalpha():
                    by_length.setdefault(len(piece), []).append(piece)
        return by_length

    def _tokens(self, words: list[str]) -> list[tuple[int, ...]]:
        """How many tokens each has: inside a text, and at a beginning, small and capitalised."""
        if self._tokenizer is None or not words:
            return [(1,)] * len(words)
        forms = [form for w in words for form in (w, f" {w}", f" {w.capitalize()}")]
        counts = [len(ids) for ids in self._tokenizer(forms, add_special_tokens=False).input_ids]
        return [tuple(counts[at : at + 3]) for at in range(0, len(counts), 3)]
