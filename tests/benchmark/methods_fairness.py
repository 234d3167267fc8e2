"""The row of FairSISA's post-processings, which answer for an ensemble of classifiers and change no model."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.benchmark.fairness import SHARDS, measured, ordered
from tests.benchmark.methods_rows import Found

NAME = "fairness"
_TEXT = (
    "on BERT-shaped shards, where fitted: the joint program never errs more than vote, then fix; both have no gap, "
    "fixing each before the vote leaves one"
)


def row(seeds: Sequence[int], folder: Path) -> Found:
    """The row of `make methods`, from what was found before and what is missing; it has no scores of a model."""
    cases = [_case(seed, folder) for seed in seeds]
    return {
        "method": NAME,
        "system": "FairSISA (Kadhe 2023), post-processing in, after and before the vote",
        "model": "classifier",
        "seeds": list(seeds),
        "relation_text": _TEXT,
        "relation": all(case["relation"] for case in cases),
        "holds": sum(case["relation"] for case in cases),
        "evidence": [case["evidence"] for case in cases],
    }


def _case(seed: int, folder: Path) -> Found:
    """One seed, kept under `folder`."""
    file = folder / f"{seed}-{NAME}.json"
    if not file.is_file():
        found = {shards: measured(shards, seed) for shards in SHARDS}
        holds = all(ordered(one, shards) for shards, one in found.items())
        told = "; ".join(_told(shards, one) for shards, one in found.items() if shards > 1)
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"relation": holds, "evidence": told}, indent=2))
    case: Found = json.loads(file.read_text())
    return case


def _told(shards: int, found: Mapping[str, Sequence[float]]) -> str:
    def said(variant: str) -> str:
        return f"{variant} {found[variant][0]:.3f} (gap {found[variant][1]:.3f})"

    return f"{shards} shards, error " + ", ".join(map(said, ("none", "pre", "post", "in")))
