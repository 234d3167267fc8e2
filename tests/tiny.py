"""A small model that knows its people by heart, trained in seconds; the people and their passages with spans."""

from dataclasses import dataclass
from pathlib import Path

from domain.records import Passage
from domain.secrecy import Secret
from flows.fiction import Person, ordinary, passages, people
from unlearning import models, training
from unlearning.models import LanguageModel

__all__ = ["Town", "passages", "saved_victim", "sentences", "town", "victim"]


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


def victim(place: Town, *, steps: int = 700, width: int = 64, seed: int = 0) -> LanguageModel:
    """A two-layer model trained until it has memorised everybody in `place.known`."""
    texts = [text for person in place.known for text in person.documents()] * 5 + place.sentences
    tokenizer = training.train_tokenizer(texts, 420)
    model = training.new_model(tokenizer, width=width, layers=2, context=128, seed=seed)
    training.Pretraining(steps=steps, batch=8, length=96, rate=6e-3, seed=seed).run(model, texts)
    return model


def saved_victim(folder: Path, place: Town, *, steps: int = 700) -> Path:
    """The same on disk."""
    models.save(victim(place, steps=steps), folder)
    return folder
