"""The relations of the methods that edit, each against controls of the same size; thresholds of the reference notes.

Behind each stands what became of the secrets of people whom no loss protects: of bystanders, and of those who share a
name with somebody forgotten (an edit may move the exposure of others while it lowers the person's: "privacy seesaw").
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch

from domain.outcomes import Edit
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import KEPT, SAID, Case, Options, Relation, Result
from tests.benchmark.methods_scores import (
    bits_of,
    range_of,
    said_again,
    said_by_form,
    said_of_others,
)
from unlearning.attacks.exposure import exposure
from unlearning.attacks.groups import secrets
from unlearning.corpus import Corpus
from unlearning.encoding import Encoded
from unlearning.methods import METHODS
from unlearning.models import LanguageModel, copy_of
from unlearning.neurons import down_projections, outgoing
from unlearning.scoring import Target
from unlearning.unlearned import seeded
from unlearning.utility import perplexity

SILENT, UNTOUCHED = 0.3, 0.9
"""DEPN on one person: says at most so many secrets in any form, random neurons leave at least so many."""
PERSONAL, DEARER = 0.93, 0.035
"""DEPN: kept of others at least; rise of the loss on text about nobody at most, nats: 2 % of the reference's 1.74, for
the text here is known nearly by heart, and a share of next to nothing would say little."""
GAP = 0.01
READ, REGAINED = 0.4, 0.3
"""Layers in which nothing is looked up: said in unseen forms at least, and after relearning half."""
AHEAD = 0.2
"""How much more of others a vector on the secrets keeps than one on whole texts, at equal forgetting."""
UP_TO_ONE, SWEEP = (
    (0.25, 0.5, 0.75, 1.0),
    (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0),
)


def seesaw(relation: Relation) -> Relation:
    """The relation, and behind its numbers the bits of the forgotten, of bystanders and of namesakes."""

    def told(case: Case, r: Result) -> tuple[bool, str]:
        holds, evidence = relation(case, r)
        before, after = (_bits_of_others(case.bench, m) for m in (case.bench.model, r.model))
        moved = "".join(f", {name} {before[name]:.2f} to {after[name]:.2f}" for name in before)
        return holds, (
            f"{evidence}; bits of the forgotten {case.original.bits:.2f} to {r.scores.bits:.2f}{moved}"
        )

    return told


def _bits_of_others(bench: Bench, model: LanguageModel) -> dict[str, float]:
    """Mean bits of people in no loss, first passage of each, by whether they share a name with a forgotten one."""
    first = {row.person: row for row in reversed(bench.others)}.values()
    names = {word for row in bench.learnt for name in row.names for word in name.split()}
    found: dict[str, list[float]] = {"bystanders": [], "namesakes": []}
    target = Target(model)
    with model.evaluating():
        for _, row, span in secrets(list(first)):
            alike = any(word in names for name in row.names for word in name.split())
            found["namesakes" if alike else "bystanders"].append(exposure(target, row, span)[0])
    return {who: fmean(bits) for who, bits in found.items() if bits}


def silences(name: str) -> Relation:
    """DEPN, the row of that name, on each person alone; against as many random neurons of the same layers. Means."""

    def relation(case: Case, r: Result) -> tuple[bool, str]:
        alone = [_alone(case, name, person) for person in _people(case.bench)]
        own, drawn, voted = (
            _Left.mean([getattr(a, arm) for a in alone]) for arm in ("own", "drawn", "voted")
        )
        dearer, gap = fmean(a.dearer for a in alone), max(a.gap for a in alone)
        stopped = max(own.said) <= SILENT and min(drawn.said) >= UNTOUCHED
        edit, batch = _edit(r), max(r.scores.extraction.values())
        return stopped and own.kept >= PERSONAL and dearer <= DEARER and gap <= GAP, (
            f"alone at most {max(own.said):.2f} said, kept {own.kept:.2f}; random neurons {min(drawn.said):.2f}, "
            f"{drawn.kept:.2f}; ranked as published {max(voted.said):.2f}, {voted.kept:.2f}; loss {dearer:+.3f} nats; "
            f"completeness gap {gap:.4f}; as a batch {batch:.2f}, {case.kept(r.scores):.2f} by {edit.edited} of "
            f"{edit.pieces} neurons, mass {_masses(edit)}"
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


def _alone(case: Case, name: str, person: str) -> _Alone:
    bench, corpus = case.bench, _corpus_of(case.bench, person)
    options = {**case.options(name), "share": 0.0}  # the first and no more
    made = METHODS["depn"](**options).unlearn(bench.model, corpus)
    voted = METHODS["depn"](**{**options, "spared": 0}).unlearn(bench.model, corpus)
    if made.trace.edit is None:
        raise ValueError("the method says nothing of its edit")
    counts = [layer.edited for layer in made.trace.edit.layers]
    ordinary = float(perplexity(Target(made.model), bench.trial.retained).value)
    gap = made.trace.edit.gap
    return _Alone(
        _left(case, made.model, person),
        _left(case, _drawn(bench.model, counts, corpus.seed), person),
        _left(case, voted.model, person),
        math.log(ordinary / case.original.perplexity),
        math.inf if gap is None else gap,
    )


def _left(case: Case, model: LanguageModel, person: str) -> _Left:
    asked = {form: _of(rows, person) for form, rows in case.bench.asked.items()}
    said = said_by_form(replace(case.bench, asked=asked), model)
    return _Left(list(said.values()), _kept(case, model))


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

    own, strangers = alone(corpus.forget, corpus.controls)
    return replace(corpus, forget=own, controls=strangers, forms=forms)


Rows = tuple[tuple[Encoded, ...], tuple[Encoded, ...]]


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


def _edit(r: Result) -> Edit:
    if r.trace.edit is None:
        raise ValueError("the method says nothing of its edit")
    return r.trace.edit


def _masses(edit: Edit) -> str:
    return " ".join(f"{layer.mass or 0:.2f}" for layer in edit.layers)


def _kept(case: Case, model: LanguageModel) -> float:
    return said_of_others(case.bench, model) / case.original.others


STEPS_ALIKE = (0.5, 0.2, 0.1, 0.05)
"""Shares of PCGU's rate at which all vectors move; the one is taken that needs the most similar number of steps."""


