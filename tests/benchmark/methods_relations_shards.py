"""The relation of deletion by shards, which is exact. Thresholds are the reference notes', the same for every seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, variance

from domain.outcomes import Deletion
from domain.records import Passage
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import Case, Result
from unlearning import sharded
from unlearning.assignment import Source, load_key
from unlearning.deltas import learnt
from unlearning.encoding import Encoded
from unlearning.manifest import Manifest, read
from unlearning.models import LanguageModel
from unlearning.retaining import nameless
from unlearning.scoring import Target
from unlearning.statistics import student
from unlearning.tuning import secret_nll
from unlearning.utility import perplexity

GENTLER = (1.0, 0.4, 0.2)
"""Rates of the single adapter, as shares of the shards': the mean of eight deltas bears a higher one."""
DEARER = 1.01
"""Perplexity of eight shards over that of one adapter on everybody, at the best of three rates, at most."""


def exact_deletion(case: Case, r: Result) -> tuple[bool, str]:
    """Byte for byte a training without them; they are told as the unread are, as the base does it; shards cost little.

    The base has read neither: how the secrets of the two lie apart there is in the people, and left out. The mean of
    eight shards hardly knows a person whom one of them has read, so that the shards that held them are asked as well:
    those can tell them from the unread before, and must not after.
    """
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
    digests = {f"shard_{n}": learnt(s.digests()) for n, s in enumerate(never.shards) if s.files}
    digests |= {"base": never.base_sha256, "combined": never.combined_sha256}
    identical = dict(r.trace.digests) == digests and r.trace.deletion is Deletion.EXACT

    held = _shards_of(bench, manifest)
    known, sure = _mean(_taught(bench, held, manifest, base))
    left, unsure = _mean(_taught(bench, held, never, base))
    unlearnt = known < -sure and abs(left) <= unsure

    off, interval = _difference(bench, r.model)
    before, wide = _difference(bench, bench.model)
    born, _ = _difference(bench, base)
    people, sentences = bench.trial.controls, bench.trial.retained  # nobody has read them

    def told(model: LanguageModel) -> tuple[float, float, float]:
        parts = ((*people, *sentences), people, sentences)
        both, theirs, nobodys = (float(perplexity(Target(model), rows).value) for rows in parts)
        return both, theirs, nobodys

    shards = manifest.recipe
    one = replace(shards, shards=1, steps=shards.shards * shards.steps)
    rates = (share * shards.rate for share in GENTLER)
    singles = [trained(sources, recipe=replace(one, rate=rate))[1] for rate in rates]
    single = min(map(told, singles))
    cost, of_people, of_sentences = (
        ours / theirs for ours, theirs in zip(told(bench.model), single, strict=True)
    )
    return identical and unlearnt and abs(off - born) <= interval and cost <= DEARER, (
        f"identical bytes: {identical}; secret nll from that of people nobody has read, less the base's, to the shards "
        f"that held them {known:+.2f} (interval {sure:.2f}) before, {left:+.2f} ({unsure:.2f}) after; to the model "
        f"{off:+.2f} (the base {born:+.2f}, interval {interval:.2f}; before {before:+.2f}, {wide:.2f}); perplexity of "
        f"shards x{cost:.3f} (people x{of_people:.2f}, sentences x{of_sentences:.2f}; the base "
        f"x{told(base)[0] / single[0]:.3f}); {r.trace.facts['shards_changed']:.0f} of {len(manifest.shards)} shards "
        "trained again"
    )


def _shards_of(bench: Bench, manifest: Manifest) -> Mapping[str, int]:
    """The shard that held each of the forgotten."""
    gone = bench.trial.corpus.references
    people = {p.ref: p.person for p in bench.trial.corpus.texts() if isinstance(p, Passage)}
    return {
        people[reference]: number
        for number, shard in enumerate(manifest.shards)
        for reference in shard.references & gone
    }


def _taught(
    bench: Bench, held: Mapping[str, int], shards: Manifest, base: LanguageModel
) -> list[float]:
    """By person: the secrets' nll less the unread people's, to the shard in `held`, less the same to the base.

    A shard of which nothing is left is the base.
    """

    def apart(model: LanguageModel) -> Mapping[str, float]:
        unread = fmean(_by_person(model, bench.trial.controls).values())
        return {p: nll - unread for p, nll in _by_person(model, bench.trial.members).items()}

    born = apart(base)
    told = {
        number: apart(sharded.teacher_of(shards, number, base, bench.model.device.type))
        for number in set(held.values())
        if shards.shards[number].files
    }
    return [told.get(held[p], born)[p] - born[p] for p in born]


def _mean(values: Sequence[float]) -> tuple[float, float]:
    """And half of its 95 % interval."""
    spread = math.sqrt(variance(values) / len(values))
    return fmean(values), student(len(values) - 1, 0.025) * spread


def _difference(bench: Bench, model: LanguageModel) -> tuple[float, float]:
    """Mean nll of the forgotten people's secrets less the controls', nats per token, and half of its 95 % interval."""
    ours, theirs = (
        list(_by_person(model, rows).values())
        for rows in (bench.trial.members, bench.trial.controls)
    )
    spread = math.sqrt(variance(ours) / len(ours) + variance(theirs) / len(theirs))
    return fmean(ours) - fmean(theirs), student(min(len(ours), len(theirs)) - 1, 0.025) * spread


def _by_person(model: LanguageModel, rows: Sequence[Encoded]) -> Mapping[str, float]:
    people: dict[str, list[Encoded]] = {}
    for row in nameless(rows):
        people.setdefault(row.person, []).append(row)
    return {person: secret_nll(model, own, 0) for person, own in people.items()}
