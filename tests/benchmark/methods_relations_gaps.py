"""The relations of the rows whose methods measure against helper models or learn in layers of their own.

Thresholds are those of the reference notes where this size of model can meet them, and otherwise say what it does;
they were fixed on the development seeds and are the same for every seed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, variance

import torch

from domain.errors import UnlearningFailed
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import Case, Options, Result
from tests.benchmark.methods_scores import range_of
from unlearning.batches import batch_of
from unlearning.corpus import Corpus
from unlearning.fusion import fuse, misfit
from unlearning.levels import Levels
from unlearning.losses import capped_ascent, masked_mean, token_nll
from unlearning.methods.eul import Eul, Learnt
from unlearning.methods.kga import Kga, gap
from unlearning.models import Kind, LanguageModel, copy_of
from unlearning.retaining import nameless
from unlearning.scoring import Target, said
from unlearning.statistics import student
from unlearning.tuning import secret_nll
from unlearning.unlearned import seeded
from unlearning.unlearning_layers import fold, outputs

ALIGNED, DRIFTED = 0.05, 0.05
LIKE_RETRAINED = 0.25
"""How far the strangers' gap may be from the retrained models' own, as a share of it.

The reference's 10 % were for fresh people of the same making. The strangers of an erasure are made up, and two
retrained models differ by 10 % already. A passage of one answer, as a classifier's, says too little for that: there it
is the 95 % interval of so many.
"""


def aligned(case: Case, r: Result) -> tuple[bool, str]:
    """The gap is where never-seen people's is, others are kept, and helpers that know little are refused."""
    bench, facts = case.bench, r.trace.facts
    corpus, knobs = bench.trial.corpus, Kga(**r.options)
    near = abs(facts["gap_end"] / facts["gap_strangers"] - 1) <= ALIGNED
    kept = facts["neighbours_kl_end"] <= DRIFTED
    helper = knobs.target(bench.model, corpus).helper
    own = [
        [gap(helper, bench.retrained(n), [row], corpus.seed) for row in corpus.forget]
        for n in range(bench.controls)
    ]
    level = fmean(map(fmean, own))
    spread = math.sqrt(fmean(map(variance, own)) * (1 + 1 / knobs.strangers) / len(corpus.forget))
    interval = student(len(corpus.forget) - 1, 0.025) * spread
    like = abs(facts["gap_strangers"] - level) <= max(LIKE_RETRAINED * level, interval)
    try:
        replace(knobs, helper_steps=3).target(bench.model, corpus)
        refused = False
    except UnlearningFailed:
        refused = True
    theirs, high = " and ".join(f"{fmean(g):.2f}" for g in own), range_of(case.controls)[1]
    return near and kept and like and refused and r.trace.stopped == "target", (
        f"gap {facts['gap_start']:.2f} to {facts['gap_end']:.2f}, strangers' {facts['gap_strangers']:.2f}, retrained "
        f"{theirs} (interval {interval:.2f}); KL on others {facts['neighbours_kl_end']:.3f}; weak helpers refused: "
        f"{refused}; {r.scores.bits:.2f} bits (retrained to {high:.2f}), secret nll {r.scores.secret_nll:.1f} "
        f"(retrained {case.level:.1f})"
    )


def each_loss_counts(case: Case, r: Result) -> tuple[bool, str]:
    """With one of the three losses left out each time, after as many steps or at the same level; two requests fused."""
    bench, steps = case.bench, len(r.trace.steps)
    corpus, as_long = bench.trial.corpus, {"steps": steps, "near": 9.0}
    arms: Mapping[str, Options] = {
        "language": as_long,
        "kl": as_long,
        "task": {"steps": 3 * steps},  # at the same level, which may take longer
    }
    full = _forgot(bench, r.model)
    share = _share(bench, r.model)
    kept = _said(bench, r.model)
    without = {}
    for name, more in arms.items():
        options = {**r.options, **more, name: 0.0}
        model = case.unlearned("eul", options)[0]
        without[name] = (_share(bench, model), _said(bench, model))
    level = secret_nll(bench.model, nameless(corpus.controls), corpus.seed)
    (unled, _), (loose, lost), (_, spared) = (without[name] for name in arms)
    counts = share > unled and (share > loose or kept > lost) and kept > spared
    band = abs(full / level - 1) <= 0.2 and r.trace.stopped == "target"
    held = case.kept(r.scores) if bench.model.kind is Kind.CAUSAL else _held(bench, r.model)
    fused, numbers = _fusion(case, Eul(**r.options))
    return counts and band and held >= 0.8 and fused, (
        f"secret nll {full:.1f} (strangers {level:.1f}), {share:.2f} of it token by token, without language "
        f"{unled:.2f}, without KL {loose:.2f}; others said {kept}, without KL {lost}, without task {spared}, in the "
        f"loss {_held(bench, r.model):.2f}; {numbers}"
    )


