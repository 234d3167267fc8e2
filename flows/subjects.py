"""Whom and what one model's trial is about: the person, other people, ordinary text, and the text to train again on."""

from collections.abc import Iterator
from itertools import chain

from detectors.corpus import open_corpus
from detectors.neighbours import neighbours, ordinary
from detectors.protocol import Reviewer
from domain.errors import Code, RequestRejected
from domain.records import Document, Passage
from flows.bench import Bench
from flows.copies import Copies
from unlearning import models


class Subjects:
    """The people of one model's trial. All of it personal data, held for the time of the model's steps."""

    def __init__(self, bench: Bench, name: str, seed: int) -> None:
        corpora = bench.stores.catalog.model(name).corpora
        located = [bench.located[corpus] for corpus in corpora]
        self.members: tuple[Passage, ...] = tuple(
            chain.from_iterable(found.passages for found in located)
        )
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
        exclude = {passage.ref for passage in self.members}
        self.neighbours = neighbours(
            documents(bench, name), subject, closer[0], exclude, comparison.neighbours, seed
        )
        exclude |= {passage.ref for passage in self.neighbours}
        self.ordinary = ordinary(documents(bench, name), exclude, comparison.ordinary, seed)


def documents(bench: Bench, name: str) -> "chain[Document]":
    """Every document of the model's corpora."""
    entries = (
        bench.stores.catalog.corpus(corpus) for corpus in bench.stores.catalog.model(name).corpora
    )
    return chain.from_iterable(open_corpus(e.path, e.text_field).documents() for e in entries)


def redacted_texts(bench: Bench, name: str) -> Iterator[str]:
    """What the model was trained on, from the redacted copies: what the next training will read."""
    for corpus in bench.stores.catalog.model(name).corpora:
        entry = bench.stores.catalog.corpus(corpus)
        path = Copies(bench.paths.redacted(corpus)).current() or entry.path
        for document in open_corpus(str(path), entry.text_field).documents():
            yield document.text.reveal()


def references(bench: Bench, name: str) -> list[models.LanguageModel]:
    """The catalog's models that never saw these corpora."""
    return [models.load(path) for path in bench.stores.catalog.model(name).references]
