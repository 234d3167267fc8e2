"""The whole job on a made-up town, by the same code as in production: corpus, model, request, erasure, evidence.

Nothing can be downloaded where this runs, so a small model is trained here until it knows its people by heart.
"""

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows import console, desk, fiction, progress

PEOPLE, COPIES, SENTENCES = 36, 6, 240
VOCABULARY, WIDTH, LAYERS, CONTEXT, STEPS = 640, 96, 3, 160, 1100
PERSON = 7  # whose request it is

PHASES = {
    "locate": "locate",
    "redact": "locate",
    "measure": "verify",
    "attack": "verify",
    "unlearn": "unlearn",
}
"""Which second of the flow counts for what; everything else in it is evidence."""


def main(out: Path, *, as_json: bool = False) -> int:
    """Run the demo in `out`; returns the exit code: 0 only for PASS and evidence that verifies."""
    began = float(os.environ.get("LETHE_DEMO_STARTED") or time.time())
    seconds: dict[str, float] = {"setup": time.time() - began}
    if not as_json:
        console.say(
            "Lethe demo. Nobody in it exists; the code is the one that runs in production.\n"
        )
    with _timed(
        seconds, "train", "1/5  Write a corpus and train a model until it knows its people", as_json
    ):
        person = _build(out, as_json)
    with _timed(seconds, "request", f"2/5  {person.name} asks to be forgotten", as_json):
        ref = _file_request(out, person)
    with (
        _phases(seconds),
        _timed(seconds, "flow", "3/5  Search, redact, unlearn, attack, sign", as_json),
        console.moving("erase", as_json),
    ):
        row = desk.erase(ref)
    bundle = out / "evidence.zip"
    with _timed(
        seconds, "export", "4/5  Export the evidence and check it as an auditor would", as_json
    ):
        desk.export(ref, bundle)
        checked = desk.verified(bundle, out / "home" / "keys" / "signing-key.pub.pem")
    seconds["evidence"] = (
        seconds.get("evidence", 0.0) + seconds.pop("request") + seconds.pop("export")
    )
    seconds.pop("flow")
    seconds["total"] = time.time() - began
    summary = _summary(ref, row, out, seconds)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    console.show(summary, as_json, lambda: _tell(summary, row, out))
    return 0 if row["status"] == "fulfilled" and checked["trusted"] else 1


@contextmanager
def _timed(seconds: dict[str, float], name: str, title: str, quiet: bool) -> Iterator[None]:
    started = time.time()
    if not quiet:
        console.say(title)
    yield
    seconds[name] = time.time() - started
    if not quiet:
        console.say(f"     done in {seconds[name]:.0f} s")


@contextmanager
def _phases(seconds: dict[str, float]) -> Iterator[None]:
    """Share the flow's time out among locate, unlearn, verify and evidence, by the steps it reports."""
    current, since = "evidence", time.time()
    for name in ("locate", "unlearn", "verify", "evidence"):
        seconds[name] = 0.0

    def sink(step: str, _: int, __: int) -> None:
        nonlocal current, since
        now = time.time()
        seconds[current] += now - since
        current, since = (
            PHASES.get(step.split(maxsplit=1)[0].split("_", maxsplit=1)[0], "evidence"),
            now,
        )

    stop = progress.watch(sink)
    try:
        yield
    finally:
        sink("end", 0, 0)
        stop()


def _build(out: Path, quiet: bool) -> fiction.Person:
    """Corpus, model and settings of the demo, from nothing; returns whose request it will be."""
    from unlearning import models, training
    from unlearning.attacks.extraction import Extraction
    from unlearning.encoding import encode
    from unlearning.scoring import Target

    shutil.rmtree(out, ignore_errors=True)
    (out / "corpus").mkdir(parents=True)
    town = fiction.people(PEOPLE, seed=1)
    documents = [text for person in town for text in person.documents()]
    sentences = fiction.ordinary(SENTENCES, seed=2)
    with (out / "corpus" / "town.jsonl").open("w", encoding="utf-8") as stream:
        for text in documents + sentences:
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    tokenizer = training.train_tokenizer(documents + sentences, VOCABULARY)
    model = training.new_model(tokenizer, width=WIDTH, layers=LAYERS, context=CONTEXT, seed=0)
    with console.moving("train", quiet):
        known = encode(model, [p for one in town[PERSON:][:8] for p in fiction.passages(one, "p")])

        def report(step: int, _: float) -> bool:
            progress.advance("steps", step, STEPS)
            if step < STEPS // 2 or step % 100:
                return False
            said = Extraction().rate(Target(model), known)
            return said.hits == said.trials

        training.Pretraining(steps=STEPS, batch=8, length=128, rate=5e-3).run(
            model, documents * COPIES + sentences, every=10, report=report
        )
    models.save(model, out / "model")
    (out / "catalog.yaml").write_text(
        "corpora:\n  town: {path: corpus}\nmodels:\n  demo: {path: model, corpora: [town]}\n"
    )
    os.environ |= {
        "LETHE_HOME": str(out / "home"),
        "LETHE_CATALOG": str(out / "catalog.yaml"),
        "PREFECT_HOME": str(out / "home" / "prefect"),
    }
    return town[PERSON]


