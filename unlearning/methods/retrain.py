"""The oracle: train the model again without the person, from a checkpoint or from nothing.

What every other method is measured against. Two such models are as far apart as their seeds make them, so compare with
several where that can be afforded.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Deletion, Trace
from unlearning.checkpoints import checkpoint_of
from unlearning.corpus import Corpus, words
from unlearning.models import LanguageModel
from unlearning.training import Pretraining
from unlearning.tuning import require_least
from unlearning.unlearned import Clock, Unlearned, require_finite, require_finite_weights


@dataclass(frozen=True)
class Retrain:
    """Train on the corpus without the person's spans: the corpus copy that Lethe has redacted.

    The recipe ought to be the one the model was made with; only its owner knows it, so every knob is the policy's. The
    data's order and, without a checkpoint, the first weights come from the corpus seed plus `seed`.

    Attributes:
        checkpoint: folder of the model as it was before it saw the person; empty starts from random weights.
        steps, batch, length, rate: of `Pretraining`.
        enough: stop when the loss, looked at every fifty steps, is at most this many nats; 0 runs all steps.
        seed: another one is another retrained model.
        budget_seconds: wall clock it may take.
    """

    checkpoint: str = ""
    steps: int = 3000
    batch: int = 16
    length: int = 96
    rate: float = 3e-3
    enough: float = 0.0
    seed: int = 0
    budget_seconds: float = 3600.0

    def __post_init__(self) -> None:
        require_least(self, steps=0, batch=1, length=2, rate=0, enough=0, budget_seconds=0)

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the retrained model.

        Raises `UnlearningFailed`: no training text at hand, a checkpoint that does not fit, divergence, over budget.
        """
        corpus.require_spans()
        texts = [text for text in corpus.texts() if not corpus.mentions(words(text))]
        if not texts:
            raise UnlearningFailed(
                Code.METHOD_INAPPLICABLE,
                place="method retrain",
                remedy="the text the model was trained on is not at hand; name its corpora in the catalog.",
            )
        clock, seed = Clock("retrain", self.budget_seconds), corpus.seed + self.seed
        rows: list[Mapping[str, float]] = []

        def report(_: int, loss: float) -> bool:
            rows.append({"loss": loss})
            require_finite("retrain", rows[-1])
            clock.require_time()
            return loss <= self.enough

        clock.require_time()
        with torch.random.fork_rng():  # first weights and dropout are drawn from the global state
            torch.manual_seed(seed)
            after = self._beginning(model)
            recipe = Pretraining(self.steps, self.batch, self.length, self.rate, seed=seed)
            taken = recipe.run(after, texts, every=min(50, self.steps), report=report)
        require_finite_weights("retrain", after)
        facts = {"texts": float(len(texts)), "steps": float(taken), "backward_passes": float(taken)}
        stopped = "target" if taken < self.steps else "steps"
        # of a checkpoint nobody knows here whom it saw
        made = Deletion.APPROXIMATE if self.checkpoint else Deletion.EXACT
        trace = Trace("retrain", tuple(rows), stopped, clock.seconds, facts, deletion=made)
        return Unlearned(after, trace)

    def _beginning(self, model: LanguageModel) -> LanguageModel:
        if not self.checkpoint:
            fresh = type(model.network)(copy.deepcopy(model.network.config))
            return replace(model, network=fresh.to(model.device))
        return checkpoint_of("retrain", model, self.checkpoint)
