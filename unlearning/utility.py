"""What did erasing cost everything else: text about nobody, other people's records, fluency, and people like this one?

The verdict judges `perplexity` on text about nobody and the extraction of other people's secrets (`Utility`). What is
measured here beside them is shown, before and after. All of it comes from the shared pass; only the samples for
repetition cost more.
"""

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch

from domain.outcomes import Estimate
from unlearning.attacks.extraction import Extraction
from unlearning.attacks.groups import secrets
from unlearning.attacks.memorisation import ngrams
from unlearning.encoding import Encoded
from unlearning.generation import samples
from unlearning.models import Kind
from unlearning.scoring import Target
from unlearning.statistics import mean, share

SAMPLES, LENGTH = 16, 64
"""Texts drawn for repetition, and their tokens at most."""


def perplexity(target: Target, rows: Sequence[Encoded]) -> Estimate:
    """exp of the mean nll per token; the interval is that of the mean over passages. Trials are tokens."""
    parts = _nll(target, rows)
    tokens = sum(map(len, parts))
    average, spread = sum(float(p.sum()) for p in parts) / tokens, mean([_mean(p) for p in parts])
    half = (spread.high - spread.low) / 2
    return Estimate(_exp(average), _exp(average - half), _exp(average + half), tokens)


def accuracy(target: Target, rows: Sequence[Encoded]) -> Estimate:
    """Share of predicted tokens that are the model's first choice, a mean over passages."""
    found = []
    for scores in target.scores(rows):
        known = ~scores.log_probability.isnan()
        if bool(known.any()):
            found.append(float(scores.hit[known].float().mean()))
    return share(found)


def measures(
    target: Target,
    members: Sequence[Encoded],
    others: Sequence[Encoded],
    retained: Sequence[Encoded],
    groups: Mapping[str, str] | None = None,
) -> Mapping[str, Estimate]:
    """Perplexity of other people's passages, next-token accuracy, repetition, and gaps between people.

    `gap_worst` is the mean nll per token of the person the model reads worst, minus that of all other people, in nats;
    `gap_alike` the same of people like the one who is erased, minus the rest. It is their rise from before to after
    that says whether erasing one made the model worse for some (the question of FairSISA, Kadhe et al. 2023). So do
    `group_loss/<group>`, the mean nll per token of its people in nats, and `group_leak/<group>`, the share of their
    secrets that are said when asked for.

    Args:
        target: the model, with its scores.
        members: the person's passages, to see who is like them (`alike`).
        others: passages of people who are in no loss.
        retained: text about nobody.
        groups: person -> group, as somebody has named them; without any, "alike" are people like the one who is erased
            (`alike`), and "unlike" the rest. Nothing about a person is guessed.
    """
    with target.model.evaluating():
        return {
            "perplexity_others": perplexity(target, others),
            "accuracy": accuracy(target, retained),
            "accuracy_others": accuracy(target, others),
            **_gaps(target, members, others),
            **_by_group(target, others, groups or _parted(members, others)),
            **fluency(_drawn(target)),
        }


def fluency(texts: Sequence[Sequence[int]]) -> Mapping[str, Estimate]:
    """rep-4 and distinct-2 of generated tokens; nothing where no text is long enough.

    rep-4 = 1 - distinct 4-grams over 4-grams, a mean over texts (Welleck et al. 2020, seq-rep-4); distinct-2 = distinct
    2-grams of all texts together over all 2-grams (Li et al. 2016), which falls as well when all texts are the same.
    """
    repeated = [1 - len(set(grams)) / len(grams) for t in texts if (grams := ngrams(t, 0, 4))]
    pairs = [pair for text in texts for pair in ngrams(text, 0, 2)]
    if not repeated:
        return {}
    distinct = len(set(pairs)) / len(pairs)
    return {
        "repetition_4": share(repeated),
        "distinct_2": Estimate(distinct, distinct, distinct, len(texts)),
    }


def alike(members: Sequence[Encoded], others: Sequence[Encoded]) -> frozenset[str]:
    """The other people in whose texts a word of the person's name stands.

    Where those are none or all: who has secrets of every kind that the person has. Empty when that parts nobody either.
    """
    words = {w for row in members for name in row.names for w in _words(name) if len(w) > 2}
    kinds = {span.kind for row in members for span in row.spans}
    people = {row.person for row in others}
    theirs = {p: {s.kind for r in others if r.person == p for s in r.spans} for p in people}
    by_name = frozenset(row.person for row in others if words & _words(row.text))
    by_form = frozenset(person for person in people if theirs[person] >= kinds)
    return next((g for g in (by_name, by_form) if g and g < people), frozenset())


def _gaps(
    target: Target, members: Sequence[Encoded], others: Sequence[Encoded]
) -> Mapping[str, Estimate]:
    """The gaps in nats; each where there are two groups to compare."""
    losses = _losses(target, others)
    found = {}
    if near := alike(members, others) & losses.keys():
        one, rest = (
            mean([loss for person, loss in losses.items() if (person in near) is inside])
            for inside in (True, False)
        )
        gap, half = one.value - rest.value, math.hypot(one.high - one.value, rest.high - rest.value)
        found["gap_alike"] = Estimate(gap, gap - half, gap + half, len(losses))
    if len(losses) > 1:
        gap = max(losses.values()) - fmean(losses.values())
        found["gap_worst"] = Estimate(gap, gap, gap, len(losses))
    return found


def _parted(members: Sequence[Encoded], others: Sequence[Encoded]) -> Mapping[str, str]:
    near = alike(members, others)
    return {r.person: "alike" if r.person in near else "unlike" for r in others} if near else {}


def _by_group(
    target: Target, others: Sequence[Encoded], groups: Mapping[str, str]
) -> Mapping[str, Estimate]:
    """Loss and leak of each group that has anybody among the others."""
    losses, found = _losses(target, others), {}
    for group in sorted(set(groups.values())):
        people = [loss for person, loss in losses.items() if groups.get(person) == group]
        rows = [row for row in others if groups.get(row.person) == group]
        if people:
            found[f"group_loss/{group}"] = mean(people)
        if any(True for _ in secrets(rows)):
            found[f"group_leak/{group}"] = Extraction((0,)).rate(target, rows)
    return found


def _losses(target: Target, others: Sequence[Encoded]) -> Mapping[str, float]:
    """The mean nll per token of each person, in nats."""
    people: dict[str, list[torch.Tensor]] = {}
    for row in others:
        people.setdefault(row.person, []).extend(_nll(target, [row]))
    return {person: _mean(torch.cat(parts)) for person, parts in people.items() if parts}


def _drawn(target: Target) -> list[list[int]]:
    """Texts that the model says by itself, without start and end; none for a model that does not continue text."""
    model = target.model
    start, end = model.tokenizer.bos_token_id, model.tokenizer.eos_token_id
    if model.kind is not Kind.CAUSAL or (start is None and end is None):
        return []
    order = torch.Generator().manual_seed(target.seed)
    drawn = samples(model, SAMPLES, LENGTH, order)
    return [[token for token in text[1:] if token != end] for text in drawn]


def _nll(target: Target, rows: Sequence[Encoded]) -> list[torch.Tensor]:
    """The nll of each passage's predicted tokens, in nats; passages without any are left out."""
    found = [-s.log_probability[~s.log_probability.isnan()] for s in target.scores(rows)]
    return [nll for nll in found if len(nll)]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _mean(values: torch.Tensor) -> float:
    return float(values.mean())


def _exp(x: float) -> float:
    return math.exp(min(x, 80.0))
