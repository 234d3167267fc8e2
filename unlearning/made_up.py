"""Words that nobody has: spelt as other people's words are, and as briefly spelt by the model's tokenizer.

A model copies a word of few tokens more easily than one that falls into letters, whether it has seen it or not. A name
nobody else has can therefore only be compared with words of, as nearly as can be had, its number of tokens. Each letter
follows the one before as in other people's words: where it followed the two before, the words were pieces of what the
model has read, and likelier to it than people whom it never saw; where it followed none, they were less likely.
"""

import random
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain, count
from string import ascii_lowercase

from transformers import PreTrainedTokenizerBase

_DRAWN, _KEPT = 4000, 200
"""Words drawn by spelling, and those of the nearest number of tokens of which one is taken."""
_REACH = 40
"""So far away in its script's table a letter that is not ASCII is exchanged."""
_TRIES = 100


class MadeUp:
    """Words in the place of true ones, none of which anybody has.

    Args:
        words: other people's, which are never given.
        tokenizer: of the model that is asked; without one the number of tokens is left to chance.
    """

    def __init__(
        self, words: Iterable[str] = (), tokenizer: PreTrainedTokenizerBase | None = None
    ) -> None:
        self.words = frozenset(word.casefold() for word in words)
        self._tokenizer = tokenizer
        # caches of this object: they hold true words and end with it
        self._drawn, self._fitting = cache(self._made), cache(self._nearest)
        self._after: dict[tuple[str, str], list[str]] = {}  # script, letter or none -> letters
        for word in sorted(self.words):
            for one, next_one in zip(["", *word], word, strict=False):
                self._after.setdefault((_script(word), one), []).append(next_one)

    def like(self, word: str, order: random.Random) -> str:
        """Another word of the same length, in the case of this one."""
        fitting = self._fitting(word.casefold())
        taken = {*self.words, word.casefold()}
        return cased(word, order.choice(fitting)) if fitting else other(word, taken, order)

    def _nearest(self, true: str) -> list[str]:
        """Made-up words whose number of tokens is nearest to a word's."""
        (tokens,) = self._tokens([true])
        made = self._drawn(_script(true), len(true))
        apart = {
            word: sum(abs(a - b) for a, b in zip(found, tokens, strict=True))
            for word, found in made.items()
        }
        return [w for w in sorted(made, key=apart.__getitem__)[:_KEPT] if w != true]

    def _made(self, script: str, length: int) -> dict[str, tuple[int, ...]]:
        """Made-up words with their numbers of tokens, in no order."""
        order = random.Random(f"{script} {length}")
        drawn = {self._spelt(script, length, order) for _ in range(_DRAWN)} - {""} - self.words
        made = sorted(drawn)
        order.shuffle(made)
        return dict(zip(made, self._tokens(made), strict=True))

    def _spelt(self, script: str, length: int, order: random.Random) -> str:
        """One word; empty when the spelling leads nowhere."""
        made = ""
        while len(made) < length:
            following = self._after.get((script, made[-1:]))
            if not following:
                return ""
            made += order.choice(following)
        return made

    def _tokens(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The number of tokens of each word as it stands inside, within and at the head of a text's words."""
        if self._tokenizer is None or not words:
            return [()] * len(words)
        written = [form for w in words for form in (w, f" {w}", f" {w.capitalize()}")]
        counts = [len(ids) for ids in self._tokenizer(written, add_special_tokens=False).input_ids]
        return [tuple(counts[at : at + 3]) for at in range(0, len(counts), 3)]


def cased(like: str, word: str) -> str:
    """`word` in the case of `like`: upper, capitalised, or as it is."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() else word


def other(word: str, taken: Iterable[str], order: random.Random) -> str:
    """A made-up word in the case of this one, none of `taken` (in lower case).

    Of the same script and length, if there is one; or else of other letters, and longer only when all those are taken.
    """
    known, true = frozenset(taken), word.casefold()
    like = (_letters(true, order) for _ in range(_TRIES))
    any_word = (order.choices(ascii_lowercase, k=len(true) + n // _TRIES) for n in count())
    drawn = (w for w in chain(like, map("".join, any_word)) if w not in known)
    return cased(word, next(drawn))


def _letters(word: str, order: random.Random) -> str:
    """A vowel for each vowel, a consonant for each other letter; outside ASCII a letter of the same script."""
    return "".join(order.choice(_exchangeable(letter)) for letter in word)


def _script(word: str) -> str:
    """LATIN, GREEK and so on, of the first letter."""
    return unicodedata.name(word[0], "").partition(" ")[0]


@cache
def _exchangeable(letter: str) -> str:
    """The letters that sound as much like this one as any of them."""
    if letter.isascii():
        return "aeiou" if letter in "aeiou" else "bcdfghjklmnprstvwz"
    near = map(chr, range(max(128, ord(letter) - _REACH), ord(letter) + _REACH + 1))
    return "".join(c for c in near if _class(c) == _class(letter)) + letter


def _class(letter: str) -> tuple[str, bool, bool, bool]:
    """Its script, whether it is a letter, in lower case, and an accented vowel."""
    vowel = unicodedata.normalize("NFD", letter)[0] in "aeiou"
    return _script(letter), letter.isalpha(), letter == letter.casefold(), vowel
