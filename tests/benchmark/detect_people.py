"""LUME and TOFU people through the real search: what of them is found, and what of others is touched."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from detectors.locate import Located
from domain.records import Document, Identifier, IdentifierKind, Subject
from domain.secrecy import Secret
from tests.benchmark.lume import ANSWERS

KINDS = {
    "birth_dates": IdentifierKind.BIRTH_DATE,
    "record_ids": IdentifierKind.RECORD_ID,
    "phones": IdentifierKind.PHONE,
    "emails": IdentifierKind.EMAIL,
    "addresses": IdentifierKind.ADDRESS,
}
Spans = set[tuple[str, int, int]]


@dataclass
class Person:
    """Somebody of a corpus: what they would ask with, and where their labelled spans are."""

    name: str
    known: dict[IdentifierKind, str]
    secrets: Spans = field(default_factory=set)
    names: Spans = field(default_factory=set)

    def subject(self, ref: str, *kinds: IdentifierKind) -> Subject:
        """The request that names this person, and the other identifiers of the given kinds."""
        asked = {IdentifierKind.NAME: self.name} | {k: self.known[k] for k in kinds}
        return Subject(ref, tuple(Identifier(kind, Secret(value)) for kind, value in asked.items()))


@dataclass(frozen=True)
class Outcome:
    """Over all people searched for: labelled spans found, spans that are right, others' touched."""

    people: int
    recall: float
    precision: float
    others_touched: float
    touched: int
    uncertain: int


def lume(data: Path) -> tuple[list[Document], list[Person]]:
    """All 3,000 documents, and their 500 people with every occurrence of every secret."""
    rows: dict[str, dict[str, tuple[str, str]]] = {}
    for part in ("forget", "retain"):
        for line in (data / "lume" / f"{part}.jsonl").open(encoding="utf-8"):
            row = json.loads(line)
            texts = rows.setdefault(row["id"][:36], {})
            texts[row["id"][36:]] = (f"{row['input']} {row['output']}", row["output"].rstrip("."))
    documents: list[Document] = []
    people: list[Person] = []
    for texts in rows.values():
        named = re.fullmatch(r"What is the birth date of (.*)\? .*", texts["qa0"][0])
        if named is None:
            raise ValueError("a LUME question is not of the usual form")
        answers = {KINDS[name]: texts[task][1] for task, name in ANSWERS.items()}
        person = Person(named[1], answers)
        patterns = [_written(kind, value) for kind, value in answers.items()]
        for text, _ in texts.values():
            ref = f"lume#{len(documents) + 1}"
            documents.append(Document(ref, Secret(text)))
            person.secrets |= _places(ref, text, patterns)
            person.names |= _places(ref, text, [re.escape(person.name)])
        people.append(person)
    return documents, people


def _written(kind: IdentifierKind, value: str) -> str:
    """A pattern for every way in which LUME writes this value."""
    if kind is IdentifierKind.BIRTH_DATE:
        day = date.fromisoformat(value)
        return rf"{value}|{day:%B} {day.day}(?:st|nd|rd|th)?,? {day.year}"
    if kind in {IdentifierKind.PHONE, IdentifierKind.RECORD_ID}:
        return r"[-. ()]{0,2}".join(re.findall(r"\d", value))
    return re.escape(value).replace("_", r"\\?_")


def _places(ref: str, text: str, patterns: Iterable[str]) -> Spans:
    return {(ref, *m.span()) for pattern in patterns for m in re.finditer(pattern, text)}


def tofu(data: Path) -> tuple[list[Document], list[Person]]:
    """All 4,000 documents, and their 200 authors; labelled are the full names, wherever they stand.

    The forget part says whom a question is about; in the retain part it is the longest run of capitalised
    words that most of an author's twenty documents share.
    """
    documents: list[Document] = []
    people: list[Person] = []
    for part in ("forget10", "retain90"):
        rows = _records((data / "tofu" / f"{part}.json").read_text(encoding="utf-8"))
        for first in range(0, len(rows), 20):
            group = rows[first : first + 20]
            texts = [f"{row['question']} {row['answer']}" for row in group]
            said = Counter(row["subject"] for row in group if "subject" in row)
            person = Person(said.most_common(1)[0][0] if said else _shared_name(texts), {})
            for text in texts:
                ref = f"tofu#{len(documents) + 1}"
                documents.append(Document(ref, Secret(text)))
            people.append(person)
    for document in documents:
        for person in people:
            person.names |= _places(document.ref, document.text.reveal(), [re.escape(person.name)])
    return documents, people


def _records(written: str) -> list[dict[str, Any]]:
    """A JSON list, or one record a line."""
    if written.lstrip().startswith("["):
        return list(json.loads(written))
    return [json.loads(line) for line in written.splitlines()]


def _shared_name(texts: Sequence[str]) -> str:
    runs: Counter[str] = Counter()
    for text in texts:
        found = re.findall(
            r"[^\W\d_a-z][\w'-]+(?: (?:[^\W\d_a-z][\w.'-]*|de|del|van|der|al|bin))+", text
        )
        runs.update({name.removesuffix("'s") for name in found})
    top = runs.most_common(1)[0][1]
    return max((name for name, count in runs.items() if count >= top * 0.7), key=len)


def measure(
    people: Sequence[Person],
    asked: Sequence[Person],
    search: Callable[[Sequence[Subject]], Sequence[Located]],
    kinds: Sequence[IdentifierKind],
    labels: Callable[[Person], Spans],
) -> Outcome:
    """Search for each person asked for, and compare by overlap with everybody's labelled spans."""
    everybody: dict[str, list[tuple[int, int, int]]] = {}
    for number, person in enumerate(people):
        for ref, start, end in person.secrets | person.names:
            everybody.setdefault(ref, []).append((start, end, number))
    total = sum(map(len, everybody.values()))
    places = {id(person): number for number, person in enumerate(people)}
    wanted = found = marked = right = touched = others = uncertain = 0
    for person, located in zip(
        asked, search([p.subject(f"er-{n}", *kinds) for n, p in enumerate(asked)]), strict=True
    ):
        mine: dict[str, list[tuple[int, int]]] = {}
        for span in located.spans:
            mine.setdefault(span.document, []).append((span.start, span.end))
        own = labels(person)
        wanted += len(own)
        found += sum(_touches(mine, ref, start, end) for ref, start, end in own)
        marked += len(located.spans)
        number = places[id(person)]
        for ref, spans in mine.items():
            around = everybody.get(ref, [])
            right += sum(
                any(a < end and start < b and who == number for a, b, who in around)
                for start, end in spans
            )
            strangers = [
                (a, b)
                for a, b, who in around
                if who != number and not any(w == number and x < b and a < y for x, y, w in around)
            ]
            touched += sum(_touches(mine, ref, a, b) for a, b in strangers)
        others += total - len(person.secrets | person.names)
        uncertain += located.uncertain
    return Outcome(
        len(asked),
        found / wanted,
        right / marked if marked else 0.0,
        touched / others,
        touched,
        uncertain,
    )


def _touches(mine: Mapping[str, list[tuple[int, int]]], ref: str, start: int, end: int) -> bool:
    return any(a < end and start < b for a, b in mine.get(ref, ()))


def show(corpus: str, label: str, outcome: Outcome) -> None:
    """A row of the table."""
    print(
        f"| {corpus} | {label} | {outcome.people} | {outcome.recall:.4f} | {outcome.precision:.4f} | "
        f"{outcome.touched} ({outcome.others_touched:.4%}) | {outcome.uncertain} |",
        flush=True,
    )
