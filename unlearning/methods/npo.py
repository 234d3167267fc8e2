"""Negative preference optimisation: ascent that stops by itself as a passage becomes less likely than it was."""

from dataclasses import dataclass

import torch

from unlearning.batches import Batch
from unlearning.corpus import Corpus
from unlearning.losses import npo, token_nll
from unlearning.models import LanguageModel
from unlearning.retaining import Objective, Retaining, forget_and_retain
from unlearning.tuning import require_knob
from unlearning.unlearned import Unlearned


@dataclass(frozen=True, kw_only=True)
class Npo(Retaining):
    """NPO (Zhang et al. 2024, arXiv 2404.05868): the passages are dispreferred against the original model.

    Attributes:
        beta: how soon it stops (the authors' 0.1); towards 0 it is plain ascent.
        the rest: as in `Retaining` and `Knobs`.
    """

    beta: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require_knob(fits=self.beta > 0, name="beta", remedy="it must be above zero.")

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed` as `forget_and_retain` does."""
        return forget_and_retain("npo", model, corpus, self, against(model, self.beta))


def against(model: LanguageModel, beta: float) -> Objective:
    """The NPO term, with `model` as it is for a reference."""

    def objective(batch: Batch, nll: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            reference = token_nll(batch.logits(model), batch.labels)
        return npo(nll, reference, mask, beta)

    return objective
