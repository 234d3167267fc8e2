"""The annotator's own model (`make annotator`): on generated texts that it never learnt from, and in the search."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from detectors.annotationquality import Asked, ask, best, quality
from detectors.annotationtext import DEVELOPMENT, HELD_OUT, Author
from detectors.annotator import Annotator
from detectors.exact import ExactIndex
from detectors.locate import Located, in_batches, search
from detectors.presidio import EMBEDDED, PresidioDetector
from detectors.protocol import Case
from detectors.scoring import Scoring
from domain.records import Document, Identifier, IdentifierKind, Subject
from domain.secrecy import Secret
from tests.benchmark import detect_people as people
from tests.benchmark import detect_pii as pii
from tests.benchmark.lume import DATA

MODEL = Path("out/annotator")
ORDERS = ("annotator", "Assistant", "SYSTEM", "System:")
"""One of these is in every order that a held-out text gives to its reader."""


def is_there() -> bool:
    """Whether the model is; says so where it is not."""
    if not MODEL.is_dir():
        print("\nno model of the annotator's own here: make annotator trains it")
    return MODEL.is_dir()


def annotator(threshold: float) -> Annotator:
    """As a policy would have it: sure of nothing else, and nothing left to a person."""
    return Annotator(
        "scoring", str(MODEL), threshold=threshold, uncertain=threshold, share=0.99, threads=1
    )


def generated(texts: int) -> dict[str, list[Asked]]:
    """What the model scores on frames for development and on those held out; of the latter, the ones with an order
    apart.
    """
    scoring = Scoring(str(MODEL))

    def score(*asked: Any) -> float:
        return scoring.judge(*asked).score

    held_out = ask(Author(HELD_OUT, 2), texts, score, 1)
    orders = [a for a in held_out if any(word in a.written.text for word in ORDERS)]
    return {
        DEVELOPMENT: ask(Author(DEVELOPMENT, 2), texts, score, 1),
        HELD_OUT: held_out,
        "held out, with an order": orders,
        "held out, without": [a for a in held_out if a not in orders],
    }


def marks(rows: Sequence[dict[str, Any]], threshold: float) -> dict[str, dict[str, pii.Score]]:
    """Scores on these sentences of `data/pii` of the embedded names alone, and with what the annotator adds.

    Who is asked about is the first person labelled in a sentence; in one without, nobody.
    """
    presidio, reader = PresidioDetector(model=EMBEDDED), annotator(threshold)
    found: dict[bool, list[pii.Found]] = {False: [], True: []}
    for number, row in enumerate(rows):
        document = Document(f"pii#{number + 1}", Secret(row["full_text"]))
        named = [s["entity_value"] for s in row["spans"] if s["entity_type"] == "PERSON"]
        subject = Subject(
            "bench", (Identifier(IdentifierKind.NAME, Secret((named or ["Nobody Here"])[0])),)
        )
        plain = presidio.find(document, subject)
        more = reader.review([Case(document, subject, plain)])[0]
        for with_it, spans in ((False, plain), (True, [*plain, *more])):
            found[with_it].append([(s.start, s.end, s.kind) for s in spans])
    return {
        name: pii.measure(rows, _in_order(found[with_it]))
        for name, with_it in (("embedded names", False), ("and the annotator", True))
    }


def _in_order(found: Iterable[pii.Found]) -> Callable[[str], pii.Found]:
    """What was found of one sentence after the other."""
    following = iter(found)
    return lambda _: next(following)


def searched(
    documents: Sequence[Document],
    everybody: Sequence[people.Person],
    asked: Sequence[people.Person],
    labels: Callable[[people.Person], people.Spans],
    threshold: float,
) -> dict[str, people.Outcome]:
    """People who ask by name, without the annotator and with it."""
    cascade: dict[str, Any] = {"exact": ExactIndex(), "presidio": PresidioDetector()}
    ways = {"without": cascade, "with": {**cascade, "annotator": annotator(threshold)}}

    def finder(detectors: dict[str, Any]) -> Callable[[Sequence[Subject]], list[Located]]:
        return lambda subjects: search(in_batches(documents), subjects, detectors)

    return {
        name: people.measure(everybody, asked, finder(detectors), (), labels)
        for name, detectors in ways.items()
    }


def on_frames(report: dict[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """The annotator's own model on frames and words that it never learnt from."""
    if not is_there():
        return {}
    asked = generated(arguments.texts)
    threshold = best(asked[DEVELOPMENT])
    print(
        f"\nmarked from {threshold:.2f}, the threshold with the best F1 on the frames for development\n"
    )
    print(
        "| frames | texts | private parts found | marked spans that are right | others' private parts touched |"
    )
    print("|---|---|---|---|---|")
    found = {name: quality(several, threshold) for name, several in asked.items()}
    for name, rates in found.items():
        cells = " | ".join(
            f"{e.value:.2f} ({e.low:.2f} to {e.high:.2f}) of {e.trials}" for e in rates
        )
        print(f"| {name} | {len(asked[name])} | {cells} |", flush=True)
    report["annotator"] |= {"threshold": threshold} | {
        name: {key: asdict(rate) for key, rate in rates._asdict().items()}
        for name, rates in found.items()
    }
    return {}


def on_sentences(report: dict[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """What it adds to the embedded names on the labelled sentences."""
    if not is_there():
        return {}
    rows = pii.sentences(DATA)[:: arguments.every]
    threshold = report["annotator"].get("threshold", arguments.threshold)
    scores = marks(rows, threshold)
    print(
        f"\n{len(rows)} sentences of data/pii, marked from {threshold:.2f}: precision / recall / F2\n"
    )
    print("| entity | labels | " + " | ".join(scores) + " |\n|---|---|" + "---|" * len(scores))
    for entity in pii.ENTITIES:
        several = [by[entity] for by in scores.values()]
        cells = " | ".join(f"{s.precision:.2f} / {s.recall:.2f} / {s.f2:.2f}" for s in several)
        if several[0].labels:
            print(f"| {entity} | {several[0].labels} | {cells} |", flush=True)
    report["annotator"]["pii"] = {
        name: {e: {"precision": s.precision, "recall": s.recall, "f2": s.f2} for e, s in by.items()}
        for name, by in scores.items()
    }
    return {}


def on_people(report: dict[str, Any], arguments: argparse.Namespace) -> dict[str, float]:
    """People who ask by name, without it and with it."""
    if not is_there():
        return {}
    threshold = report["annotator"].get("threshold", arguments.threshold)
    print(f"\nsearched by name, the annotator's marks from {threshold:.2f}\n")
    print(
        "| corpus | annotator | people | recall of labels | precision | others' labels touched | uncertain spans |"
    )
    print("|---|---|---|---|---|---|---|")
    for corpus, read, labels in (
        ("LUME", people.lume, lambda p: p.secrets),
        ("TOFU", people.tofu, lambda p: p.names),
    ):
        documents, everybody = read(DATA)
        asked = everybody[:: len(everybody) // arguments.asked][: arguments.asked]
        ways = searched(documents, everybody, asked, labels, threshold)
        for way, outcome in ways.items():
            people.show(corpus, way, outcome)
        report["annotator"][corpus.lower()] = {way: asdict(o) for way, o in ways.items()}
    return {}
