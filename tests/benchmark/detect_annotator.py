"""The annotator's own model (`make annotator`): on generated texts that it never learnt from, and in the search."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from detectors.annotationquality import Asked, ask
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
