"""The relations of edits that are judged on each person alone: DEPN's, and beside the batch rank demotion's.

Of a batch of people they take other people's secrets along. Thresholds are those of the reference notes.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import KEPT, SAID, Case, Options, Relation, Result
from tests.benchmark.methods_relations_editing import masses
from tests.benchmark.methods_scores import bits_of, range_of, said_by_form
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.methods import METHODS
from unlearning.models import LanguageModel, copy_of
from unlearning.neurons import down_projections, outgoing
from unlearning.scoring import Target
from unlearning.unlearned import seeded
from unlearning.utility import perplexity

Rows = tuple[tuple[Encoded, ...], tuple[Encoded, ...]]
"""Passages of who is forgotten, and strangers'."""

SILENT, UNTOUCHED = 0.3, 0.9
"""DEPN on one person: says at most so many secrets in any form, random neurons leave at least so many."""
PERSONAL, DEARER = 0.93, 0.035
"""DEPN: kept of others at least; rise of the loss on text about nobody at most, nats: 2 % of the reference's 1.74, for
the text here is known nearly by heart, and a share of next to nothing would say little."""
GAP = 0.01


def silences(name: str) -> Relation:
    """DEPN, the row of that name, on each person alone; against as many random neurons of the same layers. Means."""

    def relation(case: Case, r: Result) -> tuple[bool, str]:
        alone = [_alone(case, name, person) for person in _people(case.bench)]
        own, drawn, voted = (
            _Left.mean([getattr(a, arm) for a in alone]) for arm in ("own", "drawn", "voted")
        )
        dearer, gap = fmean(a.dearer for a in alone), max(a.gap for a in alone)
        stopped = max(own.said) <= SILENT and min(drawn.said) >= UNTOUCHED
        edit, batch = r.edit, max(r.scores.extraction.values())
        return stopped and own.kept >= PERSONAL and dearer <= DEARER and gap <= GAP, (
            f"alone, {fmean(a.neurons for a in alone):.0f} neurons, at most {max(own.said):.2f} said, kept "
            f"{own.kept:.2f}; random neurons {min(drawn.said):.2f}, "
            f"{drawn.kept:.2f}; ranked as published {max(voted.said):.2f}, {voted.kept:.2f}; loss {dearer:+.3f} nats; "
            f"completeness gap {gap:.4f}{_told_every(alone)}; as a batch {batch:.2f}, {case.kept(r.scores):.2f} by "
            f"{edit.edited} of {edit.pieces} neurons, mass {masses(edit)}"
        )

    return relation


@dataclass(frozen=True)
class _Left:
    """What is left: `said`, shares of the person's secrets by form, and `kept` of others."""

    said: Sequence[float]
    kept: float

    @classmethod
    def mean(cls, several: Sequence["_Left"]) -> "_Left":
        forms = zip(*(left.said for left in several), strict=True)
        return cls([fmean(form) for form in forms], fmean(left.kept for left in several))


@dataclass(frozen=True)
class _Alone:
    """One person: by the row's neurons, as many random ones of the same layers, as many by the published votes."""

    own: _Left
    drawn: _Left
    voted: _Left
    dearer: float
    gap: float
    neurons: int
    every: tuple[int, _Left] | None


def _alone(case: Case, name: str, person: str) -> _Alone:
    bench, corpus = case.bench, _corpus_of(case.bench, person)
    options = case.options(name)
    made = METHODS["depn"](**options).unlearn(bench.model, corpus)
    edit = made.trace.edit
    if edit is None:
        raise ValueError("the method says nothing of its edit")
    counts = [layer.edited for layer in edit.layers]
    published = {
        "again": False,
        "spared": 0,
        "share": edit.edited / edit.pieces,
        "pace": edit.pieces,
        "known": 0.0,
    }
    voted = METHODS["depn"](**{**options, **published}).unlearn(bench.model, corpus)
    ordinary = float(perplexity(Target(made.model), bench.trial.retained).value)
    gap = edit.gap
    return _Alone(
        _left(case, made.model, person),
        _left(case, _drawn(bench.model, counts, corpus.seed), person),
        _left(case, voted.model, person),
        math.log(ordinary / case.original.perplexity),
        math.inf if gap is None else gap,
        edit.edited,
        _in_every_form(case, options, person) if bench.model.masked else None,
    )


