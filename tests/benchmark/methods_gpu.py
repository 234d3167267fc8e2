"""All methods side by side on LUME people whom a model knows by heart, on a GPU: what they do, and what they cost.

    make methods-gpu      (python -m tests.benchmark.methods_gpu [--size {tiny,gpt2}] [--only ROW ...])

Needs torch, transformers and peft, this repository, and the LUME and WikiText files (`LETHE_TEST_DATA`). `gpt2` has
GPT-2's shape (124 M) and computes in bf16 on CUDA; `tiny` proves the script on a CPU in minutes. Three models are
trained once, the one that knows everybody and two retrained without those who ask, and kept under out/methods-gpu/SIZE
(the row of `sisa` has a base and shards of its own), as is the result of every row; a second call goes on where the
first stopped. out/methods-gpu.json holds the rows. A row whose method diverges or runs out of memory says so, and is
tried again by the next call.

Seconds are the method's own, its stop rule and sampling included; tokens are those whose logits a gradient went
through, padding left out; the peak is that of all tensors on the GPU, the original model among them.

The rates of `gpt2` are the papers' for models of its size where there are such, and otherwise a guess from the width.
Neither they nor the training recipe (three times at most 3000 steps of 8192 tokens) have been tried on a GPU yet:
`SETTINGS` and `methods_lume.SIZES` are the places to change them.
"""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmark import methods_lume_sharded
from tests.benchmark.lume import DATA
from tests.benchmark.methods_arms import ARMS
from tests.benchmark.methods_arms_shards import SHARDED
from tests.benchmark.methods_bench import push_options
from tests.benchmark.methods_case import Arm
from tests.benchmark.methods_lume import FOLDER, SIZES, Size, World, bench, world
from tests.benchmark.methods_rows import COLUMNS, COSTS, results, row_of, show
from tests.benchmark.methods_shards import VICTIM
from unlearning.models import best_device

RESULTS = Path("out/methods-gpu.json")
Options = Mapping[str, Any]
_BASELINE = {"rate": 5e-5}
_CAPPED = {"rate": 1e-4}

SETTINGS: Mapping[str, Mapping[str, Options]] = {
    "tiny": {},
    "gpt2": {
        # Jang et al. 2023 ran GPT-Neo of 125 M at 5e-5; the baselines' 1e-5 is for models of a billion and more
        "gradient_ascent": _BASELINE,
        "gradient_ascent_sequential": _BASELINE,
        "llmu": _BASELINE,
        "npo": _BASELINE,
        "simnpo": _BASELINE,
        "grad_diff": _BASELINE,
        "ga_kl": _BASELINE,
        "adv_ga": _BASELINE,
        "adv_npo": _BASELINE,
        # 1e-3 at a width of 64; an even step in what a layer puts out asks for a rate that falls with the width
        "selective_ascent": _CAPPED,
        "anchor_distillation": _CAPPED,
        "loo_ensemble": {"rate": 2e-4},
        "relearning_ascent": {"rate": 5e-5, "inner_rate": 1e-4},
    },
}
"""Options of a size that differ from those of `make methods`, by row."""


def arms_of(name: str) -> dict[str, Arm]:
    """The causal rows and that of shards, with the options of a size.

    Retraining follows its recipe, and pushes go where `Bench` says.
    """
    size, own = SIZES[name], SETTINGS[name]
    given: dict[str, Options] = {"retrain": _again(size)}
    pushed = push_options(size.latent)
    given |= {arm.name: pushed for arm in ARMS.values() if arm.method == "adversarial"}
    return {
        arm.name: replace(
            arm, options={**arm.options, **given.get(arm.name, {}), **own.get(arm.name, {})}
        )
        for arm in (*ARMS.values(), *SHARDED)
        if arm.victim.split("_")[0]
        in {"causal", "wide", VICTIM}  # also on later seeds; the size says how wide
    }


def _again(size: Size) -> Options:
    recipe = size.recipe
    return {
        "steps": recipe.steps,
        "batch": recipe.batch,
        "length": recipe.length,
        "rate": recipe.rate,
    }


def hardware() -> tuple[str, str]:
    """The device in words, and what is computed in."""
    import torch

    if best_device() == "cuda":
        return torch.cuda.get_device_name(), "bf16 over fp32 weights"
    kind = torch.backends.cpu.get_cpu_capability()
    return f"CPU ({kind}, {torch.get_num_threads()} threads)", "fp32"


def main() -> None:
    """Train and run what is missing, print the table, write the rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="gpt2")
    parser.add_argument("--only", nargs="*", metavar="ROW", help="default all")
    options = parser.parse_args()
    arms = arms_of(options.size)
    wanted = [arm for arm in arms.values() if arm.name in set(options.only or arms)]
    if unknown := set(options.only or ()) - set(arms):
        parser.error(f"--only: no row {', '.join(sorted(unknown))}; known are {', '.join(arms)}")
    if not (DATA / "lume" / "forget.jsonl").is_file():
        parser.error(
            f"no LUME data at {DATA}; set LETHE_TEST_DATA to the folder of lume/ and text/"
        )
    if options.size == "gpt2" and best_device() != "cuda":
        parser.error("--size gpt2 needs a CUDA GPU; --size tiny runs on any machine")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    run(options.size, arms, wanted)


def run(name: str, arms: Mapping[str, Arm], wanted: list[Arm]) -> None:
    """The rows of one size; each says NOT_BY_HEART when a model does not learn its people by heart."""
    device, numbers = hardware()
    place = world(name)
    print(f"{device}, {numbers}; {_said(place)}", flush=True)
    found = [
        one
        for make, rows in (
            (bench, [arm for arm in wanted if arm.victim != VICTIM]),
            (methods_lume_sharded.bench, [arm for arm in wanted if arm.victim == VICTIM]),
        )
        for one in results(
            rows,
            partial(make, place),
            folder=FOLDER / name / "results",
            label=re.sub(r"\W+", "-", device.lower()).strip("-"),
            known=arms,
            about={"seed": 0},
        )
    ]
    rows = [row_of(arms[case["arm"]], [case]) for case in found]
    report = {"size": name, "device": device, "numbers": numbers, "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")
    show(rows, {**COLUMNS, **COSTS})
    print(f"written to {RESULTS}")


def _said(place: World) -> str:
    size = place.size
    return (
        f"{place.name}: {size.layers} layers, {size.width} wide; {len(place.forgotten)} of {len(place.people)} people "
        f"ask; {len(place.sentences)} pieces of WikiText"
    )


if __name__ == "__main__":
    sys.exit(main())
