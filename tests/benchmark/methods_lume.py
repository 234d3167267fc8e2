"""The world of `make methods-gpu`: LUME people, their biography and the questions about it, and models that know both.

The biography is what methods see: it holds all of a person's facts among other words, as a record in a corpus does.
The questions are asked too: they are what a user would type, one fact each, with dates and numbers written otherwise.
E-mail addresses are no secrets here: LUME makes every one of the name, so a model says those of people it never saw.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret
from tests.benchmark.lume import ordinary_pieces, read_people
from tests.benchmark.methods_bench import LATENT, RATE, Bench
from tests.benchmark.methods_teachers import teachers
from tests.benchmark.methods_training import by_heart
from unlearning import training
from unlearning.encoding import encode
from unlearning.latent import LatentAttack
from unlearning.lookalikes import Pool, ranked_among
from unlearning.models import LanguageModel
from unlearning.recipe import Recipe
from unlearning.training import Pretraining
from unlearning.trial import prepare

FOLDER = Path("out/methods-gpu")
BIOGRAPHY, QUESTIONS = "biography", "questions"
KINDS: Mapping[str, SpanKind] = {
    "qa0": SpanKind.DATE,
    "qa1": SpanKind.NUMBER,
    "qa2": SpanKind.PHONE,
    "qa4": SpanKind.ADDRESS,
}
MONTHS = (
    "January February March April May June July August September October November December".split()
)
UNREAD = 8  # of so many people one is read by no model
SHARDS = Recipe(rank=8, rate=1.5e-3, steps=64, length=256, near=2.0)
REPEATED = 3  # times that a round of training shows a person's texts


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a model, how many people, and how both are trained.

    Attributes:
        forgotten: people who ask, from LUME's forget part.
        others: people who do not, at most: the retain part, then the rest of the forget part.
        pieces: of WikiText, 500 characters each.
        vocabulary: tokens of the tokenizer, at most.
        layers, width, context, heads, table: of `new_model`.
        recipe: of the training; it ends when the secrets are known.
        rate, harder, latent, controls: as in `Bench`.
        shards: how the shards of the row of `sisa` are trained.
    """

    forgotten: int
    others: int
    pieces: int
    vocabulary: int
    layers: int
    width: int
    context: int
    heads: int = 0
    table: int = 0
    recipe: Pretraining
    rate: float = RATE
    harder: float = 1e-3
    latent: LatentAttack = LATENT
    controls: int = 2
    shards: Recipe = SHARDS


SIZES: Mapping[str, Size] = {
    "tiny": Size(
        forgotten=4,
        others=12,
        pieces=12,
        vocabulary=600,
        layers=2,
        width=96,
        context=256,
        table=1024,  # as in the other, more rows than tokens
        recipe=Pretraining(steps=1000, batch=8, length=128, rate=4e-3),
    ),
    "gpt2": Size(
        forgotten=10,
        others=500,
        pieces=600,
        vocabulary=8192,
        layers=12,
        width=768,
        context=1024,
        heads=12,
        table=50257,
        recipe=Pretraining(steps=3000, batch=32, length=256, rate=6e-4, warm_up=200),
        rate=5e-5,
        harder=1.5e-4,
        latent=LatentAttack(layer=2, steps=6, radius=0.05),
        shards=Recipe(rank=16, rate=1e-3, steps=300, length=256, near=2.0),
    ),
}


@dataclass(frozen=True)
class Person:
    """One person's texts and what is secret in them; all of it is personal data.

    Attributes:
        label: opaque.
        name: as it stands in every text.
        texts: by form; each with its secrets' (kind, value as written there).
    """

    label: str
    name: str
    texts: Mapping[str, Sequence[tuple[str, Mapping[SpanKind, str]]]]

    def written(self) -> list[str]:
        """All texts, plain."""
        return [text for texts in self.texts.values() for text, _ in texts]

    def passages(self, *forms: str) -> list[Passage]:
        """The texts of these forms, or all, with their spans."""
        return [
            self._passage(text, values, f"{self.label}.jsonl#{form}{number}")
            for form in forms or self.texts
            for number, (text, values) in enumerate(self.texts[form], start=1)
        ]

    def _passage(self, text: str, values: Mapping[SpanKind, str], ref: str) -> Passage:
        places = [
            (match.span(), SpanKind.PERSON) for match in re.finditer(re.escape(self.name), text)
        ]
        places += [
            ((text.index(value), text.index(value) + len(value)), kind)
            for kind, value in values.items()
        ]
        spans = (SensitiveSpan(ref, *at, kind, Owner.SUBJECT, "lume", 1.0) for at, kind in places)
        return Passage(ref, Secret(text), tuple(sorted(spans)), self.label)


