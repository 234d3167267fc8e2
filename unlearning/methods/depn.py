"""DEPN: find the neurons that carry the secrets, and silence them (Wu et al. 2023, EMNLP)."""

from dataclasses import dataclass

import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Trace
from unlearning.attacks.groups import secrets
from unlearning.corpus import Corpus
from unlearning.models import LanguageModel, copy_of
from unlearning.neurons import Attribution, attribute, down_projections, mass, outgoing
from unlearning.retaining import nameless
from unlearning.scoring import Target, said
from unlearning.unlearned import Clock, Unlearned, digest_of


@dataclass(frozen=True)
class Depn:
    """Integrated gradients, votes across the person's secrets, and zeroed outgoing weights.

    Neurons are ranked by the number of secrets in which they reach `threshold` of the highest score, then by the sum of
    their scores. They are silenced in growing numbers until greedy decoding says no secret of the person, or until
    `share` of all neurons is reached. Extraction then is zero, but the rank of the secret usually stays high: a fast,
    explainable edit, to be judged by the attacks like any other.

    Attributes:
        share: the most neurons to silence, as a share of all.
        first: how many to silence at first; doubled until it suffices.
        threshold: share of a secret's highest score that counts as a vote (the authors' 0.1).
        points: points of the midpoint rule.
        budget_seconds: wall clock it may take.
    """

    share: float = 0.04
    first: int = 10
    threshold: float = 0.1
    points: int = 20
    budget_seconds: float = 3600.0

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the edited model. Raises `UnlearningFailed`: no spans, no feed-forward layers found, too slow."""
        corpus.require_spans()
        clock = Clock("depn", self.budget_seconds)
        after = copy_of(model)
        after.network.requires_grad_(False)
        found = []
        for _, row, span in secrets(nameless(corpus.forget)):
            found.append(attribute(after, row, span.start, span.end, self.points))
            clock.require_time()
        if not found:
            raise UnlearningFailed(
                Code.NO_SPANS,
                place="the person's passages",
                remedy="every secret stands at the very start of its text, where no neuron predicts it.",
            )
        ranked = self._ranked(found)
        modules, width = down_projections(after), found[0].scores.shape[1]
        most = min(len(ranked), max(self.first, round(self.share * found[0].scores.numel())))
        count, silenced, rows = min(self.first, most), 0, []
        while True:
            for index in ranked[silenced:count]:
                outgoing(modules[index // width])[index % width] = 0.0
            silenced = count
            left = said(Target(after), corpus.forget)
            rows.append({"neurons": float(silenced), "secrets_said": float(left)})
            if left == 0 or count == most:
                break
            count = min(2 * count, most)
            clock.require_time()
        after.network.requires_grad_(True)
        edited = digest_of(f"{i // width}:{i % width}" for i in sorted(ranked[:silenced]))
        facts = {
            "neurons": float(silenced),
            "completeness_gap": max(a.gap for a in found),
            **{f"mass_layer_{i}": float(m) for i, m in enumerate(mass(found))},
        }
        return Unlearned(
            after,
            Trace(
                "depn",
                tuple(rows),
                "target" if left == 0 else "steps",
                clock.seconds,
                facts,
                {"edited_neurons": edited},
            ),
        )

    def _ranked(self, found: list[Attribution]) -> list[int]:
        """Flat neuron numbers (layer * F + neuron) that got a vote, best first."""
        votes = torch.zeros_like(found[0].scores, dtype=torch.float64)
        total = torch.zeros_like(votes)
        for attribution in found:
            peak = attribution.scores.max()
            votes += (attribution.scores >= self.threshold * peak) & (attribution.scores > 0)
            total += attribution.scores
        order = (votes + total / (1 + total.abs().max() * 2)).flatten()
        best = torch.argsort(order, descending=True, stable=True).tolist()
        voted = votes.flatten() > 0
        return [i for i in best if bool(voted[i])]
