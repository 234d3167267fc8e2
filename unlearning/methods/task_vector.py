"""Task vector: train on the secrets, and go the other way (F-Learning, Ni et al. 2024, ACL; the part that forgets)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from unlearning.batches import batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.levels import Levels, telling
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel
from unlearning.tuning import (
    Knobs,
    drift,
    require_knob,
    require_least,
    targets,
    tuning,
)
from unlearning.unlearned import Unlearned, seeded


@dataclass(frozen=True, kw_only=True)
class TaskVector(Knobs):
    """theta - strength * (theta_trained - theta), where theta_trained knows the secrets better still.

    What a model knows by heart has next to no gradient, so that training on it follows whatever is known least: in
    whole texts the words that nobody can know. At a `temperature` the loss is that of the logits divided by it, every
    token has its share, and a few large steps go straighter than many small ones.

    The strengths are tried in order, each from the original weights, and the first is taken at which the secrets are as
    unlikely as strangers'; or the last before other people's passages drift by more than `most_drift`. No retain term
    goes into the training: what it improves would be subtracted too. Full weights, or with `lora_rank` the product of
    the adapters. The paper then trains on new facts; here the redacted corpus is what the model may learn next.

    Attributes:
        strengths: the paper's lambda, in ascending order.
        spans: train on the secret tokens only; False, as published: on the whole text, whose unpredictable tokens take
            most of the vector at temperature 1.
        temperature: that the logits are divided by in training; 1 as published.
        most_drift: mean KL(original || current), nats, that neighbours' passages may drift.
        batch: passages per step.
        the rest: as in `Knobs`.
    """

    steps: int = 10
    strengths: tuple[float, ...] = tuple(n / 10 for n in range(2, 21))
    spans: bool = True
    temperature: float = 4.0
    most_drift: float = 0.1
    batch: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, batch=1, most_drift=0)
        require_knob(
            fits=0 < self.temperature < math.inf,
            name="temperature",
            remedy="it must be a number above 0.",
        )
        ordered = list(self.strengths) == sorted(self.strengths)
        require_knob(
            fits=bool(self.strengths) and ordered and all(0 < s < math.inf for s in self.strengths),
            name="strengths",
            remedy="name numbers above 0 in ascending order.",
        )

    def unlearn(self, model: LanguageModel, corpus: Corpus) -> Unlearned:
        """Return the model that has forgotten. Raises `UnlearningFailed`: no spans, no neighbours, as `Tuning` does."""
        facts = targets(model, corpus)
        corpus.require_neighbours()
        asked, generator = telling(model, corpus), seeded(corpus.seed)
        level = Levels(model, corpus).over(asked)
        with tuning("task_vector", model, self, corpus.seed) as running:
            after = running.after
            batches = islice(endless(asked, self.batch, generator), self.steps)

            def loss_of(rows: list[Encoded]) -> tuple[torch.Tensor, dict[str, float]]:
                batch = batch_of(after, rows, generator)
                nll = token_nll(batch.logits(after) / self.temperature, batch.labels)
                loss = masked_mean(nll, batch.secret if self.spans else batch.valid)
                return loss, {"trained_nll": float(loss.detach())}

            running.descend(batches, loss_of, rate=self.rate)
            running.finish()
            running.finish = lambda: None
            weights = dict(after.network.named_parameters())
            start = {n: p.detach() for n, p in model.network.named_parameters()}
            vector = {n: p.detach().float() - start[n].float() for n, p in weights.items()}
            taken, running.rows, running.stopped = 0.0, [], "steps"
            for strength in self.strengths:
                _move(weights, start, vector, strength)
                row = _terms(model, after, corpus, asked)
                running.rows.append({"strength": strength, **row})
                running.require_sound(row)
                running.clock.require_time()
                if taken and row["neighbours_kl"] > self.most_drift:
                    break
                taken = strength
                if row["secret_nll"] >= level:
                    running.stopped = "target"
                    break
            _move(weights, start, vector, taken)
            facts |= {"strength": taken, "never_seen_nll": level}
            return running.unlearned(facts)


@torch.no_grad()
def _move(
    weights: dict[str, torch.nn.Parameter],
    start: dict[str, torch.Tensor],
    vector: dict[str, torch.Tensor],
    strength: float,
) -> None:
    for name, weight in weights.items():
        weight.copy_(start[name].float() - strength * vector[name])


@torch.no_grad()
def _terms(
    model: LanguageModel, after: LanguageModel, corpus: Corpus, asked: Sequence[Encoded]
) -> dict[str, float]:
    forget = batch_of(after, asked, seeded(corpus.seed))
    nll = token_nll(forget.logits(after), forget.labels)
    neighbours = batch_of(after, corpus.neighbours, seeded(corpus.seed))
    return {
        "secret_nll": float(masked_mean(nll, forget.secret)),
        "neighbours_kl": float(drift(model, after, neighbours)),
    }
