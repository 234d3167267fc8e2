"""DEPN: find the neurons that carry the secrets, and silence them (Wu et al. 2023, EMNLP)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Trace
from unlearning.attacks.groups import secrets
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.levels import telling
from unlearning.models import LanguageModel, copy_of
from unlearning.neurons import Attribution, attribute, down_projections, edit_of, outgoing
from unlearning.retaining import nameless
from unlearning.scoring import Target
from unlearning.tuning import require_knob, require_least
from unlearning.unlearned import Clock, Unlearned, seeded

FAINT = 0.01
"""Of the person's highest score: what is fainter than this in others counts as nothing."""
TOKENS, PLAIN = 4, 3.0
"""Of ordinary text so many tokens are attributed at a time, and count so much beside a neighbour's secret."""
Piece = tuple[Encoded, int, int]
"""A passage, and from where to where its sensitive tokens are asked."""


@dataclass(frozen=True)
class Depn:
    """Integrated gradients, a ranking across the person's secrets, and zeroed outgoing weights; in rounds.

    As published, secrets are attributed once and neurons ranked by the number of secrets in which they reach
    `threshold` of the highest score, then by the sum of their scores. Those that come first serve everybody's secrets,
    which silencing takes along, so here neurons are ranked by their mean score over the person's secrets as a multiple
    of that over other people's and ordinary text (`spared`). And once some are silent others carry the secret, which
    the first look could not see, so here it is attributed `again` before each round, and fewer neurons do. It ends
    when no secret is `known`, or at `share`. The rank of the secret usually stays high: a fast, explainable edit, to be
    judged by the attacks like any other.

    Attributes:
        share: the most neurons to silence, as a share of all.
        pace: how many to silence in a round, for each secret that is still known.
        known: a secret is while its probability, given the text before it, is at least this.
        again: attribute what is still known anew in each round; False, as published: everything once.
        threshold: share of a secret's highest score that counts as a vote (the authors' 0.1).
        spared: so many secrets of neighbours, one of a passage, are attributed too, and as many pieces of ordinary
            text; 0, or where there are no neighbours: ranked as published.
        points: points of the midpoint rule.
        budget_seconds: wall clock it may take.
    """

    share: float = 0.08
    pace: int = 5
    known: float = 0.01
    again: bool = True
    threshold: float = 0.1
    spared: int = 24
    points: int = 20
    budget_seconds: float = 3600.0

    def __post_init__(self) -> None:
        require_least(self, pace=1, known=0, threshold=0, spared=0, points=1, budget_seconds=0)
        require_knob(fits=0 <= self.share <= 1, name="share", remedy="it is a share, from 0 to 1.")

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the edited model. Raises `UnlearningFailed`: no spans, no feed-forward layers found, too slow."""
        corpus.require_spans()
        clock = Clock("depn", self.budget_seconds)
        with model.evaluating():
            after = copy_of(model)
        after.network.requires_grad_(False)
        own = [(row, span.start, span.end) for _, row, span in secrets(telling(model, corpus))]
        if not own:
            raise UnlearningFailed(
                Code.NO_SPANS,
                place="the person's passages",
                remedy="every secret stands at the very start of its text, where no neuron predicts it.",
            )
        others = self._attributed(after, self._beside(corpus), clock)
        plain = self._attributed(after, self._plain(corpus), clock)
        modules = down_projections(after)
        width = len(outgoing(modules[0]))
        most = max(1, round(self.share * len(modules) * width))
        found, order = list[Attribution](), list[int]()
        silenced, rows = dict[int, None](), list[dict[str, float]]()
        while True:
            left = _known(after, own, self.known)
            rows.append({"neurons": float(len(silenced)), "secrets_known": float(len(left))})
            if (silenced and not left) or len(silenced) == most:
                break
            left = left or own  # what is hardly said may still rank high: one round at least
            if self.again or not found:
                now = self._attributed(after, left if self.again else own, clock)
                order = ranked(now, others, plain, self.threshold)
                found += now
            room = min(self.pace * len(left), most - len(silenced))
            more = [index for index in order if index not in silenced][:room]
            if not more:
                break
            for index in more:
                outgoing(modules[index // width])[index % width] = 0.0
            silenced |= dict.fromkeys(more)
        after.network.requires_grad_(True)
        edit, digest = edit_of(after, (divmod(index, width) for index in silenced), found)
        facts = {
            "neurons": float(edit.edited),
            "compared": float(len(others)),
            "backward_passes": float(sum(a.backward_passes for a in [*found, *others, *plain])),
        }
        trace = Trace(
            "depn",
            tuple(rows),
            "steps" if rows[-1]["secrets_known"] else "target",
            clock.seconds,
            facts,
            {"edited_neurons": digest},
            edit=edit,
        )
        return Unlearned(after, trace)

    def _attributed(
        self, model: LanguageModel, asked: Iterable[Piece], clock: Clock
    ) -> list[Attribution]:
        found = []
        for row, start, end in asked:
            found.append(attribute(model, row, start, end, self.points))
            clock.require_time()
        return found

    def _beside(self, corpus: Corpus) -> Iterator[Piece]:
        """A secret of each of so many of the neighbours' passages, drawn by the seed; names are context."""
        generator = seeded(corpus.seed)
        order = torch.randperm(len(corpus.neighbours), generator=generator).tolist()
        for row in nameless([corpus.neighbours[n] for n in order[: self.spared]]):
            if found := [span for _, _, span in secrets([row])]:
                span = found[int(torch.randint(len(found), (), generator=generator))]
                yield row, span.start, span.end

    def _plain(self, corpus: Corpus) -> Iterator[Piece]:
        """`TOKENS` tokens of each of so many ordinary passages, drawn by the seed."""
        generator = seeded(corpus.seed)
        order = torch.randperm(len(corpus.ordinary), generator=generator).tolist()
        for row in (corpus.ordinary[n] for n in order[: self.spared]):
            start = int(torch.randint(1, max(2, len(row) - TOKENS + 1), (), generator=generator))
            end = min(len(row), start + TOKENS)
            if start < end:
                flags = tuple(start <= t < end for t in range(len(row)))
                yield replace(row, sensitive=flags), start, end


