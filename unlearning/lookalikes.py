"""Values of the same form as a secret: the candidates of an exposure test, and people the model never saw.

A lookalike is another person's value of the same form, in which every number and word that only the truth has is made
anew: what people share (a town with its postcode, the 900 with which every number starts, the century of a birth) then
helps the truth no more than its lookalikes, and a truth that is new in some part meets others that are. The model has
learnt other people's values by heart, and a truth among those would look unlikely for being new, forgotten or not.
Where too few others have that form, values of the same outline serve, and where even those are few, the value keeps
all but its own numbers and words.
"""

import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import repeat, takewhile

from transformers import PreTrainedTokenizerBase

from domain.records import Passage, SensitiveSpan, SpanKind
from unlearning.made_up import MadeUp

_CHUNK = re.compile(r"[^\W\d_]+|\d|[\W_]")
_RUN = re.compile(r"[^\W\d_]+(?: [^\W\d_]+)*|\d+|[\W_]")
ENOUGH = 8
"""So many values of one form or outline before one of them is taken; below it they would repeat the few there are."""
_FEW = 4
"""So many numbers of one length before digits are drawn from them, and so many digits before any digit will do."""


def chunks(value: str) -> list[str]:
    """Words, single digits and single separators, in order; joined they are the value again."""
    return _CHUNK.findall(value)


def form(pieces: Iterable[str]) -> str:
    """`w` for a word, `d` for a digit, separators as they are; of chunks, runs or anything between."""
    return "".join(
        "d" if p.isdigit() else "w" if p.isalpha() else p for v in pieces for p in chunks(v)
    )


def _outline(runs: Iterable[str]) -> str:
    """`W` for words with a space between, `D` for a number of any length, separators as they are."""
    return "".join("D" if r.isdigit() else "W" if r[0].isalpha() else r for r in runs)


@dataclass(frozen=True)
class _Peers:
    """Others' values of one outline, in runs: the nearest in form, what these have in each place, what all have."""

    nearest: list[list[str]]
    near_places: list[tuple[str, ...]]
    places: list[tuple[str, ...]]


def _places(values: list[list[str]]) -> list[tuple[str, ...]]:
    return list(zip(*values, strict=True))


