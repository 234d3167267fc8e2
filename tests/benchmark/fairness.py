"""FairSISA on tiny classifiers: shards by post-processing, errors and gaps; the order that is guaranteed, checked.

    python -m tests.benchmark.fairness [--seeds N]

Made-up reports call something good or bad, in words that a classifier has to learn; one of two groups writes more of
the bad words about what is good, and there are fewer texts of it, so that shards learn it less well. Each shard is a
BERT-shaped classifier of its own, trained on texts that no other one sees. Numbers are means over seeds; the set on
which the programs are solved ("fitted") is not the one that is held out. Prints a table, and ends with 1 when the order
does not hold: `in` never above `post` where fitted, both gaps 0 there, that of `pre` above 0.
"""

import argparse
import random
import sys
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch

from domain.records import Passage
from domain.secrecy import Secret
from unlearning import training
from unlearning.batches import batch_of
from unlearning.encoding import encode
from unlearning.fairness import VARIANTS, Calibration, fitted, majority, odds_gap
from unlearning.models import Kind, LanguageModel
from unlearning.unlearned import seeded

SHARDS = (1, 3, 5)
TRAINED, FITTED, HELD_OUT = 1500, 1500, 1500
ROUNDING = 1e-9
GOOD = "fine sound bright steady clean warm early solid".split()
BAD = "poor cracked dim shaky dirty cold late loose".split()
FILL = "the roof and a door of our old harbour shop was then said to be".split()
Written = tuple[Passage, str]


def main() -> int:
    """Train, fit, print; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    torch.set_num_threads(1)
    seeds = range(parser.parse_args().seeds)
    print("| shards | variant | error, fitted | gap, fitted | error, held out | gap, held out |")
    print("|---|---|---|---|---|---|")
    holds = True
    for shards in SHARDS:
        found = [measured(shards, seed) for seed in seeds]
        for variant in ("none", *VARIANTS):
            means = (fmean(one[variant][n] for one in found) for n in range(4))
            print(f"| {shards} | {variant} | {' | '.join(f'{mean:.4f}' for mean in means)} |")
        holds = all([holds, *(ordered(one, shards) for one in found)])
    print(f"the guaranteed order: {'PASS' if holds else 'FAIL'}")
    return 0 if holds else 1


def ordered(found: Mapping[str, Sequence[float]], shards: int) -> bool:
    """Whether one seed shows what is guaranteed; of a single shard all variants are one program."""
    fair = max(found["in"][1], found["post"][1]) <= ROUNDING
    unfair = found["pre"][1] > ROUNDING or shards == 1
    return found["in"][0] <= found["post"][0] + ROUNDING and fair and unfair


def measured(shards: int, seed: int) -> dict[str, tuple[float, float, float, float]]:
    """Error and gap where fitted and held out, of the vote as it is and of each variant."""
    order = random.Random(seed)
    parts = [written(order, count) for count in (TRAINED, FITTED, HELD_OUT)]
    members = [member(parts[0][n::shards], seed * 100 + n) for n in range(shards)]
    here, there = (asked(members, part) for part in parts[1:])
    found = {"none": (*plain(here), *plain(there))}
    for variant in VARIANTS:
        fit = fitted(variant, here)
        found[variant] = (fit.error(here), fit.gap(here), fit.error(there), fit.gap(there))
    return found


def plain(texts: Calibration) -> tuple[float, float]:
    """Error and gap of the vote."""
    vote = majority(texts.votes)
    return float((vote != texts.labels).double().mean()), odds_gap(vote, texts)


def written(order: random.Random, count: int) -> list[Written]:
    """Texts with their classes, 1 for good, and their groups."""
    found = []
    for number in range(count):
        group = "few" if order.random() < 0.2 else "many"
        good = order.random() < 0.5
        against = 0.45 if group == "few" and good else 0.3  # share of words of the other sort
        said = [order.choice(GOOD if good ^ (order.random() < against) else BAD) for _ in range(5)]
        words = [*said, *order.choices(FILL, k=6), f"{group}ish"]
        order.shuffle(words)
        text = Secret(" ".join(words))
        found.append((Passage(f"t.jsonl#{number}", text, (), "", label=int(good)), group))
    return found


def member(texts: Sequence[Written], seed: int) -> LanguageModel:
    """A classifier trained on the texts of one shard."""
    passages = [passage for passage, _ in texts]
    words = [" ".join([*GOOD, *BAD, *FILL, "fewish", "manyish"])] * 4  # everybody's: no text's own
    tokenizer = training.train_tokenizer(words, 420, kind=Kind.CLASSIFIER)
    with torch.random.fork_rng():
        model = training.new_model(
            tokenizer, width=32, layers=1, context=48, seed=seed, kind=Kind.CLASSIFIER
        )
    training.Pretraining(steps=250, batch=16, rate=3e-3, seed=seed).run(model, passages)
    return model


@torch.no_grad()
def asked(members: Sequence[LanguageModel], texts: Sequence[Written]) -> Calibration:
    """What every member says about the texts."""
    passages = [passage for passage, _ in texts]
    votes = []
    for model in members:
        rows = encode(model, passages)
        parts = [batch_of(model, rows[n : n + 250], seeded(0)) for n in range(0, len(rows), 250)]
        votes.append(torch.cat([batch.logits(model)[:, 0].argmax(-1).cpu() for batch in parts]))
    labels = torch.tensor([passage.label == 1 for passage in passages])
    return Calibration(torch.stack(votes, 1).bool(), [group for _, group in texts], labels)


if __name__ == "__main__":
    sys.exit(main())
