"""The small world of `make methods`: people who share names, three forms of sentence, and the models that know them.

Every model is trained once and kept under out/methods. One form is used for unlearning; the other two are asked too.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from flows.fiction import Person, ordinary, people
from tests.benchmark.methods_bench import Bench
from tests.benchmark.methods_teachers import teachers
from tests.benchmark.methods_training import ENOUGH, by_heart
from unlearning import training
from unlearning.corpus import words
from unlearning.encoding import Encoded, Rivals, encode
from unlearning.lookalikes import Pool, ranked_among
from unlearning.models import Kind, LanguageModel
from unlearning.trial import prepare

FOLDER = Path("out/methods")
SENTENCES = 60
FORMS: Mapping[str, str] = {
    "letter": "{name} asked us to call {phone} about account {account}.",
    "card": "Contact card for {name}: phone {phone}, account {account}.",
    "file": "The file of {name} lists account {account} and phone {phone}.",
}
LEARNT = "letter"
"""The form that the methods see, the first of them."""


@dataclass(frozen=True)
class Victim:
    """A sort of model, and how it comes to know its people by heart.

    Attributes:
        model: its kind.
        steps, rate: of training.
        width, layers: of the network.
        forgotten, others: how many people ask to be forgotten, and how many do not.
        rotary: a causal model of Llama's shape, not of GPT-2's.
        enough: share of all secrets at which training ends; above 1: it goes on, so that they are known with a margin.
        first: of the seeds nobody looked at while the settings were chosen.
        controls: retrained models behind the range.
    """

    model: str
    steps: int
    rate: float
    width: int = 64
    layers: int = 3
    forgotten: int = 6
    others: int = 34
    enough: float = ENOUGH
    first: int = 24
    rotary: bool = False
    controls: int = 2

    @property
    def kind(self) -> Kind:
        return Kind(self.model)


_CAUSAL = Victim("causal", 2400, 5e-3, first=33)
_MASKED = Victim("masked", 3000, 4e-3, forgotten=4, others=8, controls=1)
_WIDE = Victim(
    "causal",
    1600,
    3e-3,
    width=128,
    layers=4,
    forgotten=5,
    others=55,
    enough=2.0,
    controls=1,
    first=26,
)
_LLAMA = Victim("causal", 2400, 5e-3, rotary=True, controls=1)
_SEQ2SEQ = Victim("seq2seq", 2400, 5e-3, controls=1)
_CLASSIFIER = Victim("classifier", 1600, 2e-3, forgotten=8, others=24, controls=1)
VICTIMS: Mapping[str, Victim] = {
    "causal": _CAUSAL,
    "causal_again": replace(_CAUSAL, first=36),
    "causal_later": replace(_CAUSAL, first=41),
    "causal_last": replace(_CAUSAL, first=44),
    "causal_fresh": replace(_CAUSAL, first=47),
    "causal_new": replace(_CAUSAL, first=50),
    "masked": _MASKED,
    "wide": _WIDE,
    "wide_again": replace(_WIDE, first=36),
    "masked_again": replace(_MASKED, first=27),
    "llama": Victim("causal", 1600, 5e-3, forgotten=4, others=8, rotary=True, controls=1),
    "seq2seq": Victim("seq2seq", 1600, 5e-3, forgotten=4, others=8, controls=1),
    "llama_many": _LLAMA,
    "llama_later": replace(_LLAMA, first=27),
    "seq2seq_many": _SEQ2SEQ,
    "seq2seq_last": replace(_SEQ2SEQ, first=30),
    "classifier": _CLASSIFIER,
    "classifier_later": replace(_CLASSIFIER, first=27),
}
"""Of one model, all but the first are for methods that were changed after they had been seen on the seeds before."""
UNREAD = 40
CLASSES = 8
"""That the classifier knows: one of them says "nobody's", which of the others a person's messages are in is chance."""


@dataclass(frozen=True)
class World:
    """One seed's people and texts.

    Attributes:
        seed: everything is drawn from it.
        name: of the victim, a key of `VICTIMS`.
        people: those who ask to be forgotten come first.
        sentences: about nobody.
    """

    seed: int
    name: str
    people: Sequence[Person]
    sentences: Sequence[str]

    @property
    def victim(self) -> Victim:
        return VICTIMS[self.name]

    @property
    def folder(self) -> Path:
        """Where its models are kept."""
        return FOLDER / f"{self.name}-{self.seed}"

    @property
    def forgotten(self) -> Sequence[Person]:
        return self.people[: self.victim.forgotten]

    @property
    def others(self) -> Sequence[Person]:
        return self.people[self.victim.forgotten :]

    @property
    def unread(self) -> Sequence[Person]:
        """People of the same making whom no model of this world has read; none has the name of one who was."""
        read = {person.name for person in self.people}
        drawn = people(2 * (len(read) + UNREAD), 2000 + self.seed)
        return [person for person in drawn if person.name not in read][:UNREAD]

    def lessons(self, known: Sequence[Person]) -> list[Passage]:
        """What a model that knows these people is trained on."""
        theirs = [passage(p, form, "") for p in known for form in FORMS for _ in range(3)]
        return theirs + self.ordinary

    @property
    def ordinary(self) -> list[Passage]:
        """The sentences as passages."""
        return [
            Passage(f"o.jsonl#{n}", Secret(t), (), "", label=0)
            for n, t in enumerate(self.sentences)
        ]