def moves_the_right_ones(case: Case, r: Result) -> tuple[bool, str]:
    """Each person alone, at first silence, against all vectors at a matched step size and as many drawn once. Means.

    As a batch everybody else's secrets go with the forgotten ones' whichever vectors move, and nothing is told apart.
    """
    options = case.options("pcgu")
    own = _first_silent(case, options)
    everywhere = {
        share: _first_silent(case, {**options, "choose": "all", "rate": share * options["rate"]})
        for share in STEPS_ALIKE
    }
    share = min(everywhere, key=lambda at: abs(everywhere[at].steps - own.steps))
    of_all, of_drawn = everywhere[share], _first_silent(case, {**options, "choose": "fixed"})
    silent = max(own.left.said) <= SAID
    ahead = own.left.kept > max(of_all.left.kept, of_drawn.left.kept)
    return silent and ahead, (
        f"alone {own}; all vectors at {share:g} of the rate {of_all}; drawn ones {of_drawn}; as a batch "
        f"{max(r.scores.extraction.values()):.2f} said, kept {case.kept(r.scores):.2f}, {_edit(r).edited} of "
        f"{_edit(r).pieces} vectors moved"
    )


@dataclass(frozen=True)
class _Silent:
    """What is left when the method stops, and after how many steps; means over people."""

    left: _Left
    steps: float

    def __str__(self) -> str:
        return f"{max(self.left.said):.2f} said, kept {self.left.kept:.2f} after {self.steps:.0f} steps"


def _first_silent(case: Case, options: Options) -> _Silent:
    """PCGU on each person alone, until nothing is said in the forms that it hears."""
    found = [
        METHODS["pcgu"](**options).unlearn(case.bench.model, _corpus_of(case.bench, person))
        for person in _people(case.bench)
    ]
    left = [
        _left(case, made.model, person)
        for made, person in zip(found, _people(case.bench), strict=True)
    ]
    return _Silent(_Left.mean(left), fmean(len(made.trace.steps) - 1 for made in found))


