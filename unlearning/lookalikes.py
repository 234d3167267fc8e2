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
from functools import cached_property
from itertools import takewhile

from transformers import PreTrainedTokenizerBase

from domain import months
from domain.records import Passage, SensitiveSpan, SpanKind
from unlearning.made_up import MadeUp, cased

_CHUNK = re.compile(r"[^\W\d_]+|\d|[\W_]")
_RUN = re.compile(r"[^\W\d_]+(?: [^\W\d_]+)*|\d+|[\W_]")
ENOUGH = 8
"""So many values of one form or outline before one of them is taken; below it they would repeat the few there are."""
_FEW = 4
"""So many numbers of one length before digits are drawn from them, so many digits before any digit will do, and so many
months that nobody has before they are drawn without those that somebody has."""


def chunks(value: str) -> list[str]:
    """Words, single digits and single separators, in order; joined they are the value again."""
    return _CHUNK.findall(value)


def form(pieces: Iterable[str]) -> str:
    """`w` for a word, `d` for a digit, separators as they are; of chunks, runs or anything between."""
    return "".join(
        "d" if p.isdecimal() else "w" if p.isalpha() else p for v in pieces for p in chunks(v)
    )


def _outline(runs: Iterable[str]) -> str:
    """`W` for words with a space between, `D` for a number of any length, separators as they are."""
    return "".join("D" if r.isdecimal() else "W" if r[0].isalpha() else r for r in runs)


@dataclass(frozen=True)
class Pool:
    """Other people's values, by kind. Personal data: lives as long as the run."""

    by_kind: Mapping[SpanKind, Sequence[str]] = field(default_factory=dict, repr=False)
    made_up: MadeUp = field(default_factory=MadeUp, repr=False)

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
        return self._mould(kind, value).draw(order)

    def has(self, word: str) -> bool:
        """Whether anybody else's value holds that word."""
        return word.casefold() in self.made_up.words

    def lookalikes(self, kind: SpanKind, value: str, count: int, order: random.Random) -> list[str]:
        """Up to `count` distinct values of the same form, none of them the value; fewer when the form has no more."""
        mould, found = self._mould(kind, value), dict[str, None]()
        for _ in range(8 * count):
            if len(found) == count:
                break
            candidate = mould.draw(order)
            if candidate.casefold() != value.casefold():
                found[candidate] = None
        return list(found)

    def _mould(self, kind: SpanKind, value: str) -> "_Mould":
        """What lookalikes of that value are made of."""
        runs = _RUN.findall(value)
        peers = self._by_outline.get((kind, _outline(runs)), [])
        if len(peers) >= ENOUGH:
            same = [peer for peer in peers if form(peer) == form(runs)]
            nearest = same if len(same) >= ENOUGH else peers
            pieces = [
                _Piece(kind, run, there, self)
                for run, there in zip(runs, zip(*peers, strict=True), strict=True)
            ]
            return _Mould(pieces, nearest, list(zip(*nearest, strict=True)))
        theirs = [
            self._numbers.get((kind, len(run)), []) if run.isdecimal() else [run] for run in runs
        ]
        pieces = [_Piece(kind, run, there, self) for run, there in zip(runs, theirs, strict=True)]
        others = self.by_kind.get(kind, ())
        return _Mould(pieces, [], theirs, others if len(others) >= ENOUGH else ())

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
            for run in (run for value in values for run in _RUN.findall(value) if run.isdecimal()):
                found.setdefault((kind, len(run)), []).append(run)
        return found


@dataclass(frozen=True, repr=False)
class _Mould:
    """What lookalikes of one value are made of.

    Attributes:
        pieces: of the value.
        peers: others' values in as many pieces, which give what is shared; none: each piece is drawn by itself.
        places: what may stand in each place when there are no peers.
        others: whole values that serve when nothing could be changed.
    """

    pieces: "Sequence[_Piece]"
    peers: Sequence[Sequence[str]]
    places: Sequence[Sequence[str]]
    others: Sequence[str] = ()

    def draw(self, order: random.Random) -> str:
        """One lookalike; all in capitals, or all without, where the truth is."""
        if self.peers:
            peer = [
                run
                for together in self._together
                for run in order.choice(self.peers)[together.start : together.stop]
            ]
        else:
            peer = [
                order.choice(place) if place and piece.run.isdecimal() else piece.run
                for piece, place in zip(self.pieces, self.places, strict=True)
            ]
        drawn = "".join(
            piece.draw(there, order) for piece, there in zip(self.pieces, peer, strict=True)
        )
        truth = "".join(piece.run for piece in self.pieces)
        found = order.choice(self.others) if drawn == truth and self.others else drawn
        return found.upper() if truth.isupper() else found.lower() if truth.islower() else found

    @cached_property
    def _together(self) -> list[range]:
        """The places that one peer fills: those in which some peer is as the truth is, as many in a row as can be.

        Over a longer stretch the lookalikes would be what the model has read in one piece, and the truth is not. Each
        place by itself where some peer has the whole value.
        """
        found, sharing = list[range](), list(self.peers)
        for at, piece in enumerate(self.pieces):
            still = [peer for peer in sharing if piece.shares(peer[at])]
            if found and still:
                found[-1], sharing = range(found[-1].start, at + 1), still
            else:
                sharing = [peer for peer in self.peers if piece.shares(peer[at])]
                found.append(range(at, at + 1))
        if len(found) == 1 and not any(piece.is_new for piece in self.pieces):
            return [range(at, at + 1) for at in range(len(self.pieces))]
        return found


