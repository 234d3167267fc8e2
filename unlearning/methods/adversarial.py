"""Latent adversarial unlearning: forget a text even while a push on the hidden states tries to bring it back.

After LAU (Yuan et al. 2024, arXiv 2408.10682): AdvGA and AdvNPO. In each step the push of `unlearning.latent` lowers
the nll of the person's passages as far as it can, and the weights then raise it under that push, held fixed.
"""

from dataclasses import dataclass

import torch

from unlearning.batches import Batch
from unlearning.corpus import Corpus
from unlearning.latent import LatentAttack, pushed
from unlearning.losses import ascent, masked_mean, token_nll
from unlearning.methods.npo import against
from unlearning.models import LanguageModel
from unlearning.retaining import Retaining, forget_and_retain
from unlearning.tuning import require_knob, require_least
from unlearning.unlearned import Unlearned, seeded

BASES = ("ga", "npo")


@dataclass(frozen=True, kw_only=True)
class Adversarial(Retaining):
    """`grad_diff` or `npo` under a latent attack; without inner steps, or with radius 0, exactly those.

    The terms in the trace are those under the push. NPO's reference is not pushed, as in the authors' code.

    Attributes:
        base: "ga" (AdvGA) or "npo" (AdvNPO).
        beta: of NPO (0.1).
        layer, inner_steps, radius: `LatentAttack`'s layer, steps and radius. The authors' 4 of 32 blocks: take a
            shallow one of fewer. Their radius is 8 in absolute numbers.
        the rest: as in `Retaining` and `Knobs`; the authors' rate is 1e-6.
    """

    rate: float = 1e-6
    base: str = "npo"
    beta: float = 0.1
    layer: int = 4
    inner_steps: int = 6
    radius: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require_knob(
            fits=self.base in BASES,
            name="base",
            remedy=f"no such base; known are {', '.join(BASES)}.",
        )
        require_knob(fits=self.beta > 0, name="beta", remedy="it must be above zero.")
        require_least(self, layer=0, inner_steps=0, radius=0)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `forget_and_retain`, or for `layer`."""
        attack = LatentAttack(self.layer, self.inner_steps, self.radius)
        attack.block(model)
        generator = seeded(corpus.seed)  # of its own, so that the batches are those of the twin

        def read(after: LanguageModel, batch: Batch, mask: torch.Tensor) -> torch.Tensor:
            if attack.idle:
                return batch.logits(after)

            def forget_nll(logits: torch.Tensor) -> torch.Tensor:
                return masked_mean(token_nll(logits, batch.labels), mask)

            push = attack.push(after, batch, forget_nll, generator)
            with pushed(attack.block(after), push):
                return batch.logits(after)

        base = (
            against(model, self.beta)
            if self.base == "npo"
            else lambda _, nll, mask: ascent(nll, mask)
        )
        reading = 0 if attack.idle else self.inner_steps
        return forget_and_retain("adversarial", model, corpus, self, base, read, reading)
