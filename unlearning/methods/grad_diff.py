"""Gradient difference: ascent on the person's passages, and descent or KL on other people's in the same step."""

from dataclasses import dataclass

from unlearning.corpus import Corpus
from unlearning.losses import ascent
from unlearning.models import LanguageModel
from unlearning.retaining import Retaining, forget_and_retain
from unlearning.unlearned import Unlearned


@dataclass(frozen=True, kw_only=True)
class GradDiff(Retaining):
    """GradDiff (Liu et al. 2022, arXiv 2203.12817) with retain term "ce", GA+KL (Maini et al. 2024, TOFU) with "kl".

    The forget term is minus the mean token nll; nothing bounds it.

    Attributes:
        beta: above 0, each token's ascent is weighed by its p^beta (WGA, Wang et al. 2025); 0 is plain ascent.
        the rest: as in `Retaining` and `Knobs`.
    """

    beta: float = 0.0

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `forget_and_retain` does."""
        return forget_and_retain(
            "grad_diff",
            model,
            corpus,
            self,
            lambda _, nll, mask: ascent(nll, mask, self.beta),
        )
