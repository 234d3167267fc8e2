"""Whom and what one model's trial is about: the person, other people, ordinary text, and the text to train again on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.looking import index_of
from detectors.neighbours import neighbours, ordinary
from detectors.protocol import Reviewer
from domain.errors import Code, RequestRejected
from domain.records import Document, Passage, Subject
from domain.secrecy import Secret
from flows.bench import Bench
from flows.catalog import CorpusEntry
from flows.copies import Copies
from unlearning import models
from unlearning.models import Kind, LanguageModel


def finder(index: ExactIndex, subject: Subject) -> Callable[[str], bool]:
    """Whether a text surely holds the person, in whatever form of their identifiers the exact index knows."""
    return lambda text: index.knows(Document("said#1", Secret(text)), subject)


class Subjects:
    """The people of one model's trial. All of it personal data, held for the time of the model's steps."""

    def __init__(self, bench: Bench, name: str, model: LanguageModel, seed: int) -> None:
        self.members: tuple[Passage, ...] = tuple(_members(bench, name, model))
        comparison, subject = bench.policy.comparison, bench.request.subject
        closer = [
            d
            for kind, d in bench.detectors.items()
            if kind != "exact" and not isinstance(d, Reviewer)
        ]
        if not closer:
            raise RequestRejected(
                Code.POLICY_INVALID,
                place="policy.yaml, detectors",
                remedy="exact alone cannot find other people's records to compare with; add presidio.",
            )
        self.finds = finder(index_of(bench.detectors.values()), subject)
        exclude = {passage.ref for passage in self.members}
        self.neighbours = neighbours(
            documents(bench, name, model), subject, closer[0], exclude, comparison.neighbours, seed
        )
        exclude |= {passage.ref for passage in self.neighbours}
        texts = documents(bench, name, model)
        self.ordinary = ordinary(texts, exclude, comparison.ordinary, seed)
        self.groups = groups_of(bench, name, self.neighbours) if comparison.groups else {}


def groups_of(bench: Bench, name: str, passages: Sequence[Passage]) -> dict[str, str]:
    """The group of each person by the field of the corpus that the policy names: person -> one of its values.

    Raises `RequestRejected` (CORPUS_CORRUPT, CORPUS_UNREADABLE) when a row or a table has no such field.
    """
    named = bench.policy.comparison.groups
    if named is None:
        return {}
    people = {passage.ref: passage.person for passage in passages}
    found: dict[str, set[str]] = {}
    for corpus in bench.stores.catalog.model(name).corpora:
        path = bench.stores.catalog.corpus(corpus).path
        for row in open_corpus(path, named.field).documents():
            if row.ref in people:
                found.setdefault(people[row.ref], set()).add(row.text.reveal().strip().casefold())
    return {
        person: value
        for person, values in found.items()
        if len(values) == 1 and (value := min(values)) in named.values
    }


def documents(bench: Bench, name: str, model: LanguageModel) -> Iterator[Document]:
    """Every document of the model's corpora, with its answer and class where the model is of that kind."""
    for corpus in bench.stores.catalog.model(name).corpora:
        entry = bench.stores.catalog.corpus(corpus)
        yield from _read(entry, entry.path, model)


def redacted_texts(bench: Bench, name: str, model: LanguageModel) -> Iterator[Passage]:
    """What the model was trained on, from the redacted copies: what the next training will read."""
    for corpus in bench.stores.catalog.model(name).corpora:
        entry = bench.stores.catalog.corpus(corpus)
        path = Copies(bench.paths.redacted(corpus)).current() or entry.path
        for d in _read(entry, str(path), model):
            yield Passage(d.ref, d.text, (), "", d.answer, d.label)


def _members(bench: Bench, name: str, model: LanguageModel) -> Iterator[Passage]:
    """The person's passages, which were found before it was known for what kind of model."""
    for corpus in bench.stores.catalog.model(name).corpora:
        entry, found = bench.stores.catalog.corpus(corpus), bench.located[corpus].passages
        if model.kind not in {Kind.SEQ2SEQ, Kind.CLASSIFIER}:
            yield from found
            continue
        refs = {passage.ref for passage in found}
        told = {d.ref: d for d in _read(entry, entry.path, model) if d.ref in refs}
        for passage in found:
            document = told[passage.ref]
            yield replace(passage, answer=document.answer, label=document.label)


def _read(entry: CorpusEntry, path: str, model: LanguageModel) -> Iterator[Document]:
    """The documents of one corpus. Raises `RequestRejected` when a classifier's corpus has no classes, or others."""
    texts = open_corpus(path, entry.text_field).documents()
    if model.kind is Kind.SEQ2SEQ and entry.answer_after:
        for document in texts:
            at = document.text.reveal().find(entry.answer_after)
            yield document if at < 0 else replace(document, answer=at + len(entry.answer_after))
    elif model.kind is Kind.CLASSIFIER:
        if not entry.label_field:
            raise RequestRejected(
                Code.CATALOG_INVALID,
                place="catalog.yaml, corpora, label_field",
                remedy="the model is a classifier; name the field with the class of each text.",
            )
        labels = open_corpus(path, entry.label_field).documents()
        for document, label in zip(texts, labels, strict=True):
            yield replace(document, label=_number(label, model))
    else:
        yield from texts


def _number(label: Document, model: LanguageModel) -> int:
    """The number of a class that is named, or written as a number."""
    number = models.class_number(model, label.text.reveal())
    if number is None:
        raise RequestRejected(
            Code.CORPUS_CORRUPT,
            place=f"{label.ref}, label_field",
            remedy="it is no class of the model, neither its name nor its number; correct the row.",
        )
    return number


def references(bench: Bench, name: str) -> list[models.LanguageModel]:
    """The catalog's models that never saw these corpora."""
    return [models.load(path) for path in bench.stores.catalog.model(name).references]
