"""The relations of the methods that edit, each against controls of the same size; thresholds of the reference notes.

Behind each stands what became of the secrets of people whom no loss protects: of bystanders, and of those who share a
name with somebody forgotten (an edit may move the exposure of others while it lowers the person's: "privacy seesaw").
"""

import math
import random
from collections.abc import Mapping
from statistics import fmean

from domain.outcomes import Edit
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import KEPT, SAID, Case, Relation, Result
from tests.benchmark.methods_scores import (
    bits_of,
    range_of,
    said_again,
    said_by_form,
    said_of_others,
)
from unlearning.attacks.exposure import exposure
from unlearning.attacks.groups import secrets
from unlearning.models import LanguageModel
from unlearning.scoring import Target

SILENT, UNTOUCHED = 0.4, 0.9
"""DEPN on a batch of people: says at most so many secrets in any form, random neurons leave at least so many."""
PERSONAL, DEARER = 0.93, 1.02
"""DEPN: kept of others at least, rise of the loss on text about nobody at most."""
GAP = 0.01
READ, REGAINED = 0.4, 0.3
"""Layers in which nothing is looked up: said in unseen forms at least, and after relearning half."""
AHEAD = 0.2
"""How much more of others a vector on the secrets keeps than one on whole texts, at equal forgetting."""
UP_TO_ONE, SWEEP = (
    (0.25, 0.5, 0.75, 1.0),
    (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0),
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
    """DEPN, the row of that name, against as many random neurons of the same layers."""

    def relation(case: Case, r: Result) -> tuple[bool, str]:
        model, _ = case.unlearned("depn", {**case.options(name), "choose": "random"})
        most = max(r.scores.extraction.values())
        least = min(said_by_form(case.bench, model).values())
        kept, control = case.kept(r.scores), _kept(case, model)
        dearer = math.log(r.scores.perplexity) / math.log(case.original.perplexity)
        edit = _edit(r)
        gap = math.inf if edit.gap is None else edit.gap
        stopped = most <= SILENT and least >= UNTOUCHED
        return stopped and kept >= PERSONAL and dearer <= DEARER and gap <= GAP, (
            f"{edit.edited} of {edit.pieces} neurons: at most {most:.2f} said, random ones at least {least:.2f}; kept "
            f"{kept:.2f}, {control:.2f}; loss x{dearer:.3f}; completeness gap {gap:.4f}; mass {_masses(edit)}"
        )

    return relation


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
    """At first forgetting, against all vectors at a matched step size and as many drawn once."""
    options = case.options("pcgu")
    steps = len(r.trace.steps)
    runs = [
        case.unlearned("pcgu", {**options, "choose": "all", "rate": share * options["rate"]})
        for share in STEPS_ALIKE
    ]
    every = min(runs, key=lambda run: (run[1].stopped != "target", abs(len(run[1].steps) - steps)))
    drawn = case.unlearned("pcgu", {**options, "choose": "fixed"})
    kept, of_all, of_drawn = (case.kept(r.scores), _kept(case, every[0]), _kept(case, drawn[0]))
    reached = all(t.stopped == "target" for t in (r.trace, every[1], drawn[1]))
    return reached and kept > of_all and kept > of_drawn, (
        f"kept {kept:.2f} after {steps - 1} steps; all vectors {of_all:.2f} after {len(every[1].steps) - 1}, drawn "
        f"ones {of_drawn:.2f} after {len(drawn[1].steps) - 1}; {_edit(r).edited} of {_edit(r).pieces} vectors moved"
    )


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
    good = growing and at <= 1.5 and kept >= KEPT and kept >= plain + AHEAD
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
