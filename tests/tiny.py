"""A small model that knows its people by heart, trained in seconds; the people and their passages with spans."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domain.records import Passage
from domain.secrecy import Secret
from flows.fiction import Person, ordinary, passages, people
from unlearning import models, training
from unlearning.corpus import Lesson
from unlearning.models import Kind, LanguageModel

__all__ = [
    "CLASSES",
    "Town",
    "base",
    "classed",
    "passages",
    "saved_victim",
    "sentences",
    "town",
    "victim",
]

CLASSES = 4
"""That a tiny classifier knows."""


@dataclass(frozen=True)
class Town:
    """The people a tiny model was trained on, and the sentences around them."""

    known: list[Person]
    unknown: list[Person]
    sentences: list[str]

    @property
    def documents(self) -> list[str]:
        return [text for person in self.known for text in person.documents()] + self.sentences


def town(count: int = 10, seed: int = 3) -> Town:
    """`count` people whom the model will know, as many whom it will not, and sentences about nobody."""
    drawn = people(2 * count, seed)
    return Town(drawn[:count], drawn[count:], ordinary(40, seed))


def sentences(place: Town) -> list[Passage]:
    """The ordinary text as passages without spans."""
    return [
        Passage(f"o.jsonl#{n}", Secret(t), (), "") for n, t in enumerate(place.sentences, start=1)
    ]


def classed(items: Sequence[Passage]) -> list[Passage]:
    """The passages, each with a class that has nothing to do with what it says: it can only be known by heart."""
    return [replace(p, label=random.Random(p.ref).randrange(CLASSES)) for p in items]


def victim(
    place: Town, *, kind: Kind = Kind.CAUSAL, steps: int = 700, width: int = 64, seed: int = 0
) -> LanguageModel:
    """A two-layer model trained until it has memorised everybody in `place.known`."""
    texts = [text for person in place.known for text in person.documents()] * 5 + place.sentences
    tokenizer = training.train_tokenizer(texts, 420, kind=kind)
    model = training.new_model(
        tokenizer, width=width, layers=2, context=128, seed=seed, kind=kind, classes=CLASSES
    )
    lessons: Sequence[Lesson] = texts
    if kind in {Kind.SEQ2SEQ, Kind.CLASSIFIER}:
        known = [p for n, person in enumerate(place.known) for p in passages(person, f"p{n}")]
        lessons = classed(known * 5 + sentences(place))
    recipe = training.Pretraining(steps=steps, batch=8, length=96, rate=6e-3, seed=seed)
    recipe.run(model, lessons)
    return model


def base(place: Town, read: Town, *, seed: int = 0) -> LanguageModel:
    """A model that knows the words of `place` and nobody of it: it has read another, larger town."""
    tokenizer = training.train_tokenizer(read.documents + place.documents, 420)
    model = training.new_model(tokenizer, width=64, layers=2, context=128, seed=seed)
    recipe = training.Pretraining(steps=600, batch=8, length=96, rate=6e-3, seed=seed)
    recipe.run(model, read.documents + read.sentences)
    return model


def saved_victim(folder: Path, place: Town, *, steps: int = 700) -> Path:
    """The same on disk."""
    models.save(victim(place, steps=steps), folder)
    return folder
