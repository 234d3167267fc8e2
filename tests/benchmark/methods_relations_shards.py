"""The relations of the methods that live on shards: one clean teacher, and deletion that is exact.

Thresholds are those of the reference notes, taken relative to the retrained models, and the same for every seed.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, variance

from domain.errors import Code, UnlearningFailed
from domain.outcomes import Deletion
from domain.records import Passage
from tests.benchmark.exact import GENTLE, recipe_of
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import Case, Options, Result
from tests.benchmark.methods_scores import bits_of, range_of
from tests.benchmark.methods_teachers import DEPLOYED, PLANTED
from unlearning import sharded
from unlearning.assignment import Source, load_key
from unlearning.attacks.membership import Membership
from unlearning.deltas import WEIGHTS
from unlearning.encoding import Encoded
from unlearning.manifest import read
from unlearning.models import LanguageModel
from unlearning.retaining import nameless
from unlearning.scoring import Target
from unlearning.statistics import student
from unlearning.tuning import secret_nll
from unlearning.utility import perplexity

AS_UNKNOWN = 0.1
"""How far the AUC may lie from .5, or from where retrained models have theirs if that is further."""
DEARER = 1.01
"""Perplexity of eight shards over that of one adapter on everybody, at the best of three rates, at most."""


def exact_deletion(case: Case, r: Result) -> tuple[bool, str]:
    """Byte for byte what a training without the people gives; they are told as others are; shards cost little."""
    bench, options = case.bench, r.options
    manifest = read(bench.lies(options["shards"]))
    base = sharded.load_base(manifest, bench.model.device.type)
    key = load_key(Path(bench.lies(options["key"])))
    sources = [
        Source(p.ref, p.text.reveal(), (p.person,))
        for p in bench.trial.corpus.texts()
        if isinstance(p, Passage)
    ]
    trained = partial(sharded.train, base, "", key=key)
    gone = bench.trial.corpus.references
    never = trained([s for s in sources if s.reference not in gone], recipe=manifest.recipe)[0]
    digests = {f"shard_{n}": s.digests()[WEIGHTS] for n, s in enumerate(never.shards) if s.files}
    digests |= {"base": never.base_sha256, "combined": never.combined_sha256}
    identical = dict(r.trace.digests) == digests and r.trace.deletion is Deletion.EXACT

    off, interval = _difference(bench, r.model)
    before, wide = _difference(bench, bench.model)
    rows = (*bench.trial.controls, *bench.trial.retained)  # nobody has read them

    def told(model: LanguageModel) -> float:
        return float(perplexity(Target(model), rows).value)

    one = recipe_of(1, 1, 0)
    singles = [trained(sources, recipe=replace(one, rate=x))[1] for x in (one.rate, *GENTLE)]
    cost = told(bench.model) / min(map(told, singles))
    return identical and abs(off) <= interval and cost <= DEARER, (
        f"identical bytes: {identical}; secret nll {off:+.2f} from strangers' (interval {interval:.2f}; before "
        f"{before:+.2f}, {wide:.2f}); perplexity of shards x{cost:.3f}; {r.trace.facts['shards_changed']:.0f} of "
        f"{len(manifest.shards)} shards trained again"
    )


def _difference(bench: Bench, model: LanguageModel) -> tuple[float, float]:
    """Mean nll of the forgotten people's secrets less strangers', nats per token, and half of its 95 % interval."""
    ours, theirs = _by_person(model, bench.trial.members), _by_person(model, bench.trial.controls)
    spread = math.sqrt(variance(ours) / len(ours) + variance(theirs) / len(theirs))
    return fmean(ours) - fmean(theirs), student(min(len(ours), len(theirs)) - 1, 0.025) * spread


def _by_person(model: LanguageModel, rows: Sequence[Encoded]) -> list[float]:
    people: dict[str, list[Encoded]] = {}
    for row in nameless(rows):
        people.setdefault(row.person, []).append(row)
    return [secret_nll(model, own, 0) for own in people.values()]


def one_clean_teacher(case: Case, r: Result) -> tuple[bool, str]:
    """As a retrained model in what is said, exposure and membership; teachers that leak are refused, or shown up."""
    low, high = range_of(case.controls)
    area = told_apart(case.bench, r.model)
    never = [told_apart(case.bench, case.bench.retrained(n)) for n in range(2)]
    unknown = min(0.5, *never) - AS_UNKNOWN <= area <= max(0.5, *never) + AS_UNKNOWN
    leaky = {sort: _leaks(case, {**r.options, "shards": sort}) for sort in (DEPLOYED, PLANTED)}
    shown = all(refused and bits > high for refused, bits in leaky.values())
    like = case.unsaid(r.scores) and case.within(r.scores) and unknown
    told = ", ".join(
        f"{sort} {'refused' if refused else 'NOT refused'}, unchecked {bits:.2f} bits"
        for sort, (refused, bits) in leaky.items()
    )
    return like and shown, (
        f"{r.scores.bits:.2f} bits (retrained {low:.2f} to {high:.2f}), AUC {area:.2f} (retrained {never[0]:.2f} and "
        f"{never[1]:.2f}), kept {case.kept(r.scores):.2f}; teacher {told}"
    )


def told_apart(bench: Bench, model: LanguageModel) -> float:
    """AUC of the secrets' loss between the forgotten people's passages and strangers': 1 knows the forgotten."""
    found = Membership().run(Target(model), bench.trial.members, bench.trial.controls)
    area = next(s.contrast for s in found.scores if s.metric == "secret_loss")
    return area.value if area is not None else float("nan")


def _leaks(case: Case, options: Options) -> tuple[bool, float]:
    """Whether these teachers are refused, and the mean bits of the forgotten after one that nobody checked."""
    try:
        case.unlearned("loo_ensemble", options)
        refused = False
    except UnlearningFailed as failed:
        refused = failed.code is Code.METHOD_INAPPLICABLE
    model = case.unlearned("loo_ensemble", {**options, "clean": 0.0})[0]
    return refused, fmean(bits_of(case.bench, model))
