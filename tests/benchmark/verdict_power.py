"""How often the verdict is wrong: honest models that fail, cheats that pass, over models trained for it.

    make verdict-power          (python -m tests.benchmark.verdict_power)

Every town is two small models of the same people, one trained with the person who asks and one trained again without,
from another seed. The honest result is the second; the cheats of `tests.cheats` start from the first. Each is judged
by the bounds and attacks of policy.yaml. Writes out/verdict-power.json after every town and goes on from there:
{"models", "false_alarm", "miss", "by_cheat": {name: share caught}} and the single outcomes behind them.
"""

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from domain.intervals import rate
from flows import build, console
from flows.policy import load_policy
from tests import tiny
from tests.cheats import CHEATS
from unlearning import training
from unlearning.models import LanguageModel
from unlearning.trial import assess, prepare
from unlearning.verdict import judge, memorised

RESULTS = Path("out/verdict-power.json")
POLICY = load_policy(Path("policy.yaml"))
STEPS = 600


def attacks() -> dict[str, Any]:
    """The shipped policy's, without the one that is only shown."""
    return {n: attack for n, attack in build.attacks(POLICY).items() if n != "memorisation"}


def retrained(model: LanguageModel, place: tiny.Town, seed: int) -> LanguageModel:
    """The same shape and tokenizer, trained without the first person, from other weights."""
    texts = [t for person in place.known[1:] for t in person.documents()] * 5 + place.sentences
    config = model.network.config
    fresh = training.new_model(
        model.tokenizer,
        width=config.n_embd,
        layers=config.n_layer,
        context=config.n_positions,
        seed=seed,
    )
    training.Pretraining(steps=STEPS, batch=8, length=96, rate=6e-3, seed=seed).run(fresh, texts)
    return fresh


def town(number: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Outcome and checks of the honest model and of every cheat in one town, or of those named."""
    place = tiny.town(seed=100 + number)
    victim = tiny.victim(place, steps=STEPS, seed=number)
    person = tiny.passages(place.known[0], "p0")
    others = [p for n, x in enumerate(place.known[1:], 1) for p in tiny.passages(x, f"p{n}")]
    controls = POLICY.comparison.controls
    trial = prepare(victim, person, others, tiny.sentences(place), seed=number, controls=controls)
    tried = attacks()
    before = assess(victim, f"{number:064d}", trial, tried)
    thresholds = build.thresholds(POLICY)
    found: dict[str, Any] = {"town": number, "memorised": memorised(before, thresholds)}
    makers = {"retrained": lambda m, _: retrained(m, place, 1000 + number), **CHEATS}
    for name, make in makers.items():
        if only and name not in only:
            continue
        result = make(victim, trial)
        after = (
            before
            if result is victim
            else assess(result, f"{number}{name}".ljust(64, "0"), trial, tried)
        )
        verdict = judge(before, after, thresholds, required=tried)
        bad = [c.name for c in verdict.checks if c.outcome.value in {"FAIL", "NOT_RUN"}]
        checks = [(c.name, c.measured, c.bound) for c in verdict.checks]
        found[name] = {"outcome": verdict.outcome.value, "failed": bad, "checks": checks}
    return found


def summary(towns: list[dict[str, Any]]) -> dict[str, Any]:
    """Rates over the towns, with their 95 % Clopper-Pearson intervals."""
    used = [t for t in towns if t["memorised"]]

    def share(name: str, *outcomes: str) -> dict[str, float]:
        """Of the towns in which it was measured."""
        ended = [t[name]["outcome"] in outcomes for t in used if name in t]
        found = rate(sum(ended), len(ended))
        return {"hits": found.hits or 0, "trials": len(ended), "low": found.low, "high": found.high}

    alarm, miss = share("retrained", "FAIL", "INCONCLUSIVE"), share("nothing", "PASS")
    tried = [name for name in CHEATS if any(name in t for t in used)]
    caught = {name: share(name, "FAIL", "INCONCLUSIVE") for name in tried}
    return {
        "models": 2 * len(towns),
        "false_alarm": alarm["hits"] / alarm["trials"],
        "miss": miss["hits"] / miss["trials"],
        "by_cheat": {n: c["hits"] / c["trials"] for n, c in caught.items()},
        "intervals": {"false_alarm": alarm, "miss": miss, **caught},
        "alarms": dict(Counter(c for t in used for c in t["retrained"]["failed"])),
        "towns": towns,
    }


def _one_thread() -> None:
    torch.set_num_threads(1)


def main() -> None:
    """Run what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--towns", type=int, default=20, help="two models each")
    parser.add_argument("--again", nargs="*", metavar="MODEL", help="measure only these once more")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="towns at a time"
    )
    options = parser.parse_args()
    wanted = options.towns
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    towns = json.loads(RESULTS.read_text())["towns"] if RESULTS.is_file() else []
    missing, started = range(len(towns), wanted), time.monotonic()
    with ProcessPoolExecutor(options.processes, get_context("spawn"), _one_thread) as workers:
        known = range(len(towns)) if options.again else ()
        for number, found in zip(
            known, workers.map(town, known, repeat(options.again)), strict=True
        ):
            towns[number].update(found)
            RESULTS.write_text(json.dumps(summary(towns), indent=2) + "\n")
            outcomes = " ".join(f"{n}:{found[n]['outcome']}" for n in options.again)
            console.say(f"town {number + 1}: {outcomes}  {time.monotonic() - started:.0f} s")
        for number, found in zip(missing, workers.map(town, missing), strict=True):
            towns.append(found)
            RESULTS.write_text(json.dumps(summary(towns), indent=2) + "\n")
            outcomes = " ".join(f"{n}:{found[n]['outcome']}" for n in ("retrained", *CHEATS))
            console.say(
                f"town {number + 1} of {wanted}: {outcomes}  {time.monotonic() - started:.0f} s"
            )
    result = summary(towns)
    rows = [
        ("retrained without the person", "passed", *_cells(result["intervals"]["false_alarm"], 1)),
        *((n, "caught", *_cells(result["intervals"][n], 0)) for n in result["by_cheat"]),
    ]
    console.table("Verdict power", ("model", "right when", "right", "of", "95 % interval"), rows)
    console.say(f"honest models failed by: {result['alarms'] or 'nothing'}; {RESULTS}")


def _cells(found: dict[str, float], turned: int) -> tuple[object, ...]:
    hits, trials, low, high = (found[k] for k in ("hits", "trials", "low", "high"))
    if turned:
        hits, low, high = trials - hits, 1 - high, 1 - low
    return int(hits), int(trials), f"{low:.0%} to {high:.0%}"


if __name__ == "__main__":
    main()
