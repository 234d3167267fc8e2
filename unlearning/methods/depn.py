"""DEPN: find the neurons that carry the secrets, and silence them (Wu et al. 2023, EMNLP)."""

from dataclasses import dataclass

import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Trace
from unlearning.attacks.groups import secrets
from unlearning.corpus import Corpus
from unlearning.levels import telling
from unlearning.models import LanguageModel, copy_of
from unlearning.neurons import Attribution, attribute, down_projections, edit_of, outgoing
from unlearning.scoring import Target, said
from unlearning.tuning import require_knob, require_least
from unlearning.unlearned import Clock, Unlearned, seeded

CHOICES = ("attributed", "random")


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
        choose: "attributed"; for comparison "random", in the place of each the ranking names, one of its layer drawn by
            the seed.
        budget_seconds: wall clock it may take.
    """

    share: float = 0.04
    first: int = 10
    threshold: float = 0.1
    points: int = 20
    choose: str = "attributed"
    budget_seconds: float = 3600.0

    def __post_init__(self) -> None:
        require_least(self, share=0, first=1, threshold=0, points=1, budget_seconds=0)
        require_knob(
            fits=self.choose in CHOICES,
            name="choose",
            remedy=f"no such one; known are {', '.join(CHOICES)}.",
        )

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the edited model. Raises `UnlearningFailed`: no spans, no feed-forward layers found, too slow."""
        corpus.require_spans()
        clock = Clock("depn", self.budget_seconds)
        after = copy_of(model)
        after.network.requires_grad_(False)
        found = []
        for _, row, span in secrets(telling(model, corpus)):
            found.append(attribute(after, row, span.start, span.end, self.points))
            clock.require_time()
        if not found:
            raise UnlearningFailed(
                Code.NO_SPANS,
                place="the person's passages",
                remedy="every secret stands at the very start of its text, where no neuron predicts it.",
            )
        ranked, shape = self._ranked(found), found[0].scores.shape
        if self.choose == "random":
            ranked = _drawn(ranked, shape, corpus.seed)
        most = min(len(ranked), max(self.first, round(self.share * shape.numel())))
        silenced, rows = self._silence(after, ranked[:most], corpus, clock)
        after.network.requires_grad_(True)
        edit, digest = edit_of(after, silenced, found)
        facts = {
            "neurons": float(edit.edited),
            "backward_passes": float(sum(a.backward_passes for a in found)),
        }
        trace = Trace(
            "depn",
            tuple(rows),
            "steps" if rows[-1]["secrets_said"] else "target",
            clock.seconds,
            facts,
            {"edited_neurons": digest},
            edit=edit,
        )
        return Unlearned(after, trace)

    def _silence(
        self, after: LanguageModel, ranked: list[int], corpus: Corpus, clock: Clock
    ) -> tuple[list[tuple[int, int]], list[dict[str, float]]]:
        """Zero neurons, twice as many each round, until no secret is said; which (block, number), and the rounds."""
        modules = down_projections(after)
        neurons = [divmod(index, len(outgoing(modules[0]))) for index in ranked]
        count, silenced, rows = min(self.first, len(neurons)), 0, list[dict[str, float]]()
        while True:
            for layer, neuron in neurons[silenced:count]:
                outgoing(modules[layer])[neuron] = 0.0
            silenced = count
            left = said(Target(after), corpus.forget)
            rows.append({"neurons": float(silenced), "secrets_said": float(left)})
            if left == 0 or count == len(neurons):
                return neurons[:silenced], rows
            count = min(2 * count, len(neurons))
            clock.require_time()

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


def _drawn(ranked: list[int], shape: torch.Size, seed: int) -> list[int]:
    """As many neurons in the same layers and the same order of layers, drawn without putting back."""
    (layers, width), generator = shape, seeded(seed)
    hats = [torch.randperm(width, generator=generator).tolist() for _ in range(layers)]
    return [i // width * width + hats[i // width].pop() for i in ranked]
