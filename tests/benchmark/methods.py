"""All methods side by side on small models that know their people by heart; each row with its paper's relation.

    make methods          (python -m tests.benchmark.methods [--only METHOD ...] [--seeds N] [--dev])

The models are trained once and kept under out/methods, the results of every arm and seed beside them; a second call
goes on where the first stopped. Thresholds and settings were fixed on the seed of `--dev`; the table is of other seeds.
A row is the mean over the seeds, its relation holds when it holds in every one. out/methods.json holds the rows.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.benchmark.methods_arms import ARMS
from tests.benchmark.methods_case import Arm, Case

RESULTS = Path("out/methods.json")
CACHE = Path("out/methods/results")
DEV, FIRST = 0, 11
CONTROLS = 2  # retrained models behind the range
Found = dict[str, Any]


def main() -> None:
    """Run what is missing, print the table, write the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only",
        nargs="*",
        metavar="METHOD",
        help="rows, or methods without a row of their own; default all",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dev", action="store_true", help="the seed the settings were fixed on")
    options = parser.parse_args()
    asked = set(options.only or ARMS)
    wanted = [a for a in ARMS.values() if a.name in asked or a.method in asked - set(ARMS)]
    if not wanted:
        parser.error(f"--only: known are {', '.join(ARMS)}")
    seeds = [DEV] if options.dev else list(range(FIRST, FIRST + options.seeds))
    jobs = [
        (seed, masked, [a.name for a in wanted if a.masked == masked])
        for masked in (False, True)
        for seed in seeds
    ]
    jobs = [job for job in jobs if job[2]]
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with ProcessPoolExecutor(min(os.cpu_count() or 1, len(jobs))) as pool:
        found = [case for cases in pool.map(_job, jobs) for case in cases]
    rows = [_row(arm, [c for c in found if c["arm"] == arm.name]) for arm in wanted]
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n")
    _print(rows, len(seeds))


def _job(job: tuple[int, bool, Sequence[str]]) -> list[Found]:
    """One world and kind of model: every arm that has no result yet."""
    import torch

    from tests.benchmark import methods_scores, methods_world

    torch.set_num_threads(1)
    seed, masked, names = job
    arms = [ARMS[name] for name in names]
    CACHE.mkdir(parents=True, exist_ok=True)
    files = {arm.name: CACHE / f"{seed}-{arm.name}-{_digest(arm)}.json" for arm in arms}
    if not all(file.is_file() for file in files.values()):
        bench = methods_world.bench(methods_world.world(seed), masked=masked)
        controls = [
            methods_scores.measure(bench, methods_world.retrained(bench.place, n, masked=masked))
            for n in range(CONTROLS)
        ]
        original = methods_scores.measure(bench, bench.model)
        for arm in arms:
            if files[arm.name].is_file():
                continue
            case = Case(bench, original, controls, ARMS)
            result = arm.run(case)
            files[arm.name].write_text(
                json.dumps({"arm": arm.name, "seed": seed, **result}, indent=2)
            )
            print(
                f"seed {seed}: {arm.name}  {'PASS' if result['relation'] else 'FAIL'}  {result['seconds']:.0f} s",
                flush=True,
            )
    return [json.loads(files[arm.name].read_text()) for arm in arms]


def _digest(arm: Arm) -> str:
    said = json.dumps([arm.method, dict(arm.options), arm.text], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _row(arm: Arm, cases: Sequence[Found]) -> Found:
    """Means over the seeds; the relation must hold in each."""

    def average(name: str) -> float:
        return round(fmean(case[name] for case in cases), 4)

    return {
        "method": arm.name,
        "system": arm.system,
        "model": "masked" if arm.masked else "causal",
        "seeds": [case["seed"] for case in cases],
        "relation": all(case["relation"] for case in cases),
        "holds": sum(case["relation"] for case in cases),
        "relation_text": arm.text,
        "evidence": [case["evidence"] for case in cases],
        "extraction": {
            form: round(fmean(c["extraction"][form] for c in cases), 4)
            for form in cases[0]["extraction"]
        },
        "in_range": sum(case["in_range"] for case in cases),
        **{
            name: average(name)
            for name in (
                "exposure",
                "retrained_low",
                "retrained_high",
                "s_el",
                "s_ma",
                "neighbours",
                "perplexity_ratio",
                "relearn_gain",
                "rebound",
                "seconds",
                "backward_passes",
            )
        },
    }


def _print(rows: Sequence[Mapping[str, Any]], seeds: int) -> None:
    from flows import console

    titles = (
        "",
        "said: 3 forms",
        "bits (retrained)",
        "S-EL",
        "S-MA",
        "kept",
        "perpl.",
        "relearn",
        "rebound",
        "s",
        "relation",
    )
    lines = [
        (
            r["method"],
            " ".join(f"{v:.2f}" for v in r["extraction"].values()),
            f"{r['exposure']:.2f} ({r['retrained_low']:.1f}-{r['retrained_high']:.1f})",
            f"{r['s_el']:.2f}",
            f"{r['s_ma']:.2f}",
            f"{r['neighbours']:.2f}",
            f"x{r['perplexity_ratio']:.2f}",
            f"{r['relearn_gain']:+.1f}",
            f"{r['rebound']:+.1f}",
            f"{r['seconds']:.0f}",
            f"{'PASS' if r['relation'] else 'FAIL'} {r['holds']}/{seeds}",
        )
        for r in rows
    ]
    console.table(f"Methods, {seeds} seeds", titles, lines)
    for row in rows:
        console.say(f"{row['method']}: {row['relation_text']}  [{'; '.join(row['evidence'])}]")
    console.say(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
