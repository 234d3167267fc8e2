"""The small world of `make methods`: people who share names, three forms of sentence, and the models that know them.

Every model is trained once and kept under out/methods. One form is used for unlearning; the other two are asked too.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from flows.fiction import Person, ordinary, people
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_training import by_heart
from unlearning import training
from unlearning.encoding import encode
from unlearning.lookalikes import Pool
from unlearning.models import LanguageModel
from unlearning.trial import prepare

FOLDER = Path("out/methods")
FORGOTTEN, OTHERS, SENTENCES = 6, 34, 60
FORMS: Mapping[str, str] = {
    "letter": "{name} asked us to call {phone} about account {account}.",
    "card": "Contact card for {name}: phone {phone}, account {account}.",
    "file": "The file of {name} lists account {account} and phone {phone}.",
}
LEARNT = "letter"
"""The form that the methods see, the first of them."""
STEPS, TRAINING_RATE = {False: 2400, True: 6000}, {False: 5e-3, True: 2e-3}  # True: masked


@dataclass(frozen=True)
class World:
    """One seed's people and texts.

    Attributes:
        seed: everything is drawn from it.
        people: the first `FORGOTTEN` ask to be forgotten.
    """

    seed: int
    people: Sequence[Person]
    sentences: Sequence[str]

    @property
    def forgotten(self) -> Sequence[Person]:
        return self.people[:FORGOTTEN]

    def texts(self, known: Sequence[Person]) -> list[str]:
        """What a model that knows these people is trained on."""
        return [written(p, form) for p in known for form in FORMS for _ in range(3)] + list(
            self.sentences
        )


def world(seed: int) -> World:
    """The people and sentences of one seed."""
    return World(seed, people(FORGOTTEN + OTHERS, 1000 + seed), ordinary(SENTENCES, 1000 + seed))


def written(person: Person, form: str) -> str:
    """The person's two facts in one form of sentence."""
    return FORMS[form].format(name=person.name, phone=person.phone, account=person.account)


def passage(person: Person, form: str, label: str) -> Passage:
    """The same with its spans."""
    text = written(person, form)
    values = (
        (person.name, SpanKind.PERSON),
        (person.phone, SpanKind.PHONE),
        (person.account, SpanKind.NUMBER),
    )
    spans = (
        SensitiveSpan(
            f"{label}.jsonl#1",
            text.index(value),
            text.index(value) + len(value),
            kind,
            Owner.SUBJECT,
            "fiction",
            1.0,
        )
        for value, kind in values
    )
    return Passage(f"{label}.jsonl#1", Secret(text), tuple(sorted(spans)), label)


def victim(place: World, *, masked: bool) -> LanguageModel:
    """The model that knows everybody."""
    return _model(place, "original", list(place.people), masked, place.seed)


def retrained(place: World, number: int, *, masked: bool) -> LanguageModel:
    """Retrained control `number`: nobody who asked, other first weights."""
    others = list(place.people[FORGOTTEN:])
    return _model(place, f"retrained-{number}", others, masked, 7000 + 10 * place.seed + number)


def _model(
    place: World, name: str, known: Sequence[Person], masked: bool, seed: int
) -> LanguageModel:
    kind = "masked" if masked else "causal"

    def untrained() -> LanguageModel:
        # the tokenizer is everybody's, so that the retrained controls have the same
        tokenizer = training.train_tokenizer(place.texts(list(place.people)), 420, masked=masked)
        return training.new_model(tokenizer, width=64, layers=3, context=64, seed=seed)

    return by_heart(
        FOLDER / f"{kind}-{place.seed}" / name,
        untrained,
        place.texts(known),
        [passage(p, form, f"p{n}") for n, p in enumerate(known) for form in FORMS],
        training.Pretraining(STEPS[masked], 16, 64, TRAINING_RATE[masked], seed=seed),
    )


def bench(place: World, *, masked: bool) -> Bench:
    """Split, encode, and draw candidates, all from the world's seed."""
    model = victim(place, masked=masked)
    labels = {f"p{n:02d}": person for n, person in enumerate(place.people)}
    members = [passage(p, LEARNT, f"p{n:02d}") for n, p in enumerate(place.forgotten)]
    neighbours = [passage(p, LEARNT, label) for label, p in list(labels.items())[FORGOTTEN:]]
    ordinary_text = [
        Passage(f"o.jsonl#{n}", Secret(t), (), "") for n, t in enumerate(place.sentences)
    ]
    known = place.texts(place.people[FORGOTTEN:])
    trial = prepare(
        model,
        members,
        neighbours,
        ordinary_text,
        seed=place.seed,
        controls=8,
        texts=lambda: known,
    )
    pool, order = Pool.of(neighbours), random.Random(place.seed)
    asked = {
        form: encode(
            model,
            [passage(p, form, f"p{n:02d}") for n, p in enumerate(place.forgotten)],
            lambda kind, value: pool.lookalikes(kind, value, 127, order),
        )
        for form in FORMS
    }
    scored = sorted({row.person for row in trial.others})
    others = encode(model, [passage(labels[s], form, s) for s in scored for form in FORMS])
    return Bench(
        model, trial, asked, others, lambda number: retrained(place, number, masked=masked)
    )
