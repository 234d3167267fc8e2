"""How unlikely each secret ought to be now: in the middle of strangers' values, asked for in the person's own place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from domain.records import SpanKind
from unlearning.batches import Batch
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, TokenSpan
from unlearning.levels import Levels
from unlearning.models import LanguageModel
from unlearning.ranking import of_many


class Goals:
    """Two-sided goals for the ascent on secrets, measured again as the model changes.

    `Levels` tells how unlikely strangers' values are to the original model, each in the stranger's own passage. The
    rank that an attacker reads off is another thing: among other values in the person's passage, to the model as it has
    become. There they can be likelier, where the model has come to hedge, and less likely, where only the last tokens
    were hard to guess; so that a secret at its level is the last of all in one corpus and among the first in another.
    Strangers' values are therefore asked for there, every few steps, and the secret goes where their median is: up to
    it token by token, in proportion to `Levels`; and back when it is less likely than three in four of them. They are
    values of the strangers from whom methods learn, drawn apart from those that the verdict ranks it among.

    A name, a secret for which no stranger has another value, and all of them when nobody looks, have a share of
    `Levels` for a cap.

    Args:
        corpus: the person's passages and the strangers'.
        levels: of that corpus, and of the excerpts.
        share: of the level, for what is not asked for.
        every: steps from one look to the next; 0: nobody looks.
        excerpts: the same corpus with excerpts, which are many: after the first look only some are asked for, in turn.
    """

    def __init__(
        self, corpus: Corpus, levels: Levels, share: float, every: int, excerpts: Corpus
    ) -> None:
        self._levels, self._share, self._every, self._turns = levels, share, every, 0
        self._asked, self._beside = (_asked(c) if every else [] for c in (corpus, excerpts))
        self._now: dict[tuple[object, int], _Goal] = {}

    def turn(self, model: LanguageModel) -> None:
        """To be called once a step: looks when it is time to."""
        look, due = divmod(self._turns, self._every or 1)
        if self._asked and due == 0:
            beside = self._beside[look % IN_TURN :: IN_TURN] if look else self._beside
            for asked, ends in ((self._asked, ENDS), (beside, BESIDE)):
                for (row, span), log_p in zip(asked, of_many(model, asked), strict=True):
                    goal = _goal(self._levels.within(row, span), -torch.tensor(log_p[1:]), ends)
                    if goal is not None:
                        self._now[row.key, span.start] = goal
        self._turns += 1

    def loss(
        self, rows: Sequence[Encoded], batch: Batch, nll: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """What the secrets of a batch lack and have too much, nats per secret token, with nll (B, P) of its labels ().

        A secret's tokens ascend, each to its own cap, until the whole of it is as unlikely as its goal.
        """
        caps = self._share * self._levels.of(rows, batch.shift, nll.device)
        place = torch.zeros(nll.shape, dtype=torch.long)  # number of the goal, from 1
        slack = [1.0]
        for number, row in enumerate(rows):
            for span in row.spans:
                goal = self._now.get((row.key, span.start))
                if goal is not None:
                    at = slice(max(0, span.start - batch.shift), span.end - batch.shift)
                    caps[number, at] = goal.caps.to(nll.device)
                    place[number, at] = len(slack)
                    slack.append(goal.slack)
        place = torch.where(batch.secret, place.to(nll.device), 0)
        own, end = _sums(nll, place, len(slack)), _sums(caps, place, len(slack))
        ascending = (place == 0) | (own < end)[place]
        short = ((caps - nll).clamp(min=0) * ascending * batch.secret).sum()
        over = (own - end * own.new_tensor(slack))[1:].clamp(min=0).sum()
        count = batch.secret.sum().clamp(min=1)
        terms = {
            "short_of_goal": float(short.detach() / count),
            "past_goal": float(over.detach() / count),
        }
        return (short + over) / count, terms


IN_TURN = 8
"""In so many looks every excerpt is asked for once."""
ENDS = (0.5, 0.75)
"""Shares of strangers' values: a secret goes where it is less likely than the first, and comes back past the second."""
BESIDE = (0.65, 0.85)
"""The same for excerpts. They stand for all texts in which nobody looks, and what is taught in some reaches others
weakened; nobody sees an excerpt itself."""
_LEAST = 1e-6  # nats


@dataclass(frozen=True)
class _Goal:
    """Of one secret: where each token's ascent ends, (L,) nats, and how many times their sum the whole may be."""

    caps: torch.Tensor
    slack: float


def _goal(level: torch.Tensor, nll: torch.Tensor, ends: tuple[float, float]) -> _Goal | None:
    """From the levels (L,) of its tokens and strangers' values' nll; None where none of these is possible at all."""
    nll = nll[nll.isfinite()]
    if not len(nll):
        return None
    goal, most = nll.quantile(nll.new_tensor(ends)).clamp(min=_LEAST)
    level = level + _LEAST
    return _Goal(level * (goal / level.sum()), float(most / goal))


def _asked(corpus: Corpus) -> list[tuple[Encoded, TokenSpan]]:
    """The person's secrets, with the values that strangers have in the same places to be asked for."""
    people: dict[str, list[tuple[int, ...]]] = {}
    for row in corpus.controls:
        people.setdefault(row.person, []).extend(row.ids[s.start : s.end] for s in row.spans)
    secrets = [(row, span) for row in corpus.forget for span in row.spans]
    twins = [values for values in people.values() if len(values) == len(secrets)]
    asked = []
    for number, (row, span) in enumerate(secrets):
        own = row.ids[span.start : span.end]
        others = {twin[number] for twin in twins} - {own, ()}
        if others and span.kind is not SpanKind.PERSON and row.asks(span):
            asked.append((row, replace(span, candidates=tuple(sorted(others)))))
    return asked


def _sums(values: torch.Tensor, place: torch.Tensor, count: int) -> torch.Tensor:
    """Sums of values (B, P) over each of the places 0 to count - 1, (count,)."""
    return values.new_zeros(count).index_add(0, place.flatten(), values.flatten())
