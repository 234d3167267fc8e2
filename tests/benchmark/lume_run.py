"""Run the real flow for every LUME request: each method alone, then the policy's own order; print and write the table.

A method's row starts from the original model for every person. The policy's row is one job after the other on one
model, as in production: each request finds the model that the one before it left.
"""

import base64
import json
import os
import shutil
import time
import zipfile
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from flows import console, desk
from tests.benchmark.lume import FORGET, OUT, RECIPE, read_people, request_of
from tests.benchmark.methods_arms import options_of

Row = dict[str, Any]
METHODS = ("anchor_distillation", "selective_ascent", "depn", "loo_ensemble")
OWN: dict[str, Row] = {"relearning_ascent": {}, "retrain": RECIPE}
"""Options for people like these: defaults that were found on them (places 9 and 21), and the model's own recipe."""
RESULTS = Path("out/lume.json")


def run(places: list[int], wanted: list[str] | None = None) -> None:
    """Erase the people at `places` with the policy and each method, or those `wanted`; writes out/lume.json row by row.

    Rows of earlier calls stay in the file, and in the table when they are about the same people.
    """
    home = OUT / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    persons = [read_people("forget")[:FORGET][n] for n in places]
    base = yaml.safe_load(Path("policy.yaml").read_text(encoding="utf-8"))
    order = {rule["name"]: rule for rule in base["methods"]["order"]}
    entry = {"path": "../model", "corpora": ["lume"], "shards": "../teachers"}
    methods = [m for m in wanted or METHODS if m != "policy"]
    names = ["lume", *(f"lume-{method}-{n}" for method in methods for n in range(len(places)))]
    catalog = {
        "corpora": {"lume": {"path": "../corpus.jsonl"}},
        "models": {name.replace("_", "-"): entry for name in names},
    }
    (home / "catalog.yaml").write_text(json.dumps(catalog))  # JSON is YAML without anchors
    os.environ |= {
        "LETHE_HOME": str(home.absolute()),
        "LETHE_CATALOG": str((home / "catalog.yaml").absolute()),
        "PREFECT_HOME": str((home / "prefect").absolute()),
    }
    desk.create_keys()
    rows, elsewhere = _earlier(places)
    for method in wanted or ("policy", *METHODS):
        policy = dict(base)
        if method != "policy":
            rule = {"name": method, "options": _options(method, order)}
            policy["methods"] = {**base["methods"], "order": [rule]}
        (home / f"policy-{method}.yaml").write_text(json.dumps(policy))
        os.environ["LETHE_POLICY"] = str((home / f"policy-{method}.yaml").absolute())
        cases = []
        for n, person in enumerate(persons):
            name = "lume" if method == "policy" else f"lume-{method}-{n}".replace("_", "-")
            cases.append(_erase(home, person, name))
            console.say(f"{method}, person {n + 1}: {_line(cases[-1])}")
        rows[method] = {**_row(method, cases), "places": places}
        RESULTS.write_text(json.dumps([*elsewhere, *rows.values()], indent=2) + "\n")
    _table(list(rows.values()))


def _options(method: str, order: dict[str, Row]) -> Row:
    """The policy's; else those for people like these; else the bench's, for small models."""
    if method in order:
        return dict(order[method]["options"])
    return OWN[method] if method in OWN else options_of(method)


def _earlier(places: list[int]) -> tuple[dict[str, Row], list[Row]]:
    """What earlier calls have written: the rows about these people, by method, and those about others."""
    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    here = {row["method"]: row for row in known if row.get("places") == places}
    return here, [row for row in known if row.get("places") != places]


def _erase(home: Path, person: dict[str, tuple[str, str]], model: str) -> Row:
    """File one request, run the flow, verify the bundle, and read the numbers from the signed envelopes."""
    file = home / "request.yaml"
    request = {**request_of(person), "scope": {"models": [model], "corpora": ["lume"]}}
    file.write_text(yaml.safe_dump(request, allow_unicode=True))
    started = time.monotonic()
    ref = desk.add(file)["request"]
    row = desk.erase(ref)
    seconds = time.monotonic() - started
    desk.verified(Path(row["bundle"]), home / "keys" / "signing-key.pub.pem")
    found: Row = {
        "status": row["status"],
        "attempts": [(a["method"], a["outcome"] or a["reason"]) for a in row["attempts"]],
        "failed": [],
        "seconds": seconds,
    }
    for attempt in _attempts(Path(row["bundle"])):
        if attempt["after"] is not None:
            found |= {"before": attempt["before"], "after": attempt["after"]}
            checks = (attempt.get("verdict") or {}).get("checks", [])
            found["failed"] = [c["name"] for c in checks if c["outcome"] != "PASS"]
    return found


