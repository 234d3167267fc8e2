"""Simple negative preference optimisation: NPO per token and without a reference model."""

from dataclasses import dataclass

from unlearning.corpus import Corpus
from unlearning.losses import simnpo
from unlearning.models import LanguageModel
from unlearning.retaining import Retaining, forget_and_retain
from unlearning.tuning import require_knob
from unlearning.unlearned import Unlearned


@dataclass(frozen=True, kw_only=True)
class SimNpo(Retaining):
    """SimNPO (Fan et al. 2024, arXiv 2410.07163), as open-unlearning runs it on TOFU.

    Attributes:
        beta: how soon it stops (open-unlearning 4.5, the authors' 2.5).
        delta: margin in nats per token (0).
        forget_weight: gamma (open-unlearning .125, the authors' .1375). It keeps neighbours best and forgets slowest.
        the rest: as in `Retaining` and `Knobs`.
    """

    beta: float = 4.5
    delta: float = 0.0
    forget_weight: float = 0.125

    def __post_init__(self) -> None:
        super().__post_init__()
        require_knob(fits=self.beta > 0, name="beta", remedy="it must be above zero.")

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `forget_and_retain` does."""
        return forget_and_retain(
            "simnpo",
            model,
            corpus,
            self,
            lambda _, nll, mask: simnpo(nll, mask, self.beta, self.delta),
        )
