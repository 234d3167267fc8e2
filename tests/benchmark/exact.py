"""`make exact`: what exact deletion costs and gives, against the law of SISA; prints a table, writes out/exact.json.

A base that has read other people's records of the same form (without that an adapter cannot learn the form) is
fine-tuned on 24 people as shards. For each layout one person after the other is taken out, each from the whole.
Law: (1/S)(2/3 + 1/(3R)) of a training for one person, 1 - (1 - 1/S)^K for a batch of K with R = 1 (Bourtoule et al.
2021, expected values), in steps and in seconds; 1 - 1/(2E) for replay of a run of E rounds. Perplexity is compared with
one adapter on everybody, for as many steps as eight shards take and at the best of three rates: the mean of eight
deltas bears a higher rate than one. At rank 0 the shards learn all weights, and so does the one they are held against.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, variance
from typing import NamedTuple

import torch

from flows.fiction import Person
from tests import tiny
from tests.benchmark.methods_shards import OWN
from unlearning import models, sharded, training
from unlearning.assignment import Source
from unlearning.batches import batch_of
from unlearning.encoding import Encoded, encode
from unlearning.losses import masked_mean, token_nll
from unlearning.manifest import Manifest
from unlearning.models import LanguageModel
from unlearning.recipe import Recipe
from unlearning.unlearned import seeded

OUT = Path("out/exact.json")
PEOPLE, STEPS, RATE, RANK = 24, 32, 1.5e-3, 8
PUBLIC, PRETRAINING = 120, 1000
"""People of its own whom the base has read, and its steps: it knows the form, as a base to fine-tune ought to.

What it does not know yet, all shards have to learn from a few people each.
"""
GENTLE = (3e-4, 6e-4)
WHOLE = (4e-4, 1e-4, 2e-4)
"""Highest rates where all weights learn: of the shards and of one training, and two more of the latter."""


class Layout(NamedTuple):
    """Shards, slices, steps between points for replay, people in a batch, rank of the adapters."""

    shards: int
    slices: int
    every: int
    batch: int
    rank: int = RANK


LAYOUTS = tuple(
    Layout(*given)
    for given in ((8, 1, 0, 1), (8, 1, 0, 4), (4, 3, 0, 1), (1, 1, 4, 1), (8, 1, 0, 1, 0))
)


@dataclass(frozen=True)
class Line:
    """One layout. Shares are of a full training; nll in nats per token of secrets; perplexity against one adapter."""

    shards: int
    slices: int
    every: int
    batch: int
    rank: int
    law: float
    steps: float
    seconds: float
    identical: bool
    erased_nll: float
    unknown_nll: float
    interval: float
    perplexity_cost: float

    @property
    def alike(self) -> bool:
        """Whether those taken out are told no better and no worse than people never seen."""
        return abs(self.erased_nll - self.unknown_nll) <= self.interval


def law(shards: int, slices: int, batch: int) -> float:
    """The expected share of a full training; of replay, of which the first round is half spared."""
    if shards == 1:
        return 1 - 1 / (2 * 8 * STEPS * Recipe.batch / (3 * PEOPLE))
    if batch > 1:
        return 1 - (1 - 1 / shards) ** batch
    return (2 / 3 + 1 / (3 * slices)) / shards


def recipe_of(shards: int, slices: int, every: int, rate: float = RATE, rank: int = RANK) -> Recipe:
    """One adapter takes as many steps as eight shards do."""
    steps = STEPS * (8 if shards == 1 else 1)
    return Recipe(
        shards=shards, slices=slices, every=every, steps=steps, rank=rank, rate=rate, near=2.0
    )


@dataclass(frozen=True)
class World:
    """The base, the documents, whom it is about, and what was trained on all of them so far."""

    base: LanguageModel
    sources: list[Source]
    place: tiny.Town
    trained: dict[str, tuple[Manifest, LanguageModel, float, int]] = field(default_factory=dict)

    def whole(self, recipe: Recipe) -> tuple[Manifest, LanguageModel, float, int]:
        """Trained on everybody: manifest, model, seconds, steps."""
        if repr(recipe) not in self.trained:
            started = time.monotonic()
            made = sharded.train(self.base, "", self.sources, recipe=recipe, key=OWN)
            seconds, steps = time.monotonic() - started, sum(made[2].steps.values())
            self.trained[repr(recipe)] = (made[0], made[1], seconds, steps)
        return self.trained[repr(recipe)]

    def references(self, people: Sequence[int]) -> frozenset[str]:
        labels = {str(n) for n in people}
        return frozenset(s.reference for s in self.sources if labels & set(s.people))


def world(steps: int, seed: int = 11, public: int = PUBLIC) -> World:
    """The base knows the form from people of its own; of the unknown ones it has read nobody."""
    place, read_of = tiny.town(PEOPLE, seed=seed), tiny.town(public, seed=seed + 1)
    read = read_of.documents
    tokenizer = training.train_tokenizer([*read, *place.documents], 420)
    with torch.random.fork_rng():
        base = training.new_model(tokenizer, width=64, layers=2, context=128, seed=0)
    training.Pretraining(steps=steps, batch=8, length=96, rate=6e-3).run(base, read)
    texts = [(str(n), text) for n, p in enumerate(place.known) for text in p.documents()]
    sources = [Source(f"a.jsonl#{n}", text, (who,)) for n, (who, text) in enumerate(texts, 1)]
    return World(models.copy_of(base), sources, place)


def measure(here: World, layout: Layout, single: float, count: int) -> Line:
    """Train the layout, take out `count` batches of people, each from the whole, and compare."""
    shards, slices, every, batch, rank = layout
    recipe = recipe_of(shards, slices, every, RATE if rank else WHOLE[0], rank)
    whole, model, full, full_steps = here.whole(recipe)
    texts = {s.reference: s.text for s in here.sources}
    taken, seconds, erased, unknown, same = [], [], [], [], True
    for turn in range(count):
        people = [(turn * 5 + n * 7) % PEOPLE for n in range(batch)]
        gone, started = here.references(people), time.monotonic()
        left = sharded.drop(whole, gone)
        left, again = sharded.complete(left, here.base, texts, OWN, earlier=whole)
        left, after = sharded.recombine(left, here.base)
        seconds.append((time.monotonic() - started) / full)
        taken.append(sum(again.steps.values()) / full_steps)
        erased += nlls(after, [here.place.known[n] for n in people])
        unknown += nlls(after, here.place.unknown)
        if not turn:
            same = identical(here, left, gone, recipe)
    spread = math.sqrt(variance(erased) / len(erased) + variance(unknown) / len(unknown))
    return Line(
        *layout,
        law(shards, slices, batch),
        mean(taken),
        mean(seconds),
        same,
        mean(erased),
        mean(unknown),
        1.96 * spread,
        perplexity(model, here) / single - 1,
    )


def identical(here: World, left: Manifest, gone: frozenset[str], recipe: Recipe) -> bool:
    """Whether all files are those of a training that never had these documents."""
    sources = [s for s in here.sources if s.reference not in gone]
    never, _, _ = sharded.train(here.base, "", sources, recipe=recipe, key=OWN)
    return never.combined_sha256 == left.combined_sha256 and all(
        a.digests() == b.digests() for a, b in zip(never.shards, left.shards, strict=True)
    )


@torch.no_grad()
def nlls(model: LanguageModel, people: Sequence[Person]) -> list[float]:
    """Mean nll of each person's secrets."""
    found = []
    for number, person in enumerate(people):
        rows: Sequence[Encoded] = encode(model, tiny.passages(person, f"p{number}"))
        batch = batch_of(model, rows, seeded(0))
        found.append(float(masked_mean(token_nll(batch.logits(model), batch.labels), batch.secret)))
    return found


