"""Forget with one term and keep with another: what the published baselines share, which differ in the first only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice, repeat

import torch

from domain.records import SpanKind
from unlearning.batches import Batch, batch_of, endless
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.losses import masked_mean, token_nll
from unlearning.models import LanguageModel
from unlearning.tuning import Knobs, drift, require_knob, require_least, targets, tuning
from unlearning.unlearned import Unlearned, seeded

RETAIN_TERMS = ("none", "ce", "kl")


@dataclass(frozen=True, kw_only=True)
class Retaining(Knobs):
    """What the baselines have; they minimise forget_weight * forget term + retain_weight * retain term.

    Attributes:
        retain_term: on neighbours' passages: "ce" their mean token nll, "kl" KL(original || current) at each of their
            tokens, "none".
        forget_weight, retain_weight: gamma and alpha of open-unlearning; 1 and 1 there.
        spans: only the secret tokens are forgotten; False, as published: the whole text.
        steps: the papers' 10 epochs over a forget set that is one batch.
        rate: the papers' 1e-5, for models of billions; small ones need more.
        batch: passages of each sort per step (the papers' 32).
    """

    steps: int = 10
    rate: float = 1e-5
    batch: int = 32
    retain_term: str = "ce"
    forget_weight: float = 1.0
    retain_weight: float = 1.0
    spans: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_least(self, batch=1, forget_weight=0, retain_weight=0)
        require_knob(
            fits=self.retain_term in RETAIN_TERMS,
            name="retain_term",
            remedy=f"no such term; known are {', '.join(RETAIN_TERMS)}.",
        )


Objective = Callable[[Batch, torch.Tensor, torch.Tensor], torch.Tensor]
"""(batch, nll (B, P) of its tokens, which of them to forget (B, P)) -> the forget term ()."""
Read = Callable[[LanguageModel, Batch, torch.Tensor], torch.Tensor]
"""(model, batch, which tokens are to be forgotten) -> logits (B, P, V)."""


def forget_and_retain(  # noqa: PLR0917  called by name of the knobs' owner, once per method
    method: str,
    model: LanguageModel,
    corpus: Corpus,
    knobs: Retaining,
    objective: Objective,
    read: Read = lambda model, batch, _: batch.logits(model),
    reading: int = 0,
) -> Unlearned:
    """Run `knobs.steps` steps of a baseline.

    Args:
        method: its name, for the trace.
        model: stays as it is.
        corpus: whom to forget; neighbours are needed where a retain term is.
        knobs: of the baseline.
        objective: its forget term.
        read: how the forget passages are read.
        reading: backward passes that takes.

    Raises:
        UnlearningFailed: no spans, no neighbours for the retain term, or as `Tuning` does.
    """
    facts = targets(model, corpus)
    if knobs.retain_term != "none":
        corpus.require_neighbours()
    generator = seeded(corpus.seed)
    with tuning(method, model, knobs, corpus.seed) as running:
        after = running.after
        neighbours = endless(corpus.neighbours, knobs.batch, generator)
        pairs = zip(
            endless(corpus.forget, knobs.batch, generator),
            repeat([]) if knobs.retain_term == "none" else neighbours,
            strict=False,
        )

        def loss_of(
            rows: tuple[list[Encoded], list[Encoded]],
        ) -> tuple[torch.Tensor, dict[str, float]]:
            batch = batch_of(after, rows[0], generator)
            mask = batch.secret if knobs.spans else batch.valid
            nll = token_nll(read(after, batch, mask), batch.labels)
            loss = knobs.forget_weight * objective(batch, nll, mask)
            terms = {
                "forget_nll": float(masked_mean(nll.detach(), mask)),
                "secret_nll": float(masked_mean(nll.detach(), batch.secret)),
            }
            if knobs.retain_term != "none":
                keep = retained(knobs.retain_term, model, after, rows[1], generator)
                terms[f"neighbours_{knobs.retain_term}"] = float(keep.detach())
                loss = loss + knobs.retain_weight * keep
            running.backward_passes += reading
            return loss, terms

        running.descend(islice(pairs, knobs.steps), loss_of, rate=knobs.rate)
        return running.unlearned(facts)


def retained(
    term: str,
    model: LanguageModel,
    after: LanguageModel,
    rows: list[Encoded],
    generator: torch.Generator,
) -> torch.Tensor:
    """The retain term of some passages, as in `Retaining`: () in nats per token; padding does not count."""
    batch = batch_of(after, rows, generator)
    if term == "kl":
        return drift(model, after, batch)
    return masked_mean(token_nll(batch.logits(after), batch.labels), batch.valid)


def marked(row: Encoded, keep: Callable[[int], bool]) -> Encoded:
    """The row with only those of its spans, by number, as secrets; the others become context."""
    spans = tuple(span for number, span in enumerate(row.spans) if keep(number))
    inside = {t for span in spans for t in range(span.start, span.end)}
    return replace(row, spans=spans, sensitive=tuple(t in inside for t in range(len(row))))


def nameless(rows: Sequence[Encoded]) -> tuple[Encoded, ...]:
    """The rows with names as context: what would be edited to forget a name is edited in all that is said of them."""
    return tuple(
        marked(row, [s.kind is not SpanKind.PERSON for s in row.spans].__getitem__) for row in rows
    )