def _known(model: LanguageModel, asked: Sequence[Piece], least: float) -> list[Piece]:
    """Those whose probability, given the text before, is at least so high."""
    scored = Target(model).scores([row for row, _, _ in asked])
    return [
        (row, start, end)
        for (row, start, end), scores in zip(asked, scored, strict=True)
        if float(scores.log_probability[start:end].sum().exp()) >= least
    ]


def ranked(
    found: Sequence[Attribution],
    others: Sequence[Attribution],
    plain: Sequence[Attribution],
    threshold: float,
) -> list[int]:
    """Flat neuron numbers (layer * F + neuron) that carry something of the person, best first.

    Args:
        found: of the person's secrets, at least one.
        others: of other people's; where there are none, neurons are ranked by votes as published.
        plain: of ordinary text.
        threshold: of a vote, as in `Depn`.
    """
    own = torch.stack([a.scores.double() for a in found])  # (secrets, layers, neurons)
    if others:
        mean = own.mean(0).clamp(min=0)
        theirs = _mean(others) + (PLAIN * _mean(plain) if plain else 0.0)
        order = (mean / (theirs + FAINT * mean.max()).clamp(min=1e-12)).flatten()
    else:
        peaks, total = own.amax((1, 2), keepdim=True), own.sum(0)
        votes = ((own >= threshold * peaks) & (own > 0)).sum(0)
        order = ((votes + total / (1 + 2 * total.abs().max())) * (votes > 0)).flatten()
    best = torch.argsort(order, descending=True, stable=True).tolist()
    return [i for i in best if float(order[i]) > 0]


def _mean(found: Sequence[Attribution]) -> torch.Tensor:
    return torch.stack([a.scores.double().clamp(min=0) for a in found]).mean(0)