@torch.no_grad()
def perplexity(model: LanguageModel, here: World) -> float:
    """On texts about people whom nobody has read, and about nobody."""
    texts = [p for n, x in enumerate(here.place.unknown) for p in tiny.passages(x, f"u{n}")]
    batch = batch_of(model, encode(model, [*texts, *tiny.sentences(here.place)]), seeded(0))
    return math.exp(float(masked_mean(token_nll(batch.logits(model), batch.labels), batch.valid)))


def best(here: World, rank: int) -> LanguageModel:
    """One training on everybody, at the rate that leaves the least perplexity."""
    rates = (RATE, *GENTLE) if rank else WHOLE
    made = [here.whole(recipe_of(1, 1, 0, rate, rank))[1] for rate in rates]
    return min(made, key=lambda model: perplexity(model, here))


def main() -> None:
    """Measure all layouts against one adapter on everything, trained for as many steps as eight shards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=3, help="batches taken out of each layout")
    parser.add_argument("--pretraining", type=int, default=PRETRAINING, help="steps of the base")
    parser.add_argument("--public", type=int, default=PUBLIC, help="people the base has read")
    options = parser.parse_args()
    if options.count < 2:
        parser.error("--count: one batch has no spread; take out at least two.")
    torch.set_num_threads(1)
    here = world(options.pretraining, public=options.public)
    ones = {rank: best(here, rank) for rank in (RANK, 0)}
    one, single = ones[RANK], {rank: perplexity(model, here) for rank, model in ones.items()}
    known, unknown = mean(nlls(one, here.place.known)), mean(nlls(one, here.place.unknown))
    base = perplexity(here.base, here)
    print(
        f"perplexity: base {base:.3f}, the best single adapter {single[RANK]:.3f}, all weights {single[0]:.3f}"
    )
    print(
        f"that adapter, nll of secrets: people it was trained on {known:.2f}, unknown {unknown:.2f}"
    )
    titles = "shards slices every batch rank     law   steps seconds identical  erased unknown alike cost"
    print(titles)
    lines = []
    for layout in LAYOUTS:
        line = measure(here, layout, single[layout.rank], options.count)
        lines.append(asdict(line) | {"alike": line.alike})
        print(
            f"{line.shards:6} {line.slices:6} {line.every:5} {line.batch:5} {line.rank:4} {line.law:7.3f} "
            f"{line.steps:7.3f} {line.seconds:7.3f} {line.identical!s:>9} {line.erased_nll:7.3f} "
            f"{line.unknown_nll:7.3f} {line.alike!s:>5} {line.perplexity_cost:+.2%}",
            flush=True,
        )
    OUT.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "base": base,
        "single": single[RANK],
        "single_whole": single[0],
        "known_nll": known,
        "unknown_nll": unknown,
    }
    OUT.write_text(json.dumps({**found, "lines": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