class _Piece:
    """Words with a space between, a number or a separator of a value, and what may stand in its place.

    It is new where nobody else has that number in that place, or a word of it anywhere.
    """

    def __init__(self, kind: SpanKind, run: str, theirs: Sequence[str], pool: Pool) -> None:
        self.kind, self.run, self.pool = kind, run, pool
        if run.isdecimal():
            self.is_new = run not in theirs
        else:
            self.is_new = run[0].isalpha() and not all(map(pool.has, run.split()))
        alike = [there for there in theirs if len(there) == len(run)]
        self.alike = alike if self.is_new and run.isdecimal() else []
        # so many first digits of a new number begin one of the others'
        self.shared = max((_common(run, number) for number in self.alike), default=0)
        self.words: list[tuple[str, ...]] = []  # others' at each place, where only order is new
        if not self.is_new and run not in theirs:
            words = run.split()
            as_many = [found for found in map(str.split, theirs) if len(found) == len(words)]
            self.words = list(zip(*as_many, strict=True))

    def shares(self, there: str) -> bool:
        """Whether a peer has this piece; what is new is asked of nobody."""
        return self.is_new or bool(self.words) or there == self.run

    def draw(self, peer: str, order: random.Random) -> str:
        """The peer's, or where this is new, another new one."""
        run, pool = self.run, self.pool
        if self.words:
            return " ".join(map(order.choice, self.words))
        if not self.is_new:
            return peer
        if not run.isdecimal():
            return " ".join(w if pool.has(w) else self._new(w, order) for w in run.split())
        if len(self.alike) < _FEW:
            return native(run, _fresh(run, order))
        start = peer if len(peer) == len(run) else order.choice(self.alike)
        digits = list(zip(run, *self.alike, strict=True))[self.shared :]
        return native(
            run, start[: self.shared] + "".join(_digit(*place, order=order) for place in digits)
        )

    def _new(self, word: str, order: random.Random) -> str:
        """Another word that nobody has; of a date's month another month, which the language knows as well."""
        made_up = self.pool.made_up
        names = months.others(word, made_up.words) if self.kind is SpanKind.DATE else []
        nobodys = [name for name in names if not self.pool.has(name)]
        if names:
            return cased(word, order.choice(nobodys if len(nobodys) >= _FEW else names))
        return made_up.like(word, order)


def ranked_among(pool: Pool, count: int, seed: int) -> Callable[[SpanKind, str], list[str]]:
    """What `encode` asks for a secret's rivals: `count` lookalikes from the pool."""
    order = random.Random(seed)
    return lambda kind, value: pool.lookalikes(kind, value, count, order)


def native(like: str, digits: str) -> str:
    """The digits, in the script (Arabic-Indic, Devanagari) in which another number is written."""
    zero = ord(like[0]) - int(like[0]) if like[:1].isdecimal() else ord("0")
    return "".join(chr(zero + int(c)) if c.isdecimal() else c for c in digits)


def _common(one: str, other: str) -> int:
    """How many first characters are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _digit(true: str, *others: str, order: random.Random) -> str:
    """One of the others' digits; where they have many and not the true one, one that they have not either."""
    if true not in others and len(set(others)) >= _FEW:
        return order.choice(sorted(set("0123456789").difference(str(int(o)) for o in others)))
    return order.choice(others)


def _fresh(number: str, order: random.Random) -> str:
    """As many digits, the first of them 0 only where it was."""
    least = 0 if number[0] == "0" else 1
    return "".join(str(order.randint(least if at == 0 else 0, 9)) for at in range(len(number)))


def _value(passage: Passage, span: SensitiveSpan) -> str:
    return passage.text.reveal()[span.start : span.end]