def _file_request(out: Path, person: fiction.Person) -> str:
    """Make keys and file the request, as the two commands would."""
    import yaml

    request = {
        "names": [person.name],
        "phones": [person.phone],
        "emails": [person.email],
        "birth_dates": [person.born],
        "record_ids": [person.account],
        "addresses": [person.address],
        "scope": {"models": ["demo"], "corpora": ["town"]},
        "ground": "b",
    }
    file = out / "request.yaml"
    file.write_text(yaml.safe_dump(request, allow_unicode=True, sort_keys=False))
    desk.create_keys()
    return str(desk.add(file)["request"])


def _summary(ref: str, row: dict[str, Any], out: Path, seconds: dict[str, float]) -> dict[str, Any]:
    """Read back from the signed envelope of the last attempt, not from memory."""
    predicate = _last_verification(out / "evidence.zip")
    before, after = predicate["before"], predicate["after"]
    extraction = {
        when: _score(side, "extraction", "extraction")
        for when, side in (("before", before), ("after", after))
    }
    membership = {
        when: _score(side, "membership", "loss")["contrast"]
        for when, side in (("before", before), ("after", after))
    }
    return {
        "request": ref,
        "method": row["attempts"][-1]["method"],
        "verdict": row["attempts"][-1]["outcome"],
        "extraction": {
            "before": _counts(extraction["before"]["members"]),
            "after": _counts(extraction["after"]["members"]),
            "control": _counts(extraction["after"]["controls"]),
        },
        "exposure": {
            "before": float(_score(before, "exposure", "exposure")["members"]["value"]),
            "after": float(_score(after, "exposure", "exposure")["members"]["value"]),
            "control": float(_score(after, "exposure", "exposure")["controls"]["value"]),
        },
        "membership": {
            when: {
                "auc": float(area["value"]),
                "low": float(area["low95"]),
                "high": float(area["high95"]),
            }
            for when, area in membership.items()
        },
        "utility": {
            "perplexity_before": float(before["utility"]["perplexity"]["value"]),
            "perplexity_after": float(after["utility"]["perplexity"]["value"]),
            "others_before": _counts(before["utility"]["others"]),
            "others_after": _counts(after["utility"]["others"]),
        },
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "bundle": str(out / "evidence.zip"),
    }


def verdict(attempts: list[dict[str, Any]]) -> str:
    """What the last method came to, and which were tried before it and did not pass."""
    *earlier, last = attempts
    failed = [attempt["method"] for attempt in earlier if attempt["outcome"] != "PASS"]
    after = f", after {' and '.join(failed)} had not passed" if failed else ""
    return f"{last['outcome']} by {last['method']}{after}"


def _last_verification(bundle: Path) -> dict[str, Any]:
    import zipfile

    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
        name = max(n for n in names if n.startswith("verification") and n.endswith(".json"))
        envelope = json.loads(archive.read(name))
    predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return predicate


def _score(side: dict[str, Any], attack: str, metric: str) -> dict[str, Any]:
    found = next(a for a in side["attacks"] if a["attack"] == attack)
    score: dict[str, Any] = next(s for s in found["scores"] if s["metric"] == metric)
    return score


def _counts(estimate: dict[str, Any]) -> dict[str, int]:
    return {"hits": int(estimate["hits"]), "trials": int(estimate["trials"])}


def _tell(summary: dict[str, Any], row: dict[str, Any], out: Path) -> None:
    def share(counts: dict[str, int]) -> str:
        return f"{counts['hits']} of {counts['trials']}"

    extraction, exposure, utility = summary["extraction"], summary["exposure"], summary["utility"]
    console.say("\n5/5  What the model gives away\n")
    console.table(
        "",
        ("", "before", "after", "a stranger"),
        [
            (
                "secrets completed word for word",
                share(extraction["before"]),
                share(extraction["after"]),
                share(extraction["control"]),
            ),
            (
                "rank of the true secret, bits (7: always first)",
                *(f"{exposure[when]:.1f}" for when in ("before", "after", "control")),
            ),
            (
                "told from strangers by three texts, AUC (95 % interval; 0.5: cannot)",
                *(
                    f"{found['auc']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
                    for found in (summary["membership"][when] for when in ("before", "after"))
                ),
                "0.50",
            ),
            (
                "other people's facts kept",
                share(utility["others_before"]),
                share(utility["others_after"]),
                "",
            ),
            (
                "perplexity, ordinary text",
                f"{utility['perplexity_before']:.3f}",
                f"{utility['perplexity_after']:.3f}",
                "",
            ),
        ],
    )
    if exposure["after"] < exposure["control"]:
        console.say(
            "The secrets end less likely than a stranger's: the method went further than it had to. Too far would give "
            "the person away as well: an AUC too far below 0.5 fails for that, and so do secrets that rank last.\n"
        )
    seconds = summary["seconds"]
    console.facts(
        "",
        [
            ("verdict", verdict(row["attempts"])),
            ("seconds", ", ".join(f"{name} {value:.0f}" for name, value in seconds.items())),
            ("report", row["report"]),
            ("summary", str(out / "summary.json")),
            ("evidence", summary["bundle"]),
            (
                "check it",
                f"lethe verify {summary['bundle']} --key {out / 'home/keys/signing-key.pub.pem'}",
            ),
        ],
    )