def runs_away(case: Case, r: Result) -> tuple[bool, str]:
    """The published form goes past what anybody's text has, and past where ours ends."""
    most = max(step.get("secret_nll", 0.0) for step in r.trace.steps)
    ours = case.result("eul")
    good = most > 2 * case.level and case.kept(r.scores) < case.kept(ours.scores)
    return good, (
        f"secret nll up to {most:.1f}, retrained {case.level:.1f}, ours {ours.scores.secret_nll:.1f}; kept "
        f"{case.kept(r.scores):.2f}, ours {case.kept(ours.scores):.2f}"
    )


def _said(bench: Bench, model: LanguageModel) -> float:
    """How many secrets of people who are to be kept are said, in the loss and out of it."""
    return said(Target(model), (*bench.trial.corpus.neighbours, *bench.others))


def _held(bench: Bench, model: LanguageModel) -> float:
    """Share of the secrets of people in the loss that are still said, of those that were."""
    rows = bench.trial.corpus.neighbours
    return said(Target(model), rows) / max(1, said(Target(bench.model), rows))


def _share(bench: Bench, model: LanguageModel) -> float:
    """Share of the strangers' level that the secret tokens have, each counted up to its own: `Eul`'s stop rule."""
    corpus = bench.trial.corpus
    levels = Levels(bench.model, corpus)
    batch = batch_of(model, corpus.forget, seeded(corpus.seed))
    cap = levels.of(corpus.forget, batch.shift, model.device)
    with model.evaluating(), torch.no_grad():
        nll = token_nll(batch.logits(model), batch.labels)
    short = capped_ascent(nll, batch.secret, cap) / masked_mean(cap, batch.secret)
    return 1 - float(short)


def _forgot(bench: Bench, model: LanguageModel) -> float:
    corpus = bench.trial.corpus
    return secret_nll(model, nameless(corpus.forget), corpus.seed)


def _fusion(case: Case, knobs: Eul) -> tuple[bool, str]:
    """Half of the people each, as two requests: nearest in every layer, and in what each half's secrets cost."""
    bench, corpus = case.bench, case.bench.trial.corpus
    half = len(corpus.forget) // 2
    parts = [replace(corpus, forget=rows) for rows in (corpus.forget[:half], corpus.forget[half:])]
    learnt = [knobs.learn(bench.model, part) for part in parts]
    by_layer = [
        ([one.layers[n] for one in learnt], [one.grams[n] for one in learnt])
        for n in range(len(learnt[0].layers))
    ]
    ways = {
        "fused": [fuse(layers, grams) for layers, grams in by_layer],
        "mean": [torch.stack(layers).mean(0) for layers, _ in by_layer],
        "sum": [torch.stack(layers).sum(0) for layers, _ in by_layer],
    }
    off = {
        way: sum(misfit(w, *given) for w, given in zip(made, by_layer, strict=True))
        for way, made in ways.items()
    }
    worst = {way: _worst(bench.model, made, learnt, parts) for way, made in ways.items()}
    nearest = off["fused"] <= min(off["mean"], off["sum"]) and worst["fused"] < worst["mean"]
    return nearest, "fusion " + ", ".join(f"{w} {off[w]:.0f} ({worst[w]:.2f} nats)" for w in ways)


def _worst(
    model: LanguageModel,
    layers: Sequence[torch.Tensor],
    learnt: Sequence[Learnt],
    parts: Sequence[Corpus],
) -> float:
    """The largest difference of a half's secret nll from what its own layers give, nats."""
    both = copy_of(model)
    fold(outputs("eul", both), layers)
    gaps = []
    for one, part in zip(learnt, parts, strict=True):
        rows = nameless(part.forget)
        gaps.append(abs(secret_nll(both, rows, 0) - secret_nll(one.unlearned.model, rows, 0)))
    return max(gaps)