def looks_up(case: Case, r: Result) -> tuple[bool, str]:
    """The located layers against as many late ones and as many drawn from the others, same rate and steps."""
    options, layers = case.options("mechanistic"), _edit(r).layers
    located = [n for n, layer in enumerate(layers) if layer.edited]
    rest = [n for n in range(len(layers)) if n not in located]
    some = min(len(located), len(rest))
    late = rest[len(rest) - some :]
    drawn = sorted(random.Random(case.bench.trial.corpus.seed).sample(rest, some))
    unseen = _unseen(r.scores.extraction)
    again, kept = said_again(case.bench, r.model), case.kept(r.scores)
    arms = {}
    for chosen in dict.fromkeys((tuple(late), tuple(drawn))):  # which may be the same
        model, _ = case.unlearned("mechanistic", {**options, "layers": chosen})
        arms[chosen] = (
            _unseen(said_by_form(case.bench, model)),
            said_again(case.bench, model),
            _kept(case, model),
        )
    good = unseen <= SAID and again <= SAID and kept >= KEPT
    fails = any(said >= READ and back >= REGAINED for said, back, _ in arms.values())
    told = "; ".join(
        f"{'late' if chosen == tuple(late) else 'drawn'} {list(chosen)}: {said:.2f}, {back:.2f}, {own:.2f}"
        for chosen, (said, back, own) in arms.items()
    )
    return good and fails, (
        f"blocks {located}, unseen forms {unseen:.2f}, after relearning half {again:.2f}, kept {kept:.2f}; {told}; "
        f"mass {_masses(_edit(r))}"
    )


def _unseen(said: Mapping[str, float]) -> float:
    """Most that is said in a form that the method did not see."""
    return max(list(said.values())[1:])


def grows(case: Case, r: Result) -> tuple[bool, str]:
    """Forgetting over strengths, and others kept at the first at which nothing is said, on secrets and whole texts."""
    nll: list[float] = []
    first: dict[bool, tuple[float, float]] = {}
    for spans in (True, False):
        for strength in SWEEP:
            options = {**case.options("task_vector"), "spans": spans, "strengths": (strength,)}
            model, trace = case.unlearned("task_vector", options)
            if spans and strength <= 1:
                nll.append(trace.steps[-1]["secret_nll"])
            silent = next(iter(said_by_form(case.bench, model).values())) == 0
            if silent and spans not in first:
                first[spans] = strength, _kept(case, model)
            if spans in first and (strength >= 1 or not spans):
                break
    at, kept = first.get(True, (math.inf, 0.0))
    plain_at, plain = first.get(False, (math.inf, 0.0))
    growing = nll == sorted(nll) and nll[-1] > case.original.secret_nll
    good = growing and kept >= KEPT and kept >= plain + AHEAD
    return good, (
        f"nll {' '.join(f'{n:.1f}' for n in nll)} up to strength 1; nothing said from {at:g}, kept {kept:.2f}; on "
        f"whole texts from {plain_at:g}, {plain:.2f}; chosen strength {r.trace.facts['strength']:g} keeps "
        f"{case.kept(r.scores):.2f}"
    )


DRIFTS = (0.02, 0.05, 0.1, 0.2, 0.5)
"""How far neighbours may drift, nats: the points of the frontier."""


def demotes(name: str) -> Relation:
    """Rank demotion, the row of that name: in the retrained range, others kept; and what less or more drift gives."""

    def relation(case: Case, r: Result) -> tuple[bool, str]:
        low, high = range_of(case.controls)
        kept = case.kept(r.scores)
        points = []
        for drift in DRIFTS:
            model, _ = case.unlearned("rank_demotion", {**case.options(name), "most_drift": drift})
            bits = fmean(bits_of(case.bench, model))
            points.append(f"{drift:g}: {bits:.2f} bits, {_kept(case, model):.2f}")
        good = r.scores.bits <= high and kept >= KEPT and max(r.scores.extraction.values()) <= SAID
        return good, (
            f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), kept {kept:.2f}; frontier by drift: "
            f"{'; '.join(points)} kept"
        )

    return relation