def _attempts(bundle: Path) -> list[Row]:
    with zipfile.ZipFile(bundle) as archive:
        names = sorted(
            n for n in archive.namelist() if n.startswith("verification") and n.endswith(".json")
        )
        envelopes = [json.loads(archive.read(name)) for name in names]
    return [json.loads(base64.b64decode(e["payload"]))["predicate"] for e in envelopes]


def _line(case: Row) -> str:
    tried = ", ".join(f"{method} {outcome}" for method, outcome in case["attempts"])
    failed = f"; not passed: {' '.join(case['failed'])}" if case["failed"] else ""
    return f"{case['status']} ({tried}{failed}) {case['seconds']:.0f} s"


def _value(  # noqa: PLR0917
    case: Row, side: str, attack: str, metric: str, part: str = "members", field: str = "value"
) -> float:
    result = next(a for a in case[side]["attacks"] if a["attack"] == attack)
    score = next(s for s in result["scores"] if s["metric"] == metric)
    return float(score[part][field])


def _row(method: str, cases: list[Row]) -> Row:
    """Means over the people whose model could be attacked after the method."""
    measured = [case for case in cases if "after" in case]
    row: Row = {
        "method": method,
        "people": len(cases),
        "passed": sum(case["status"] == "fulfilled" for case in cases),
        "measured": len(measured),
        "attempts": [case["attempts"] for case in cases],
        "seconds": round(fmean(case["seconds"] for case in cases), 1),
    }
    if not measured:
        return row

    def average(*where: str) -> float:
        return round(fmean(_value(case, *where) for case in measured), 4)

    def utility(side: str, name: str) -> float:
        return round(fmean(float(case[side]["utility"][name]["value"]) for case in measured), 4)

    for side in ("before", "after"):
        row[f"extraction_{side}"] = average(side, "extraction", "extraction")
        row[f"exposure_{side}"] = average(side, "exposure", "exposure")
        row[f"s_el_{side}"] = average(side, "memorisation", "s_el")
        row[f"s_ma_{side}"] = average(side, "memorisation", "s_ma")
        row[f"perplexity_{side}"] = utility(side, "perplexity")
        row[f"others_{side}"] = utility(side, "others")
    row["perplexity_ratio"] = round(row["perplexity_after"] / row["perplexity_before"], 4)
    row["extraction_control"] = average("after", "extraction", "extraction", "controls")
    row["extraction_bound"] = average("after", "extraction", "extraction", "controls", "high95")
    row["exposure_control"] = average("after", "exposure", "exposure", "controls")
    row["exposure_bound"] = average("after", "exposure", "exposure", "controls", "high95")
    row["s_el_control"] = average("after", "memorisation", "s_el", "controls")
    row["s_ma_control"] = average("after", "memorisation", "s_ma", "controls")
    row["auc_after"] = average("after", "membership", "loss", "contrast")
    where = ("after", "membership", "loss", "contrast")
    row["auc_low"] = round(min(_value(case, *where, "low95") for case in measured), 4)
    row["auc_high"] = round(max(_value(case, *where, "high95") for case in measured), 4)
    return row


def _table(rows: list[Row]) -> None:
    columns = (
        ("extraction", "extraction_before", "extraction_after", "extraction_control"),
        ("exposure, bits", "exposure_before", "exposure_after", "exposure_control"),
        ("S-EL", "s_el_before", "s_el_after", "s_el_control"),
        ("S-MA", "s_ma_before", "s_ma_after", "s_ma_control"),
        ("AUC (widest interval)", "auc_after", "auc_low", "auc_high"),
        ("perplexity", "perplexity_before", "perplexity_after", "perplexity_ratio"),
        ("others' extraction", "others_before", "others_after"),
    )
    titles = ["", *(str(row["method"]) for row in rows)]
    lines: list[list[object]] = [["passed", *(f"{r['passed']} of {r['people']}" for r in rows)]]
    for title, *keys in columns:
        cells = [" / ".join(f"{r[k]:.2f}" if k in r else "-" for k in keys) for r in rows]
        lines.append(
            [f"{title}: {' / '.join(k.split('_', 1)[-1].split('_')[-1] for k in keys)}", *cells]
        )
    lines.append(["seconds per person", *(f"{r['seconds']:.0f}" for r in rows)])
    console.table("LUME", titles, lines)
    console.say(f"written to {RESULTS}")