def _in_every_form(case: Case, options: Options, person: str) -> tuple[int, _Left]:
    """How many neurons it takes when all forms are attributed, and what is left: does another form have its own?"""
    corpus = _corpus_of(case.bench, person)
    rows = tuple(row for form in case.bench.asked.values() for row in _of(form, person))
    made = METHODS["depn"](**options).unlearn(case.bench.model, replace(corpus, forget=rows))
    edited = made.trace.edit.edited if made.trace.edit else 0
    return edited, _left(case, made.model, person)


def _told_every(alone: Sequence[_Alone]) -> str:
    found = [a.every for a in alone if a.every]
    if not found:
        return ""
    left = _Left.mean([one for _, one in found])
    return (
        f"; attributed in all forms, {fmean(n for n, _ in found):.0f} neurons, {max(left.said):.2f} said, "
        f"kept {left.kept:.2f}"
    )


def _left(case: Case, model: LanguageModel, person: str) -> _Left:
    said = said_by_form(_asking(case.bench, person), model)
    return _Left(list(said.values()), case.kept_by(model))


def _asking(bench: Bench, person: str) -> Bench:
    """The bench that asks for that person alone."""
    return replace(bench, asked={form: _of(rows, person) for form, rows in bench.asked.items()})


def _corpus_of(bench: Bench, person: str) -> Corpus:
    """What a method gets when that person asks alone: of every stranger the passages that answer the person's."""
    corpus = bench.trial.corpus

    def alone(forget: Sequence[Encoded], controls: Sequence[Encoded]) -> Rows:
        at = [n for n, row in enumerate(forget) if row.person == person]
        strangers: dict[str, list[Encoded]] = {}
        for row in controls:
            strangers.setdefault(row.person, []).append(row)
        twins = [rows for rows in strangers.values() if len(rows) == len(forget)]
        return tuple(forget[n] for n in at), tuple(rows[n] for rows in twins for n in at)

    def forms(texts: Iterable[str], count: int) -> Rows:
        wider = corpus.in_forms_of(texts, count)
        return alone(wider.forget, wider.controls)

    def cut(count: int) -> Rows:
        found = corpus.excerpts(count)
        return alone(found.forget, found.controls)

    own, strangers = alone(corpus.forget, corpus.controls)
    return replace(corpus, forget=own, controls=strangers, forms=forms, cut=cut)


def _people(bench: Bench) -> list[str]:
    return list(dict.fromkeys(row.person for row in bench.learnt))


def _of(rows: Sequence[Encoded], person: str) -> tuple[Encoded, ...]:
    return tuple(row for row in rows if row.person == person)


@torch.no_grad()
def _drawn(model: LanguageModel, counts: Sequence[int], seed: int) -> LanguageModel:
    """The model with so many neurons of each block silenced, drawn by the seed."""
    after, generator = copy_of(model), seeded(seed)
    for module, count in zip(down_projections(after), counts, strict=True):
        weights = outgoing(module)
        weights[torch.randperm(len(weights), generator=generator)[:count]] = 0.0
    return after


DRIFTS = (0.02, 0.05, 0.1, 0.2)
"""How far neighbours may drift, nats: the points of rank demotion's frontier."""


def demotes(case: Case, r: Result) -> tuple[bool, str]:
    """Rank demotion: in the retrained range, others kept; what less or more drift gives, and each person alone."""
    low, high = range_of(case.controls)
    options, kept = case.options("rank_demotion"), case.kept(r.scores)
    points = []
    for drift in DRIFTS:
        model, _ = case.unlearned("rank_demotion", {**options, "most_drift": drift})
        points.append(f"{drift:g}: {_state(case.bench, model)}, {case.kept_by(model):.2f}")
    made = {
        person: METHODS["rank_demotion"](**options)
        .unlearn(case.bench.model, _corpus_of(case.bench, person))
        .model
        for person in _people(case.bench)
    }
    left = _Left.mean([_left(case, model, person) for person, model in made.items()])
    bits = fmean(fmean(bits_of(_asking(case.bench, p), model)) for p, model in made.items())
    good = r.scores.bits <= high and kept >= KEPT and max(r.scores.extraction.values()) <= SAID
    return good, (
        f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), kept {kept:.2f}; frontier by drift: "
        f"{'; '.join(points)} kept; alone at most {max(left.said):.2f} said, {bits:.2f} bits, kept {left.kept:.2f}"
    )


def _state(bench: Bench, model: LanguageModel) -> str:
    return f"{max(said_by_form(bench, model).values()):.2f} said, {fmean(bits_of(bench, model)):.2f} bits"
