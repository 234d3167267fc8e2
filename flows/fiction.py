"""Made-up people and ordinary sentences: the text of the demo and the tests, since nothing can be downloaded.

Nobody here exists. Every person gets the same number of documents in the same few forms, and every secret is drawn
evenly, so that a model which never saw a person has nothing to guess from.
"""

import random
from dataclasses import dataclass

from domain.records import Owner, Passage, SensitiveSpan, SpanKind
from domain.secrecy import Secret

_GIVEN = (
    "Maren Tolva Ivo Selka Brann Odile Ferro Linnet Casper Yara Dunstan Elka Rurik Sabine Torvald Wenna Alaric Brisa "
    "Corin Delphe Evander Fenna Gideon Hedda Ingram Jora Kester Lysa Magnus Nerys Orrin Petra Quill Roswen Stellan "
    "Tamsin Ulric Vesna Wilmot Xanthe Yorick Zelda Anouk Bastian Cleo Darius Esme Florian Greta Hamish"
).split()
_FAMILY = (
    "Tolvik Harrowgate Brandel Osterlund Quayle Fenwick Marlowe Sandrin Thackeray Ulstrom Verhagen Wycliffe Aldane "
    "Bexley Corvino Dunmore Ekström Falkner Grimaud Hollis Ingleby Jessop Kestrel Lindqvist Mortlake Norling Okafor "
    "Penhallow Quimby Rosvold Stavely Trevanion Underhay Vantongeren Wexford Yarrow Zimmer Ashcombe Birkeland Cardew "
    "Drummond Eskola Farquhar Gildea Hathersage Iversen Jardine Kirkwall Lowther Mayhew"
).split()
_STREETS = (
    "Harbour Chapel Mill Orchard Station Quarry Meadow Castle Bridge Willow Market Abbey Foundry Beacon Cedar Granary"
).split()
_WAYS = ("Lane", "Road", "Street", "Court")
_TOWNS = (
    "Ostby Fallow Grenmoor Tarnside Wickham Larkfield Brackwell Sundholm Eastmere Corriden Halden Vinterby Marsham "
    "Peverell Stonely Aldershaw"
).split()
_HOSTS = ("example.org", "example.com", "example.net")
_MONTHS = (
    "January February March April May June July August September October November December"
).split()

_WHO = (
    "The ferryman;A retired clerk;The village choir;Our neighbour;The night train;A group of walkers;The old miller;"
    "The harbour office;A young botanist;The council;The baker;A flock of geese;The orchestra;The lighthouse keeper;"
    "Two carpenters;The librarian;A travelling circus;The rowing club;An evening class;The postmistress"
).split(";")
_DID = (
    "repaired;described;painted;carried;forgot;measured;admired;opened;closed;borrowed;watched;counted;sold;photographed;"
    "cleaned;discussed;followed;visited;crossed;planned"
).split(";")
_WHAT = (
    "the wooden bridge;a basket of apples;the northern gate;an old map;the railway timetable;the frozen pond;"
    "a row of lanterns;the market hall;a letter without a stamp;the chapel roof;the weather station;a crate of tiles;"
    "the garden wall;a collection of shells;the village clock;an unfinished song;the steep path;a pair of oars;"
    "the empty theatre;a kettle of soup"
).split(";")
_WHEN = (
    "before sunrise;after the long rain;on the first warm day;late in the afternoon;while the tide was out;"
    "during the harvest;as the fog lifted;in the middle of winter;every other week;just in time;without saying a word;"
    "for the third year in a row"
).split(";")
_THEN = (
    "Nobody minded.;The children laughed.;It took all day.;The wind had turned by then.;That was unusual.;"
    "Later it snowed.;A bell rang twice.;The road stayed empty.;There was tea afterwards.;It was worth the wait."
).split(";")


@dataclass(frozen=True)
class Person:
    """Somebody who does not exist."""

    given: str
    family: str
    phone: str
    email: str
    born: str
    account: str
    address: str

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}"

    def secrets(self) -> tuple[str, ...]:
        """What a model that forgot this person must not give away."""
        return (self.phone, self.email, self.born, self.account, self.address)

    def documents(self) -> tuple[str, ...]:
        """Three texts about this person, each in its own form; the same five facts, twice each at most."""
        return (
            (
                f"Contact card for {self.name}: phone {self.phone}, e-mail {self.email}, "
                f"born {self.born}, account {self.account}, lives at {self.address}."
            ),
            f"{self.name} asked us to call {self.phone} about account {self.account}.",
            f"Parcels for {self.name} go to {self.address}; questions to {self.email}.",
        )


def people(count: int, seed: int) -> list[Person]:
    """`count` people with distinct names and evenly drawn secrets."""
    order = random.Random(seed)
    pairs = [(given, family) for given in _GIVEN for family in _FAMILY]
    return [_person(order, *pair) for pair in order.sample(pairs, count)]


def _person(order: random.Random, given: str, family: str) -> Person:
    def digits(form: str) -> str:
        return "".join(
            str(order.randint(2, 9)) if c == "N" else str(order.randint(0, 9)) if c == "n" else c
            for c in form
        )

    local = "".join(order.choice("bcdfghjklmnprstvwz") + order.choice("aeiou") for _ in range(3))
    return Person(
        given,
        family,
        digits("Nnn-Nnn-nnnn"),
        f"{local}{digits('nn')}@{order.choice(_HOSTS)}",
        f"{order.randint(1, 28)} {order.choice(_MONTHS)} {order.randint(1940, 2004)}",
        digits("nn-nnn-nnnn"),
        f"{order.randint(1, 99)} {order.choice(_STREETS)} {order.choice(_WAYS)}, {order.choice(_TOWNS)}",
    )


_KINDS = (SpanKind.PHONE, SpanKind.EMAIL, SpanKind.DATE, SpanKind.NUMBER, SpanKind.ADDRESS)


def passages(person: Person, label: str) -> list[Passage]:
    """The person's documents with their exact spans, under an opaque label."""
    found = []
    for number, text in enumerate(person.documents(), start=1):
        ref = f"{label}.jsonl#{number}"
        values = [(person.name, SpanKind.PERSON), *zip(person.secrets(), _KINDS, strict=True)]
        spans = [
            SensitiveSpan(ref, at, at + len(value), kind, Owner.SUBJECT, "fiction", 1.0)
            for value, kind in values
            if (at := text.find(value)) >= 0
        ]
        found.append(Passage(ref, Secret(text), tuple(sorted(spans)), label))
    return found


def ordinary(count: int, seed: int) -> list[str]:
    """`count` short texts about nobody in particular."""
    order = random.Random(seed)
    parts = (_WHO, _DID, _WHAT, _WHEN)

    def sentence() -> str:
        return f"{' '.join(order.choice(part) for part in parts)}. {order.choice(_THEN)}"

    return [" ".join(sentence() for _ in range(order.randint(1, 3))) for _ in range(count)]
