"""The rows of a table of methods: results made once and kept, their means over the seeds, and how they are printed."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from domain.errors import Code, ErasureError
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_case import Arm, Case
from tests.benchmark.methods_scores import measure
from tests.benchmark.methods_training import NotByHeartError
from unlearning.methods import METHODS

NOTHING = "NOT_BY_HEART"  # the error of every row whose model could not be taught its people
Found = dict[str, Any]


def results(
    arms: Sequence[Arm],
    make: Callable[[], Bench],
    *,
    folder: Path,
    label: str,
    known: Mapping[str, Arm],
    about: Mapping[str, Any],
) -> list[Found]:
    """The results of the arms on one bench; made, and kept in `folder` under `label`, where there is none yet.

    A method that stops gives an "error" and no scores, and so do all where the model could not be taught. That is not
    kept: the next call tries again.

    Args:
        arms: whose.
        make: gives the bench, when one is needed.
        folder: of the results' files.
        label: of this bench, in the names of the files.
        known: all rows, by name: some relations compare with another.
        about: what each result says beside its scores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = {arm.name: folder / f"{label}-{arm.name}-{_digest(arm)}.json" for arm in arms}
    missing = [arm for arm in arms if not files[arm.name].is_file()]
    stopped: dict[str, Found] = {}
    if missing:
        try:
            bench = make()
            controls = [measure(bench, bench.retrained(n)) for n in range(bench.controls)]
        except NotByHeartError as error:
            print(f"{label}: {error}", flush=True)
            stopped = {arm.name: {"arm": arm.name, **about, "error": NOTHING} for arm in missing}
        else:
            case = Case(bench, measure(bench, bench.model), controls, known)
            stopped = _run(case, missing, files, label, about)
    return [stopped.get(a.name) or json.loads(files[a.name].read_text()) for a in arms]


def _run(
    case: Case,
    missing: Iterable[Arm],
    files: Mapping[str, Path],
    label: str,
    about: Mapping[str, Any],
) -> dict[str, Found]:
    """Run the arms and keep each result; those that stopped, by name."""
    stopped: dict[str, Found] = {}
    for arm in missing:
        made = {"arm": arm.name, **about}
        try:
            made |= arm.run(case)
        except (ErasureError, torch.OutOfMemoryError) as error:
            code = error.code if isinstance(error, ErasureError) else Code.OUT_OF_MEMORY
            stopped[arm.name] = {**made, "error": code.value}
            print(f"{label}: {arm.name}  {code.value}", flush=True)
            continue
        files[arm.name].write_text(json.dumps(made, indent=2))
        print(f"{label}: {arm.name}  {_holds(made)}  {made['seconds']:.0f} s", flush=True)
    return stopped


def _holds(found: Found) -> str:
    return "PASS" if found["relation"] else "FAIL"


def _held(row: Found) -> str:
    return f"{_holds(row)} {row['holds']}/{len(row['seeds'])}"


def _digest(arm: Arm) -> str:
    """Of the row's method with all its knobs, defaults included, and of what the row must show."""
    knobs = asdict(METHODS[arm.method](**arm.options))
    said = json.dumps([arm.method, knobs, arm.text], sort_keys=True, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


_MEANS = (
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
_COSTS = ("tokens_per_second", "peak_bytes")


def row_of(arm: Arm, cases: Sequence[Found]) -> Found:
    """Means over the seeds; the relation must hold in each. Where one stopped, the row has no means."""
    row = {
        "method": arm.name,
        "system": arm.system,
        "model": arm.victim,
        "seeds": [case["seed"] for case in cases],
        "relation_text": arm.text,
    }
    errors = [case["error"] for case in cases if "error" in case]
    if errors:
        return {**row, "relation": False, "error": errors[0], "stopped": len(errors)}
    return {
        **row,
        "relation": all(case["relation"] for case in cases),
        "holds": sum(case["relation"] for case in cases),
        "evidence": [case["evidence"] for case in cases],
        "extraction": {
            form: round(fmean(c["extraction"][form] for c in cases), 4)
            for form in cases[0]["extraction"]
        },
        "in_range": sum(case["in_range"] for case in cases),
        **{name: _mean([case[name] for case in cases]) for name in _MEANS},
        **{name: _mean_of_known([case.get(name) for case in cases]) for name in _COSTS},
    }


def merged(kept: Iterable[Found], rows: Iterable[Found], names: Sequence[str]) -> list[Found]:
    """All rows of `names`, in that order: the new ones, and of the others those that were kept."""
    every = {row["method"]: row for row in (*kept, *rows)}
    return [every[name] for name in names if name in every]


def _mean(values: Sequence[float]) -> float | None:
    """None where the score is not defined for the model: JSON has no NaN."""
    mean = fmean(values)
    return None if math.isnan(mean) else round(mean, 4)


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(fmean(known), 1) if len(known) == len(values) else None


COLUMNS: Mapping[str, Callable[[Found], str]] = {
    "said, by form": lambda r: " ".join(f"{v:.2f}" for v in r["extraction"].values()),
    "bits (retrained)": lambda r: (
        f"{r['exposure']:.2f} ({r['retrained_low']:.1f} to {r['retrained_high']:.1f})"
    ),
    "S-EL": lambda r: _or_dash(r["s_el"], 1, 2),
    "S-MA": lambda r: f"{r['s_ma']:.2f}",
    "kept": lambda r: f"{r['neighbours']:.2f}",
    "perplexity": lambda r: f"x{r['perplexity_ratio']:.2f}",
    "relearn": lambda r: f"{r['relearn_gain']:+.1f}",
    "rebound": lambda r: f"{r['rebound']:+.1f}",
    "seconds": lambda r: f"{r['seconds']:.0f}",
    "backward passes": lambda r: f"{r['backward_passes']:.0f}",
    "like retrained": lambda r: f"{r['in_range']} of {len(r['seeds'])}",
    "relation": _held,
}
COSTS: Mapping[str, Callable[[Found], str]] = {
    "tokens/s": lambda r: _or_dash(r["tokens_per_second"], 1),
    "peak GB": lambda r: _or_dash(r["peak_bytes"], 1e9, 2),
}


def _or_dash(value: float | None, unit: float, digits: int = 0) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"


def show(rows: Iterable[Found], columns: Mapping[str, Callable[[Found], str]]) -> None:
    """Print the rows as a Markdown table, then each relation in words with what was measured."""
    lines = [["row", *columns], ["---"] * (1 + len(columns))]
    notes = []
    for row in rows:
        stopped = row.get("error")
        cells = (
            [c(row) for c in columns.values()]
            if "extraction" in row
            else ["-"] * (len(columns) - 1) + [stopped or _held(row)]
        )
        lines.append([f"`{row['method']}`", *cells])
        said = f"stopped: {stopped}" if stopped else "; ".join(row["evidence"])
        notes.append(f"`{row['method']}`: {row['relation_text']}  [{said}]")
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))
    print("", *notes, sep="\n")
