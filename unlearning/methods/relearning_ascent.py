"""Forget where relearning would take the weights: anchor distillation, and ascent on what an attacker would get back.

Ours, after first-order meta-learning (Finn et al. 2017) as tamper-resistant training uses it (Tamirisa et al. 2024,
arXiv 2408.00761). Every approximate method in the reference measurements gives the rest of the forgotten people back
when part of them is taught again. Here each step first teaches part of the passages again, on a copy, and then makes
the secrets of all of them unlikely at the weights the copy arrived at, as well as at its own; the gradient is taken
there and applied here.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.func import functional_call

from unlearning.batches import Batch, batch_of
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
from unlearning.losses import masked_mean, token_nll
from unlearning.methods.anchor_distillation import AnchorDistillation
from unlearning.models import LanguageModel
from unlearning.tuning import require_least
from unlearning.unlearned import Unlearned


@dataclass(frozen=True, kw_only=True)
class RelearningAscent(AnchorDistillation):
    """`AnchorDistillation` with a second term, the same goals at the weights after a simulated relearning.

    The second term alone overshoots: secrets end far less likely than a stranger's, which gives the person away. With
    the labels at the present weights they end near it (measured by `make methods`). Rehearsal takes more samples than
    elsewhere, because twice the push takes more people along who are in no list.

    Attributes:
        cap_share: as in `AnchorDistillation`, at either weights.
        inner_steps, inner_rate: of the Adam that relearns; where it runs, half of the passages is shown, another half
            each time.
        relearnt: weight of the term at the relearnt weights.
        every: steps from one relearning to the next; between them its displacement is used again.
        the rest: as in `AnchorDistillation`, `Rehearsed` and `Knobs`.
    """

    anchor: float = 0.5
    cap_share: float = 0.6
    inner_steps: int = 5
    inner_rate: float = 1e-3
    relearnt: float = 0.5
    every: int = 2
    steps: int = 80
    rate: float = 6e-4
    retain: float = 15.0
    rehearsal: float = 15.0
    samples: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, inner_steps=1, inner_rate=0, relearnt=0, every=1)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `AnchorDistillation` does."""
        pull, order = self.pull(model, corpus), random.Random(corpus.seed)
        taken: dict[str, torch.Tensor] = {}
        asked = 0

        def forget(
            after: LanguageModel, rows: list[Encoded], generator: torch.Generator
        ) -> tuple[torch.Tensor, dict[str, float]]:
            nonlocal taken, asked
            if asked % self.every == 0:
                taken = self._displacement(after, pull.heard.corpus, order)
            asked += 1
            pull.goals.turn(after)
            batch = batch_of(after, rows, generator)
            here, terms = pull.loss(rows, batch, batch.logits(after))
            nll = token_nll(_displaced(after, taken, batch), batch.labels)
            there, _ = pull.goals.loss(rows, batch, nll)
            terms["relearnt_nll"] = float(masked_mean(nll.detach(), batch.secret))
            return here + self.relearnt * there, terms

        return self.tuned("relearning_ascent", model, pull.heard, forget, self.reached, pull.facts)

    def _displacement(
        self, after: LanguageModel, corpus: Corpus, order: random.Random
    ) -> dict[str, torch.Tensor]:
        """How far relearning half of the passages moves each weight, by name."""
        shown = order.sample(list(corpus.forget), max(1, len(corpus.forget) // 2))
        with torch.enable_grad():  # the loop looks at its terms once without
            moved = fine_tuned(after, [shown] * self.inner_steps, self.inner_rate, corpus.seed)
        start = dict(after.network.named_parameters())
        return {n: p.detach() - start[n].detach() for n, p in moved.network.named_parameters()}


def _displaced(
    model: LanguageModel, moved: Mapping[str, torch.Tensor], batch: Batch
) -> torch.Tensor:
    """Logits (B, P, V) of a batch at weights + `moved`; their gradient reaches the weights themselves."""
    weights = {n: p + moved[n] for n, p in model.network.named_parameters()}
    return batch.logits(replace(model, network=_At(model.network, weights)))


class _At:
    """A network that reads with other weights than its own."""

    def __init__(self, network: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
        self.network, self.weights, self.device = network, weights, network.device

    def __call__(self, **inputs: Any) -> Any:
        return functional_call(self.network, dict(self.weights), kwargs=inputs)
