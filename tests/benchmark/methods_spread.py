"""How far apart models lie that were trained without the same people: what `range_of` takes for granted.

    python -m tests.benchmark.methods_spread

Each small victim of `make methods`, on each development seed, is trained several times without those who ask to be
forgotten, from other first weights; the table has the standard deviation, between such models, of these people's mean
bits, and of the AUC that tells them from people nobody has read. A sample of people on one or two models does not show
it: what a model thinks likely, it thinks so of all of them.
Models are kept under out/methods, as those of the bench are. out/methods-spread.json holds the rows.
"""

import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from statistics import fmean, variance

import torch

from tests.benchmark.methods import DEV
from tests.benchmark.methods_relations_teachers import told_apart
from tests.benchmark.methods_scores import bits_by_person
from tests.benchmark.methods_world import bench, world
from unlearning.scoring import Target

MODELS = 3
SMALL = ("causal", "masked", "llama", "seq2seq", "classifier")
RESULTS = Path("out/methods-spread.json")
Bits = Sequence[Sequence[float]]
"""Of each model, of each person."""


def main() -> None:
    """Train what is missing, print the table, write the rows."""
    jobs = list(product(SMALL, DEV))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(_scored, jobs), strict=True))
    rows = [_row(name, [found[name, seed] for seed in DEV]) for name in SMALL]
    rows.append(_row("all", list(found.values())))
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    print(
        "| victim | models | between models | if people were independent | AUC between models "
        "| degrees of freedom |"
    )
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['victim']} | {row['models']} | {row['between']:.3f} | {row['independent']:.3f} "
            f"| {row['auc']:.3f} | {row['freedom']} |"
        )


def _scored(job: tuple[str, int]) -> tuple[Bits, Sequence[float]]:
    """And the AUC of each model."""
    torch.set_num_threads(1)
    name, seed = job
    here = bench(world(seed, name))
    models = [here.retrained(number) for number in range(MODELS)]
    bits = [list(bits_by_person(Target(model), here.asked).values()) for model in models]
    return bits, [told_apart(here, model) for model in models]


def _row(name: str, scored: Sequence[tuple[Bits, Sequence[float]]]) -> dict[str, str | int | float]:
    """Pooled over the worlds, each about its own mean."""
    worlds = [bits for bits, _ in scored]
    means = [[fmean(people) for people in models] for models in worlds]
    alone = [variance(people) / len(people) for models in worlds for people in models]
    return {
        "victim": name,
        "models": sum(map(len, worlds)),
        "between": round(math.sqrt(fmean(map(variance, means))), 3),
        "independent": round(math.sqrt(fmean(alone)), 3),
        "auc": round(math.sqrt(fmean(variance(areas) for _, areas in scored)), 3),
        "freedom": sum(len(models) - 1 for models in worlds),
    }


if __name__ == "__main__":
    main()
