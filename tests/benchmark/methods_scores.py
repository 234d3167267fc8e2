"""What `make methods` measures on a result: what is left of the forgotten people, what became of the others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

import torch

from tests.benchmark.methods_bench import Bench
from unlearning.attacks.exposure import exposure
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.groups import secrets
from unlearning.attacks.memorisation import accuracy, likelihoods
from unlearning.batches import endless
from unlearning.encoding import Encoded
from unlearning.fine_tuning import fine_tuned
from unlearning.models import Kind, LanguageModel
from unlearning.scoring import Target
from unlearning.statistics import student
from unlearning.utility import perplexity

RELEARN_STEPS, REBOUND_STEPS = 20, 60


@dataclass(frozen=True)
class Measured:
    """The scores of one model.

    Attributes:
        extraction: share of the forgotten secrets that are said, by form, the learnt one first; of a classifier, of
            the messages that are put in their class.
        exposure: bits of each forgotten person, over all forms.
        s_el, s_ma: over the learnt form.
        context: share of the tokens around the secrets that are the first choice, learnt form; a classifier has none.
        secret_nll: nats per token of the secrets, learnt form.
        others: share of the secrets of people in no loss that are said, all forms.
        perplexity: on text about nobody.
        relearnt: mean bits of half of the forgotten after training on the other half's passages.
        rebound: mean bits of all forgotten after training on neighbours only.
    """

    extraction: Mapping[str, float]
    exposure: tuple[float, ...]
    s_el: float
    s_ma: float
    context: float
    secret_nll: float
    others: float
    perplexity: float
    relearnt: float
    rebound: float

    @property
    def said(self) -> float:
        """Share of the forgotten secrets that are said, learnt form."""
        return next(iter(self.extraction.values()))

    @property
    def bits(self) -> float:
        """Mean exposure over the forgotten people."""
        return fmean(self.exposure)


def measure(bench: Bench, model: LanguageModel) -> Measured:
    """All scores of one model; the model stays as it is."""
    target = Target(model)
    learnt = bench.learnt
    target.scores([*(r for rows in bench.asked.values() for r in rows), *bench.others])
    scored = list(zip(learnt, target.scores(learnt), strict=True))
    around = [float(s.hit[_context(row)].float().mean()) for row, s in scored]
    secret_nll = [
        -float(
            s.log_probability[torch.tensor([t for t, f in enumerate(row.sensitive) if f])].mean()
        )
        for row, s in scored
    ]
    rebound = _trained(model, bench.trial.corpus.neighbours, REBOUND_STEPS, bench.rate)
    s_el = (
        [s for _, s in likelihoods(model, learnt, 10, 3) if s is not None]
        if model.kind is Kind.CAUSAL
        else []
    )
    return Measured(
        {form: _rate(target, rows) for form, rows in bench.asked.items()},
        tuple(bits_by_person(target, bench.asked).values()),
        fmean(s_el) if s_el else math.nan,
        fmean(accuracy(row, s)["s_ma"] for row, s in scored),
        fmean(around),
        fmean(secret_nll),
        _rate(target, bench.others),
        float(perplexity(target, bench.trial.retained).value),
        relearnt(bench, model),
        fmean(bits_by_person(Target(rebound), bench.asked).values()),
    )


def said_by_form(bench: Bench, model: LanguageModel) -> dict[str, float]:
    """Share of the forgotten secrets that are said, by form; less than `measure`, for what a row is compared with."""
    target = Target(model)
    return {form: _rate(target, rows) for form, rows in bench.asked.items()}


def said_of_others(bench: Bench, model: LanguageModel) -> float:
    """Share of the secrets of people in no loss that are said."""
    return _rate(Target(model), bench.others)


def bits_of(bench: Bench, model: LanguageModel) -> list[float]:
    """Mean bits of each forgotten person over all forms."""
    return list(bits_by_person(Target(model), bench.asked).values())


def said_again(bench: Bench, model: LanguageModel) -> float:
    """Share of half of the forgotten people's secrets that are said, all forms, after relearning the other half's."""
    half = _half(bench)
    shown = [row for row in bench.learnt if row.person in half]
    target = Target(_trained(model, shown, RELEARN_STEPS, bench.rate))
    rows = [r for rows in bench.asked.values() for r in rows if r.person not in half]
    return _rate(target, rows)


def relearnt(
    bench: Bench, model: LanguageModel, steps: int = RELEARN_STEPS, rate: float | None = None
) -> float:
    """Mean bits of half of the forgotten people after training on the other half's passages in the learnt form."""
    half = _half(bench)
    shown = [row for row in bench.learnt if row.person in half]
    again = _trained(model, shown, steps, rate or bench.rate)
    people = bits_by_person(Target(again), bench.asked)
    return fmean(bits for who, bits in people.items() if who not in half)


def _half(bench: Bench) -> set[str]:
    """The forgotten people who are taught again."""
    return {row.person for row in bench.learnt[: len(bench.learnt) // 2]}


def _context(row: Encoded) -> list[int]:
    """Tokens behind the name that are no secret and have something before them."""
    first = min(span.end for span in row.spans)
    return [t for t in range(first, len(row)) if not row.sensitive[t]]


def _rate(target: Target, rows: Sequence[Encoded]) -> float:
    return float(Extraction((0,)).rate(target, rows).value)


def bits_by_person(target: Target, asked: Mapping[str, Sequence[Encoded]]) -> dict[str, float]:
    """Mean bits of each forgotten person over all forms."""
    found: dict[str, list[float]] = {}
    with target.model.evaluating():
        for rows in asked.values():
            for _, row, span in secrets(rows):
                found.setdefault(row.person, []).append(exposure(target, row, span).bits)
    return {person: fmean(bits) for person, bits in found.items()}


def _trained(
    model: LanguageModel, rows: Sequence[Encoded], steps: int, rate: float
) -> LanguageModel:
    with model.evaluating():
        batches = islice(endless(rows, 16, torch.Generator().manual_seed(0)), steps)
        return fine_tuned(model, batches, rate, 0)


SPREAD, AUC_SPREAD, FREEDOM = 0.270, 0.094, 30
"""Standard deviations, between retrained models, of the forgotten people's mean bits and of the AUC that tells them
from people nobody has read, and their degrees of freedom: of the development seeds, `python -m
tests.benchmark.methods_spread`."""


def range_of(controls: Sequence[Measured]) -> tuple[float, float]:
    """Where the mean bits of the forgotten lie on one more retrained model: a two-sided 95 % prediction interval.

    No exposure is below 0 bits.
    """
    middle = fmean(control.bits for control in controls)
    half = _half_width(SPREAD, len(controls))
    return max(0.0, middle - half), middle + half


def auc_range_of(areas: Sequence[float]) -> tuple[float, float]:
    """The same of the AUC that tells the forgotten from people nobody has read, given those of retrained models."""
    middle, half = fmean(areas), _half_width(AUC_SPREAD, len(areas))
    return middle - half, middle + half


def _half_width(spread: float, models: int) -> float:
    return student(FREEDOM, 0.025) * spread * math.sqrt(1 + 1 / models)
