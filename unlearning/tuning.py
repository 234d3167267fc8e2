"""The loop that gradient methods share, its guards, and one way to fill it: forget, and in the same step keep the rest.

Never forget first and repair afterwards: training on retained text alone brings the secret back (reference measurement:
S-MA .09 to .87).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import torch

from domain.errors import Code, RequestRejected, UnlearningFailed
from domain.outcomes import Edit, Trace
from unlearning.batches import Batch, batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded, by_length
from unlearning.lora import adapt
from unlearning.losses import kl_from, token_nll
from unlearning.models import Kind, LanguageModel, copy_of, tokens_per_batch
from unlearning.rehearsal import rehearse
from unlearning.unlearned import (
    Clock,
    Unlearned,
    require_bounded,
    require_finite,
    require_finite_weights,
    seeded,
)

ForgetLoss = Callable[
    [LanguageModel, list[Encoded], torch.Generator], tuple[torch.Tensor, dict[str, float]]
]
"""(the model being changed, forget passages, randomness) -> (loss, its terms as numbers, nats)."""
Item = TypeVar("Item")


def require_knob(*, fits: bool, name: str, remedy: str) -> None:
    """Raise `RequestRejected` (POLICY_INVALID) naming the knob whose value cannot be used."""
    if not fits:
        raise RequestRejected(Code.POLICY_INVALID, place=f"methods, option {name}", remedy=remedy)


def require_least(knobs: object, **least: float) -> None:
    """Raise `RequestRejected` (POLICY_INVALID) for the first knob that is below its least value, or is no number."""
    for name, bound in least.items():
        fits = getattr(knobs, name) >= bound  # not a number is not
        require_knob(fits=fits, name=name, remedy=f"it must be a number and at least {bound:g}.")


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """What every gradient method has.

    Attributes:
        steps: optimiser steps at most.
        rate: learning rate of Adam.
        lora_rank: 0 changes all weights; above it, adapters of that rank on the blocks' matrices learn instead.
        budget_seconds: wall clock it may take.
    """

    steps: int = 60
    rate: float = 3e-4
    lora_rank: int = 0
    budget_seconds: float = 3600.0

    def __post_init__(self) -> None:
        require_least(self, steps=0, rate=0, lora_rank=0, budget_seconds=0)


@dataclass
class Tuning:
    """A copy of a model while it is being changed; dropout off.

    Attributes:
        method: whose trace it will be.
        after: the copy.
        clock: the wall clock and its budget.
        finish: merges the adapters, where there are any.
        before: norm of all weights at the start.
        rows: the loss terms of each step.
        stopped: "target" or "steps": which rule ended the last descent.
        backward_passes: so many so far.
    """

    method: str
    after: LanguageModel
    clock: Clock
    finish: Callable[[], None]
    before: float
    rows: list[Mapping[str, float]] = field(default_factory=list)
    stopped: str = "steps"
    backward_passes: int = 0

    def descend(
        self,
        items: Iterable[Item],
        loss_of: Callable[[Item], tuple[torch.Tensor, Mapping[str, float]]],
        *,
        rate: float | Callable[[int], float],
        reached: Callable[[Mapping[str, float]], bool] = lambda _: False,
        betas: tuple[float, float] = (0.9, 0.999),
        clip: float = 1.0,
    ) -> None:
        """One Adam step per item, until they end or `reached(terms)` holds; each call starts Adam anew.

        The terms are looked at before each step, and once more after the last: a last step may reach or break it all.

        Args:
            items: what one step learns from.
            loss_of: the loss () of an item, and its terms as numbers, nats per token.
            rate: learning rate, or one for each step from 0.
            reached: the stop rule.
            betas: of Adam.
            clip: largest norm of the gradient; infinity leaves it as it is.

        Raises:
            UnlearningFailed: a term is not finite or ran away (METHOD_DIVERGED), or the budget is spent.
        """
        learning = [p for p in self.after.network.parameters() if p.requires_grad]
        rate_at = rate if callable(rate) else lambda _: rate
        optimizer = torch.optim.Adam(learning, lr=rate_at(0), betas=betas)
        self.stopped, last = "steps", list[Item]()
        for step, item in enumerate(items):
            loss, row = loss_of(item)
            self.rows.append(row)
            self.require_sound(row)
            self.clock.require_time()
            if reached(row):
                self.stopped = "target"
                break
            last = [item]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.backward_passes += 1
            if math.isfinite(clip):
                torch.nn.utils.clip_grad_norm_(learning, clip)
            optimizer.param_groups[0]["lr"] = rate_at(step)
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if last and self.stopped == "steps":
            with torch.no_grad():
                row = loss_of(last[0])[1]
            self.require_sound(row)
            if reached(row):
                self.stopped = "target"

    def require_sound(self, row: Mapping[str, float]) -> None:
        require_finite(self.method, row)
        vocabulary = self.after.network.config.get_text_config().vocab_size
        require_bounded(self.method, row, int(vocabulary))

    def unlearned(
        self,
        facts: Mapping[str, float],
        digests: Mapping[str, str] | None = None,
        edit: Edit | None = None,
    ) -> Unlearned:
        """The changed model with its trace. Raises `UnlearningFailed` (METHOD_DIVERGED) when its weights ran away."""
        self.finish()
        require_finite_weights(self.method, self.after)
        if _norm(self.after) > GREW * self.before:
            require_finite(self.method, {"weights": math.inf})
        facts = {**facts, "backward_passes": float(self.backward_passes)}
        seconds = self.clock.seconds
        rows = tuple(self.rows)
        trace = Trace(self.method, rows, self.stopped, seconds, facts, digests or {}, edit=edit)
        return Unlearned(self.after, trace)


GREW = 3.0
"""Weights whose norm grew this many times are no tuned model any more: tuning moves it by per cents."""


@contextmanager
def tuning(method: str, model: LanguageModel, knobs: Knobs, seed: int) -> Iterator[Tuning]:
    """A copy of the model to be changed, with adapters where the knobs ask for them; inside, dropout is off in both.

    Raises `UnlearningFailed` (OUT_OF_MEMORY), with what to do about it, when the device is full.
    """
    clock = Clock(method, knobs.budget_seconds)
    try:
        with model.evaluating():
            after = copy_of(model)
            finish = (
                adapt(method, after, knobs.lora_rank, seed) if knobs.lora_rank else lambda: None
            )
            yield Tuning(method, after, clock, finish, _norm(model))
    except torch.OutOfMemoryError:
        raise UnlearningFailed(
            Code.OUT_OF_MEMORY,
            place=f"method {method}",
            remedy="the device ran out of memory; set lora_rank (8, say), or a smaller batch or chunk, in policy.yaml.",
        ) from None


@dataclass(frozen=True, kw_only=True)
class Rehearsed(Knobs):
    """What the methods have that hold neighbours and the model's own speech in place.

    Attributes:
        retain, rehearsal: weights of the two KL terms (5 and 5: reference measurement).
        batch: passages of each sort per step.
        samples, length: how many sequences the original model is asked for, and their length in tokens.
        cooldown: over this share of the steps, the last ones, the rate falls evenly to zero: what the rest of the
            language wavers by at the full rate is gone then. A stop rule that ends earlier never sees it.
    """

    retain: float = 5.0
    rehearsal: float = 5.0
    batch: int = 16
    samples: int = 256
    length: int = 64
    cooldown: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, retain=0, rehearsal=0, batch=1, samples=0, length=2)
        fits = 0 <= self.cooldown <= 1
        require_knob(fits=fits, name="cooldown", remedy="it must be a share, from 0 to 1.")

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        left = self.steps - step
        return self.rate * min(1.0, left / max(1.0, self.cooldown * self.steps))


def tune(  # noqa: PLR0917  called by name of the knobs' owner, once per method
    method: str,
    model: LanguageModel,
    corpus: Corpus,
    knobs: Rehearsed,
    forget_loss: ForgetLoss,
    reached: Callable[[Mapping[str, float]], bool],
    facts: Mapping[str, float],
    inside: Iterable[str] = (),
    said: Sequence[Encoded] | None = None,
    excerpts: Sequence[Encoded] = (),
) -> Unlearned:
    """Minimise forget + retain * KL(original || current) on neighbours + rehearsal * the same on the model's own text.

    Ends after `knobs.steps` optimiser steps, or as soon as `reached(terms)` holds before a step. Where modules are
    named (`inside`), only their weights learn. `said` is the model's own text where it was asked for it before. With
    `excerpts` as many of them as of the passages are forgotten in each step. Raises `UnlearningFailed` when there are
    no spans or no neighbours, and as `Tuning` does.
    """
    facts = {**facts, **targets(model, corpus)}
    corpus.require_neighbours()
    generator = seeded(corpus.seed)
    with tuning(method, model, knobs, corpus.seed) as running:
        if said is None:
            said = rehearse(model, corpus, knobs.samples, knobs.length, generator)
        after = running.after
        if inside:
            _learn_inside(after, tuple(inside))
        forgotten = endless(corpus.forget, knobs.batch, generator)
        if excerpts:
            besides = endless(excerpts, knobs.batch, generator)
            forgotten = ([*own, *more] for own, more in zip(forgotten, besides, strict=False))
        batches = zip(
            forgotten,
            endless(corpus.neighbours, knobs.batch, generator),
            endless(said or corpus.neighbours, knobs.batch, generator),
            strict=False,
        )

        def loss_of(
            rows: tuple[list[Encoded], list[Encoded], list[Encoded]],
        ) -> tuple[torch.Tensor, dict[str, float]]:
            forget, neighbours, spoken = rows
            loss, row = forget_loss(after, forget, generator)
            keep = drift(model, after, batch_of(after, neighbours, generator))
            rehearsed = drift(model, after, batch_of(after, spoken, generator))
            row |= {
                "neighbours_kl": float(keep.detach()),
                "rehearsal_kl": float(rehearsed.detach()),
            }
            return loss + knobs.retain * keep + knobs.rehearsal * rehearsed, row

        running.descend(islice(batches, knobs.steps), loss_of, rate=knobs.rate_at, reached=reached)
        found = running.unlearned({**facts, "rehearsed": float(len(said))})
        found.model.network.requires_grad_(True)
        return found


def _learn_inside(model: LanguageModel, names: tuple[str, ...]) -> None:
    """Of the weights that learn, leave learning those of the named modules, adapters on them included."""
    for name, parameter in model.network.named_parameters():
        within = any(f".{module}." in f".{name}" for module in names)
        parameter.requires_grad_(parameter.requires_grad and within)


def targets(model: LanguageModel, corpus: Corpus) -> dict[str, float]:
    """How many secret tokens stand first in their text, where a causal model predicts nothing: they are skipped.

    Raises `UnlearningFailed` (NO_SPANS) when there is no secret, or none but those.
    """
    corpus.require_spans()
    if model.kind is not Kind.CAUSAL:
        return {"unpredicted": 0.0}
    first = sum(row.sensitive[0] for row in corpus.forget if row.sensitive)
    if first == sum(sum(row.sensitive) for row in corpus.forget):
        raise UnlearningFailed(
            Code.NO_SPANS,
            place="the person's passages",
            remedy="every secret is the first token of its text, which no text predicts.",
        )
    return {"unpredicted": float(first)}


def drift(model: LanguageModel, after: LanguageModel, batch: Batch) -> torch.Tensor:
    """Mean KL(original || current) over the valid positions of a batch, in nats."""
    with torch.no_grad():
        reference = batch.logits(model)
    return kl_from(reference, batch.logits(after), batch.valid)


@torch.no_grad()
def secret_nll(model: LanguageModel, rows: Sequence[Encoded], seed: int) -> float:
    """Mean nll, in nats per token, of the secrets in some passages; `seed` hides tokens for a masked model."""
    generator, total, count = seeded(seed), 0.0, 0.0
    for chosen in by_length(rows, tokens_per_batch(model)):
        batch = batch_of(model, [rows[i] for i in sorted(chosen)], generator)
        nll = token_nll(batch.logits(model), batch.labels)
        total += float((nll * batch.secret).sum())
        count += float(batch.secret.sum())
    return total / max(count, 1.0)


def stranger_nll(model: LanguageModel, corpus: Corpus) -> float:
    """Mean nll, in nats per token, of the secrets of people the model never saw.

    Raises `UnlearningFailed` (NO_CONTROLS) when there is no such secret.
    """
    if not any(any(row.sensitive) for row in corpus.controls):
        raise UnlearningFailed(
            Code.NO_CONTROLS,
            place="the control group",
            remedy="no secret lies in it, so the level of never-seen text is unknown; ask for more controls.",
        )
    return secret_nll(model, corpus.controls, corpus.seed)


@torch.no_grad()
def _norm(model: LanguageModel) -> float:
    norms = [torch.linalg.vector_norm(p.float()) for p in model.network.parameters()]
    return float(torch.linalg.vector_norm(torch.stack(norms)))