def world(seed: int, name: str = "causal") -> World:
    """The people and sentences of one seed, as many as that victim is to know."""
    count = VICTIMS[name].forgotten + VICTIMS[name].others
    return World(seed, name, people(count, 1000 + seed), ordinary(SENTENCES, 1000 + seed))


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
    chosen = 1 + random.Random(person.account).randrange(CLASSES - 1)
    ref = f"{label}.jsonl#1"
    return Passage(ref, Secret(text), tuple(sorted(spans)), label, label=chosen)


def original(place: World) -> LanguageModel:
    """The model that knows everybody."""
    return taught(place, "original", place.people, place.seed)


def retrained(place: World, number: int) -> LanguageModel:
    """Retrained control `number`: nobody who asked, other first weights."""
    return taught(place, f"retrained-{number}", place.others, 7000 + 10 * place.seed + number)


def taught(place: World, name: str, known: Sequence[Person], seed: int) -> LanguageModel:
    """A model of the world's sort that knows some of its people; first weights and order are drawn from `seed`."""
    kind = place.victim

    def untrained() -> LanguageModel:
        # the tokenizer is everybody's, so that the retrained controls have the same
        everything = [words(lesson) for lesson in place.lessons(place.people)]
        return training.new_model(
            training.train_tokenizer(everything, 420, kind=kind.kind),
            width=kind.width,
            layers=kind.layers,
            context=64,
            seed=seed,
            kind=kind.kind,
            classes=CLASSES,
            rotary=kind.rotary,
        )

    return by_heart(
        place.folder / name,
        untrained,
        place.lessons(known),
        [passage(p, form, f"p{n}") for n, p in enumerate(known) for form in FORMS],
        training.Pretraining(kind.steps, 16, 64, kind.rate, seed=seed),
        enough=kind.enough,
    )


def label_of(number: int) -> str:
    """How a person of that place in `World.people` is called in passages."""
    return f"p{number:02d}"


def asked(place: World, model: LanguageModel) -> dict[str, tuple[Encoded, ...]]:
    """The forgotten people's passages by form, secrets with candidates."""
    people = {label_of(n): person for n, person in enumerate(place.forgotten)}
    rivals = _rivals(place)
    return {
        form: encode(model, [passage(p, form, who) for who, p in people.items()], rivals)
        for form in FORMS
    }


def _rivals(place: World) -> Rivals:
    """Draws what a secret is compared with, from the values of people who are not forgotten."""
    others = [passage(person, LEARNT, "") for person in place.others]
    pool = Pool.of(others, original(place).tokenizer)
    return ranked_among(pool, 127, place.seed)


def bench(place: World) -> Bench:
    """Split, encode, and draw candidates, all from the world's seed."""
    model = original(place)
    labels = {label_of(n): person for n, person in enumerate(place.people)}
    members = [passage(p, LEARNT, label_of(n)) for n, p in enumerate(place.forgotten)]
    neighbours = [
        passage(p, LEARNT, label) for label, p in list(labels.items())[len(place.forgotten) :]
    ]
    known = place.lessons(place.others)
    trial = prepare(
        model,
        members,
        neighbours,
        place.ordinary,
        seed=place.seed,
        controls=8,
        texts=lambda: known,
    )
    scored = sorted({row.person for row in trial.others})
    others = [passage(labels[s], form, s) for s in scored for form in FORMS]
    unread = [passage(p, form, f"u{n:02d}") for n, p in enumerate(place.unread) for form in FORMS]
    references = [passage(p, LEARNT, label).ref for label, p in labels.items()]

    def lies(sort: str) -> str:
        def taught_apart(name: str, known: Sequence[Person], number: int) -> LanguageModel:
            return taught(place, name, known, 8000 + 10 * place.seed + number)

        found = teachers(
            place.folder,
            sort,
            place.people,
            asking=len(place.forgotten),
            references=references,
            taught=taught_apart,
        )
        return str(found)

    return Bench(
        model,
        trial,
        asked(place, model),
        encode(model, others, _rivals(place)),
        encode(model, unread),
        lambda number: retrained(place, number),
        controls=place.victim.controls,
        lies=lies,
    )
