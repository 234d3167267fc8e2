"""Mechanistic unlearning: change only the layers in which the secrets are looked up (Guo et al. 2025, ICML).

Where a fact is looked up, an edit holds in every wording of the question and is not undone by a little training; where
it is merely read out, later in the model, both fail. The authors find those layers by probes and path patching; here
they are the blocks whose feed-forward neurons carry the secrets by integrated gradients (`unlearning.neurons`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import torch

from domain.errors import Code, UnlearningFailed
from unlearning.attacks.groups import secrets
from unlearning.batches import Batch, batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, TokenSpan
from unlearning.levels import telling
from unlearning.losses import masked_mean, token_nll
from unlearning.methods.anchor_distillation import AnchorDistillation, Pull
from unlearning.models import LanguageModel
from unlearning.neurons import (
    Attribution,
    attribute,
    down_projections,
    edit_of,
    feed_forward,
    mass,
    outgoing,
)
from unlearning.tuning import require_knob, require_least, targets
from unlearning.unlearned import Clock, Unlearned, digest_of

LOSSES = ("anchor", "inject", "unlearn")
LOST = 5.0
"""Nats beyond which "unlearn" lets go of a token (the authors')."""


@dataclass(frozen=True, kw_only=True)
class Mechanistic(AnchorDistillation):
    """Train the feed-forward matrices of the fewest adjoining blocks that hold `mass` of the secrets' attribution.

    Attributes:
        loss: "anchor", the term of `AnchorDistillation`; "inject", as published, cross-entropy of a stranger's value in
            the place of the person's; "unlearn", as published, -log(1 - p). The published ones touch `telling` tokens.
        mass: share of the positive attribution that the blocks must hold.
        layers: numbers of the blocks instead, from 0.
        located: how many secrets are attributed at most.
        points: points of the midpoint rule.
        the rest: as in `AnchorDistillation`, `Rehearsed` and `Knobs`.
    """

    loss: str = "anchor"
    mass: float = 0.8
    layers: tuple[int, ...] = ()
    located: int = 24
    points: int = 20
    steps: int = 60
    cooldown: float = 0.0
    excerpts: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, located=1, points=1)
        require_knob(
            fits=self.loss in LOSSES,
            name="loss",
            remedy=f"no such loss; known are {', '.join(LOSSES)}.",
        )
        require_knob(
            fits=self.loss == "anchor" or not self.excerpts,
            name="excerpts",
            remedy="it must be 0 where loss is not anchor.",
        )
        require_knob(
            fits=0 < self.mass <= 1, name="mass", remedy="it is a share; above 0 and at most 1."
        )

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten.

        Raises `UnlearningFailed` as `AnchorDistillation` does, and where no feed-forward layers are found or a layer is
        named that the model does not have.
        """
        targets(model, corpus)
        matrices, clock = feed_forward(model), Clock("mechanistic", self.budget_seconds)
        require_knob(
            fits=all(0 <= layer < len(matrices) for layer in self.layers),
            name="layers",
            remedy=f"the model's blocks are 0 to {len(matrices) - 1}.",
        )
        pull = self.pull(model, corpus)
        asked = {row.key: row for row in telling(model, pull.heard.corpus)}
        places = list(secrets(list(asked.values()))) or list(secrets(corpus.forget))
        found = [] if self.layers else self._attributed(model, places, clock)
        chosen = sorted(set(self.layers)) or fewest(mass(found), self.mass)
        term = {"anchor": pull.loss, "inject": _injected(pull), "unlearn": _unlikely}[self.loss]

        def forget(
            after: LanguageModel, rows: list[Encoded], generator: torch.Generator
        ) -> tuple[torch.Tensor, dict[str, float]]:
            if self.loss == "anchor":
                pull.goals.turn(after)
            else:
                rows = [asked[row.key] for row in rows]
            batch = batch_of(after, rows, generator)
            return term(rows, batch, batch.logits(after))

        facts = {
            **pull.facts,
            "first_layer": float(chosen[0]),
            "last_layer": float(chosen[-1]),
            "located_by": float(sum(a.backward_passes for a in found)),
        }
        inside = [name for layer in chosen for name in matrices[layer]]

        def never(_: Mapping[str, float]) -> bool:
            return False

        made = self.tuned("mechanistic", model, pull.heard, forget, never, facts, inside)
        widths = [len(outgoing(module)) for module in down_projections(model)]
        neurons = ((layer, n) for layer in chosen for n in range(widths[layer]))
        edit, _ = edit_of(model, neurons, found)
        digests = {"edited_matrices": digest_of(inside)}
        return replace(made, trace=replace(made.trace, edit=edit, digests=digests))

    def _attributed(
        self, model: LanguageModel, places: list[tuple[int, Encoded, TokenSpan]], clock: Clock
    ) -> list[Attribution]:
        if not places:
            raise UnlearningFailed(
                Code.NO_SPANS,
                place="the person's passages",
                remedy="every secret stands at the very start of its text, where no neuron predicts it.",
            )
        found = []
        for _, row, span in places[:: -(-len(places) // self.located)]:
            found.append(attribute(model, row, span.start, span.end, self.points))
            clock.require_time()
        return found


def fewest(shares: list[float], least: float) -> list[int]:
    """The shortest run of adjoining layers that holds at least that share; of equally short ones the one with most."""
    ends = combinations(range(len(shares) + 1), 2)
    runs = [(end - start, -sum(shares[start:end]), start) for start, end in ends]
    length, _, start = min(run for run in runs if -run[1] >= least - 1e-6 or run[0] == len(shares))
    return list(range(start, start + length))


Term = Callable[[list[Encoded], Batch, torch.Tensor], tuple[torch.Tensor, dict[str, float]]]


def _injected(pull: Pull) -> Term:
    """Cross-entropy of what the model holds likeliest for a stranger in the place of each secret token."""

    def term(
        rows: list[Encoded], batch: Batch, logits: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, float]]:
        said = pull.anchors.of(rows, batch.shift, logits.device)
        other = said.scatter(-1, batch.labels[..., None], 0.0).argmax(-1)
        loss = masked_mean(token_nll(logits, other), batch.secret)
        return loss, _terms(batch, logits, injected_nll=float(loss.detach()))

    return term


def _unlikely(
    _: list[Encoded], batch: Batch, logits: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """-log(1 - p) of the secret tokens that are still likelier than exp(-LOST)."""
    left = batch.secret & (token_nll(logits.detach(), batch.labels) < LOST)
    rest = logits.scatter(-1, batch.labels[..., None], -torch.inf).logsumexp(-1)
    loss = masked_mean(logits.logsumexp(-1) - rest, left)  # from logits: 1 - p is 0 in floats
    return loss, _terms(batch, logits, still_likely=float(left.sum()))


def _terms(batch: Batch, logits: torch.Tensor, **more: float) -> dict[str, float]:
    nll = token_nll(logits.detach(), batch.labels)
    return {"secret_nll": float(masked_mean(nll, batch.secret)), **more}
