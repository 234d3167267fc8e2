"""The loop that gradient methods share: forget, and in the same step keep other people and the model's own voice.

Never forget first and repair afterwards: training on retained text alone brings the secret back (reference measurement:
S-MA .09 to .87).
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Protocol

import torch

from domain.outcomes import Trace
from unlearning.batches import Batch, batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.losses import kl_from, masked_mean, token_nll
from unlearning.methods.unlearned import (
    Clock,
    Unlearned,
    require_finite,
    require_finite_weights,
    seeded,
)
from unlearning.models import LanguageModel, copy_of
from unlearning.rehearsal import rehearse

ForgetLoss = Callable[
    [LanguageModel, list[Encoded], torch.Generator], tuple[torch.Tensor, dict[str, float]]
]
"""(the model being changed, forget passages, randomness) -> (loss, its terms as numbers)."""


class Knobs(Protocol):
    """What a method must have to use this loop; meanings in `SelectiveAscent`."""

    @property
    def retain(self) -> float: ...
    @property
    def rehearsal(self) -> float: ...
    @property
    def steps(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def batch(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def length(self) -> int: ...
    @property
    def budget_seconds(self) -> float: ...


def tune(  # noqa: PLR0917  called by name of the knobs' owner, once per method
    method: str,
    model: LanguageModel,
    corpus: Corpus,
    knobs: Knobs,
    forget_loss: ForgetLoss,
    reached: Callable[[Mapping[str, float]], bool],
    facts: Mapping[str, float],
) -> Unlearned:
    """Minimise forget + retain * KL(original || current) on neighbours + rehearsal * the same on the model's own text.

    Ends after `knobs.steps` optimiser steps, or as soon as `reached(terms)` holds before a step. Raises
    `UnlearningFailed` when there are no spans or no neighbours, a term is not finite, or the budget is spent.
    """
    corpus.require_spans()
    corpus.require_neighbours()
    with model.evaluating():
        clock, generator = Clock(method, knobs.budget_seconds), seeded(corpus.seed)
        said = rehearse(model, corpus, knobs.samples, knobs.length, generator)
        after = copy_of(model)
        optimizer = torch.optim.Adam(after.network.parameters(), lr=knobs.rate)
        batches = zip(
            endless(corpus.forget, knobs.batch, generator),
            endless(corpus.neighbours, knobs.batch, generator),
            endless(said or list(corpus.neighbours), knobs.batch, generator),
            strict=False,
        )
        rows: list[Mapping[str, float]] = []
        stopped = "steps"
        for forget, neighbours, spoken in islice(batches, knobs.steps):
            loss, row = forget_loss(after, forget, generator)
            keep = drift(model, after, batch_of(after, neighbours, generator))
            rehearsed = drift(model, after, batch_of(after, spoken, generator))
            row |= {
                "neighbours_kl": float(keep.detach()),
                "rehearsal_kl": float(rehearsed.detach()),
            }
            rows.append(row)
            require_finite(method, row)
            clock.require_time()
            if reached(row):
                stopped = "target"
                break
            optimizer.zero_grad(set_to_none=True)
            (loss + knobs.retain * keep + knobs.rehearsal * rehearsed).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(after.network.parameters(), 1.0)
            optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    require_finite_weights(method, after)
    facts = {**facts, "rehearsed": float(len(said))}
    return Unlearned(after, Trace(method, tuple(rows), stopped, clock.seconds, facts))


def drift(model: LanguageModel, after: LanguageModel, batch: Batch) -> torch.Tensor:
    """Mean KL(original || current) over the valid positions of a batch, in nats."""
    with torch.no_grad():
        reference = batch.logits(model)
    return kl_from(reference, batch.logits(after), batch.valid)


@torch.no_grad()
def stranger_nll(model: LanguageModel, corpus: Corpus) -> float:
    """Mean nll, in nats per token, of the secrets of people the model never saw."""
    batch = batch_of(model, corpus.controls, seeded(corpus.seed))
    return float(masked_mean(token_nll(batch.logits(model), batch.labels), batch.secret))