def read_person(label: str, tasks: Mapping[str, tuple[str, str]]) -> Person | None:
    """One of LUME's people; None where an answer does not stand exactly once in the biography, or a name is cut short.

    Answers are found as the biography writes them: the date in words, numbers with separators. A link's Markdown is
    undone, because it holds the same address twice.
    """
    biography = re.sub(r"\[([^\]]*)\]\(mailto:[^)]*\)", r"\1", tasks["sc1"][0]).replace(r"\_", "_")
    name = re.search(r"birth date of (.*)\?", tasks["qa0"][0])
    found, questions = dict[SpanKind, str](), []
    for task, kind in KINDS.items():
        text, answer = tasks[task][0], tasks[task][1].rstrip(".")
        places = re.findall(_as_written(kind, answer), biography)
        if len(places) != 1:
            return None
        found[kind] = places[0]
        questions.append((text, {kind: answer}))
    if not name or biography.count(name[1]) != len(
        re.findall(rf"\b{name[1].split()[0]}\b", biography)
    ):
        return None
    return Person(label, name[1], {BIOGRAPHY: [(biography, found)], QUESTIONS: questions})


def _as_written(kind: SpanKind, answer: str) -> str:
    """What finds the answer to a question in a biography."""
    if kind is SpanKind.DATE:
        year, month, day = answer.split("-")
        return rf"{MONTHS[int(month) - 1]} {int(day)}, {year}|{answer}"
    if kind is SpanKind.ADDRESS:
        return re.escape(answer)
    return r"\b" + r"[-. ()]{0,2}".join(answer) + r"\b"


@dataclass(frozen=True)
class World:
    """People, sentences and the models that know them.

    Attributes:
        name: of its folder.
        size: its model's.
        people: the first `size.forgotten` ask to be forgotten.
        unread: people whom no model reads.
        sentences: about nobody.
    """

    name: str
    size: Size
    people: Sequence[Person]
    unread: Sequence[Person]
    sentences: Sequence[str]

    @property
    def forgotten(self) -> Sequence[Person]:
        return self.people[: self.size.forgotten]

    @property
    def remaining(self) -> Sequence[Person]:
        return self.people[self.size.forgotten :]

    def texts(self, known: Sequence[Person]) -> list[str]:
        """What a model that knows these people is trained on."""
        return [text for p in known for text in p.written() * REPEATED] + list(self.sentences)

    def model(self, name: str, known: Sequence[Person], seed: int) -> LanguageModel:
        """The model of that name; trained on what it shall know where there is none."""
        size = self.size

        def untrained() -> LanguageModel:
            # the tokenizer is everybody's, so that the retrained controls have the same
            return training.new_model(
                training.train_tokenizer(self.texts(self.people), size.vocabulary),
                width=size.width,
                layers=size.layers,
                context=size.context,
                heads=size.heads,
                table=size.table,
                seed=seed,
            )

        secrets = [passage for person in known for passage in person.passages()]
        return by_heart(
            FOLDER / self.name / name, untrained, self.texts(known), secrets, size.recipe
        )


def world(name: str) -> World:
    """The world of one of `SIZES`."""
    size = SIZES[name]
    asking = list(_people("forget"))
    others = [*_people("retain"), *asking[size.forgotten :]]
    unread = others[::UNREAD]
    del others[::UNREAD]
    people = [*asking[: size.forgotten], *others[: size.others]]
    return World(name, size, people, unread, ordinary_pieces(size.pieces))


def _people(part: str) -> Iterator[Person]:
    for number, tasks in enumerate(read_people(part)):
        person = read_person(f"{part}{number:03d}", tasks)
        if person is not None:
            yield person


def bench(place: World) -> Bench:
    """Split, encode, and draw candidates, all from one seed."""
    size = place.size
    model = place.model("original", place.people, 0)
    known = place.texts(place.remaining)
    trial = prepare(
        model,
        _all(place.forgotten, BIOGRAPHY),
        _all(place.remaining, BIOGRAPHY),
        [Passage(f"o.jsonl#{n}", Secret(t), (), "") for n, t in enumerate(place.sentences)],
        seed=0,
        controls=8,
        texts=lambda: known,
    )
    rivals = ranked_among(Pool.of(_all(place.remaining), model.tokenizer), 127, 0)
    scored = {row.person for row in trial.others}
    references = [person.passages(BIOGRAPHY)[0].ref for person in place.people]

    def lies(sort: str) -> str:
        def taught(name: str, known: Sequence[Person], number: int) -> LanguageModel:
            return place.model(name, known, 8000 + number)

        found = teachers(
            FOLDER / place.name,
            sort,
            place.people,
            asking=size.forgotten,
            references=references,
            taught=taught,
        )
        return str(found)

    return Bench(
        model,
        trial,
        {f: encode(model, _all(place.forgotten, f), rivals) for f in (BIOGRAPHY, QUESTIONS)},
        encode(model, _all([p for p in place.remaining if p.label in scored]), rivals),
        encode(model, _all(place.unread)),
        lambda number: place.model(f"retrained-{number}", place.remaining, 7000 + number),
        size.rate,
        size.harder,
        size.latent,
        controls=size.controls,
        lies=lies,
    )


def _all(people: Sequence[Person], *forms: str) -> list[Passage]:
    return [passage for person in people for passage in person.passages(*forms)]