@dataclass(frozen=True)
class Pool:
    """Other people's values, by kind. Personal data: lives as long as the run."""

    by_kind: Mapping[SpanKind, Sequence[str]] = field(default_factory=dict)
    made_up: MadeUp = field(default_factory=MadeUp)

    @classmethod
    def of(
        cls, passages: Iterable[Passage], tokenizer: PreTrainedTokenizerBase | None = None
    ) -> "Pool":
        """The distinct values of all spans of these passages; words that nobody has are made for the tokenizer."""
        by_kind: dict[SpanKind, list[str]] = {}
        for kind, value in sorted({(s.kind, _value(p, s)) for p in passages for s in p.spans}):
            by_kind.setdefault(kind, []).append(value)
        parts = [part for values in by_kind.values() for value in values for part in chunks(value)]
        return cls(by_kind, MadeUp(filter(str.isalpha, parts), tokenizer))

    def values(self, kind: SpanKind) -> frozenset[str]:
        """All values of a kind, as they are written."""
        return frozenset(self.by_kind.get(kind, ()))

    def lookalike(self, kind: SpanKind, value: str, order: random.Random) -> str:
        """One value of the same form; may by chance be the value itself."""
        runs = _RUN.findall(value)
        peers = self._peers(kind, _outline(runs), form(runs))
        if peers is not None:
            peer: Sequence[str] = order.choice(peers.nearest)
            if not any(map(self._is_new, runs, peers.places)):  # then the combination is new
                peer = [order.choice(place) for place in peers.near_places]
            return "".join(map(self._run, runs, peer, peers.places, repeat(order)))
        places = [tuple(self._numbers.get((kind, len(run)), [run])) for run in runs]
        own = [order.choice(p) if r.isdigit() else r for r, p in zip(runs, places, strict=True)]
        drawn = "".join(map(self._run, runs, own, places, repeat(order)))
        others = self.by_kind.get(kind, ())
        return order.choice(others) if drawn == value and len(others) >= ENOUGH else drawn

    def _is_new(self, run: str, theirs: Sequence[str]) -> bool:
        """Whether nobody else has that number in that place, or a word of it anywhere."""
        if run.isdigit():
            return run not in theirs
        return run[0].isalpha() and not all(map(self.has, run.split()))

    def _run(self, run: str, peer: str, theirs: Sequence[str], order: random.Random) -> str:
        """What stands for words with a space between, a number or a separator: the peer's, where it is not new."""
        if not self._is_new(run, theirs):
            return peer
        if not run.isdigit():
            words = run.split()
            return " ".join(w if self.has(w) else self.made_up.like(w, order) for w in words)
        alike, shared, digits = self._numbers_like(run, theirs)
        if len(alike) < _FEW:
            return _fresh(run, order)
        start = peer if len(peer) == len(run) else order.choice(alike)
        return start[:shared] + "".join(_digit(*place, order=order) for place in digits)

    def has(self, word: str) -> bool:
        """Whether anybody else's value holds that word."""
        return word.casefold() in self.made_up.words

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

    @cached_property
    def _numbers_like(
        self,
    ) -> Callable[[str, Sequence[str]], tuple[list[str], int, list[tuple[str, ...]]]]:
        """Of a new number: others of its length, how much of it begins one of them, the digits in each place after."""

        @cache
        def found(run: str, theirs: Sequence[str]) -> tuple[list[str], int, list[tuple[str, ...]]]:
            alike = [number for number in theirs if len(number) == len(run)]
            shared = max((_common(run, number) for number in alike), default=0)
            return alike, shared, list(zip(run, *alike, strict=True))[shared:]

        return found

    @cached_property
    def _peers(self) -> "Callable[[SpanKind, str, str], _Peers | None]":
        """By kind, outline and form of a value; None where too few others have that outline."""

        @cache
        def found(kind: SpanKind, outline: str, shape: str) -> _Peers | None:
            values = self._by_outline.get((kind, outline), [])
            if len(values) < ENOUGH:
                return None
            same = [runs for runs in values if form(runs) == shape]
            nearest = same if len(same) >= ENOUGH else values
            return _Peers(nearest, _places(nearest), _places(values))

        return found

    @cached_property
    def _by_outline(self) -> Mapping[tuple[SpanKind, str], list[list[str]]]:
        """The runs of all values, by kind and outline."""
        found: dict[tuple[SpanKind, str], list[list[str]]] = {}
        for kind, values in self.by_kind.items():
            for runs in map(_RUN.findall, values):
                found.setdefault((kind, _outline(runs)), []).append(runs)
        return found

    @cached_property
    def _numbers(self) -> Mapping[tuple[SpanKind, int], list[str]]:
        """All runs of digits, by kind and length."""
        found: dict[tuple[SpanKind, int], list[str]] = {}
        for kind, values in self.by_kind.items():
            for run in (run for value in values for run in _RUN.findall(value) if run.isdigit()):
                found.setdefault((kind, len(run)), []).append(run)
        return found


def ranked_among(pool: Pool, count: int, seed: int) -> Callable[[SpanKind, str], list[str]]:
    """What `encode` asks for a secret's rivals: `count` lookalikes from the pool."""
    order = random.Random(seed)
    return lambda kind, value: pool.lookalikes(kind, value, count, order)


def _common(one: str, other: str) -> int:
    """How many first characters are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _digit(true: str, *others: str, order: random.Random) -> str:
    """One of the others' digits; where they have many and not the true one, one that they have not either."""
    if true not in others and len(set(others)) >= _FEW:
        return order.choice(sorted(set("0123456789").difference(others)))
    return order.choice(others)


def _fresh(number: str, order: random.Random) -> str:
    """As many digits, the first of them 0 only where it was."""
    least = 0 if number[0] == "0" else 1
    return "".join(str(order.randint(least if at == 0 else 0, 9)) for at in range(len(number)))


def _value(passage: Passage, span: SensitiveSpan) -> str:
    return passage.text.reveal()[span.start : span.end]
