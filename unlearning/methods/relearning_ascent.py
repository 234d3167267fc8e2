"""Forget where relearning would take the weights: capped ascent on what an attacker would get back.

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
from unlearning.levels import Levels
from unlearning.losses import capped_ascent, masked_mean, token_nll
from unlearning.models import LanguageModel
from unlearning.tuning import Rehearsed, require_least, tune
from unlearning.unlearned import Unlearned


@dataclass(frozen=True, kw_only=True)
class RelearningAscent(Rehearsed):
    """`SelectiveAscent` with a second term of the same form, at the weights after a simulated relearning.

    Attributes:
        cap_share: each token's cap, as in `SelectiveAscent`.
        inner_steps, inner_rate: of the Adam that relearns; where it runs, half of the passages is shown, another half
            each time.
        relearnt: weight of the term at the relearnt weights; at the others it is one.
        every: steps from one relearning to the next; between them its displacement is used again.
        the rest: as in `Rehearsed` and `Knobs`.
    """

    cap_share: float = 0.9
    inner_steps: int = 5
    inner_rate: float = 1e-3
    relearnt: float = 1.0
    every: int = 2
    steps: int = 250
    rate: float = 1e-3
    retain: float = 10.0
    rehearsal: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, inner_steps=1, inner_rate=0, relearnt=0, every=1)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `tune` does."""
        corpus.require_spans()
        levels, order = Levels(model, corpus), random.Random(corpus.seed)
        taken: dict[str, torch.Tensor] = {}
        asked = 0

        def forget(
            after: LanguageModel, rows: list[Encoded], generator: torch.Generator
        ) -> tuple[torch.Tensor, dict[str, float]]:
            nonlocal taken, asked
            if asked % self.every == 0:
                taken = self._displacement(after, corpus, order)
            asked += 1
            batch = batch_of(after, rows, generator)
            cap = self.cap_share * levels.of(rows, batch.shift, after.device)
            here = token_nll(batch.logits(after), batch.labels)
            there = token_nll(_displaced(after, taken, batch), batch.labels)
            near, far = (capped_ascent(nll, batch.secret, cap) for nll in (here, there))
            return near + self.relearnt * far, {
                "secret_nll": float(masked_mean(here.detach(), batch.secret)),
                "relearnt_nll": float(masked_mean(there.detach(), batch.secret)),
                "short_of_cap": float(near.detach()),
            }

        def reached(_: Mapping[str, float]) -> bool:
            return False

        return tune("relearning_ascent", model, corpus, self, forget, reached, {})

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
