"""All methods side by side on small models that know their people by heart; each row with its paper's relation.

    make methods          (python -m tests.benchmark.methods [--only METHOD ...] [--seeds N] [--dev])

The models are trained once and kept under out/methods, the results of every arm and seed beside them; a second call
goes on where the first stopped. Thresholds and settings were fixed on the seeds of `--dev`; the table is of others.
A row is the mean over the seeds, its relation holds when it holds in every one. out/methods.json holds the rows: those
that were not asked for stay as an earlier call left them, and --dev writes none.
"""

import argparse
import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from tests.benchmark import (
    methods_arms,
    methods_fairness,
    methods_rows,
    methods_sharded,
    methods_world,
)
from tests.benchmark.methods_arms_shards import SHARDED
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_rows import COLUMNS, Found
from tests.benchmark.methods_shards import VICTIM
from tests.benchmark.methods_world import VICTIMS

ARMS = {**methods_arms.ARMS, **{arm.name: arm for arm in SHARDED}}
RESULTS = Path("out/methods.json")
CACHE = Path("out/methods/results")
DEV = (0, 11, 12)
FIRST = 24  # of the fairness row, which has no victim


def main() -> None:
    """Run what is missing, print the table, write the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only",
        nargs="*",
        metavar="METHOD",
        help="rows, or methods without a row of their own; default all",
    )
    parser.add_argument("--seeds", type=int, default=0, help="default: each row's own number")
    parser.add_argument("--dev", action="store_true", help="the seeds the settings were fixed on")
    options = parser.parse_args()
    asked = set(options.only or [*ARMS, methods_fairness.NAME])
    wanted = [a for a in ARMS.values() if a.name in asked or a.method in asked - set(ARMS)]
    if not wanted and methods_fairness.NAME not in asked:
        parser.error(f"--only: known are {', '.join(ARMS)}, {methods_fairness.NAME}")

    def seeds(arm: Arm) -> Sequence[int]:
        victim = VICTIMS.get(arm.victim)
        return drawn(victim.first if victim else methods_sharded.FIRST, arm.seeds)

    def drawn(first: int, count: int) -> Sequence[int]:
        return DEV if options.dev else range(first, first + (options.seeds or count))

    jobs = [
        (seed, victim, names)
        for victim in (*VICTIMS, VICTIM)
        for seed in sorted({s for a in wanted for s in seeds(a)})
        if (names := [a.name for a in wanted if a.victim == victim and seed in seeds(a)])
    ]
    with ProcessPoolExecutor(max(1, min(os.cpu_count() or 1, len(jobs)))) as pool:
        found = [case for cases in pool.map(_job, jobs) for case in cases]
    rows = [methods_rows.row_of(a, [c for c in found if c["arm"] == a.name]) for a in wanted]
    if methods_fairness.NAME in asked:
        rows.append(methods_fairness.row(drawn(FIRST, 3), CACHE))
    methods_rows.show(rows, COLUMNS)
    if not options.dev:
        kept = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
        every = methods_rows.merged(kept, rows, [*ARMS, methods_fairness.NAME])
        RESULTS.write_text(json.dumps(every, indent=2) + "\n")
        print(f"written to {RESULTS}")


def _job(job: tuple[int, str, Sequence[str]]) -> list[Found]:
    """One world and victim: every arm that has no result yet."""
    torch.set_num_threads(1)
    seed, victim, names = job
    return methods_rows.results(
        [ARMS[name] for name in names],
        lambda: _bench(seed, victim),
        folder=CACHE,
        label=str(seed),
        known=ARMS,
        about={"seed": seed},
    )


def _bench(seed: int, victim: str) -> Bench:
    if victim == VICTIM:
        return methods_sharded.bench(seed)
    return methods_world.bench(methods_world.world(seed, victim))


if __name__ == "__main__":
    main()
