"""Made-up documents in which two to five people stand, every secret labelled with its owner.

A frame is a text with slots: `{a.phone}` is the phone of the first person, `{x.phone}` nobody's,
`⟦this¦that⟧` one of the two, and the lines between `@each` and `@end` come once for every person p,
joined by what follows `@each`. Frames lie in two files: the cues were made from `development.txt`;
`held_out.txt` holds wordings that no error was read of, and says what the cues are worth.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domain.records import Document
from domain.secrecy import Secret

FRAMES = Path(__file__).parent / "mixed"
SETS = ("development", "held_out")
SECRETS = ("phone", "work", "mail", "born", "home", "record", "ssn")

_WOMEN = (
    "Mira Ingrid Paula Helen Yasmin Agnes Chiara Donna Ewa Frida Noor Olga Petra Ruth Sofie Tamar "
    "Ursula Vera Wanda Zoe Amélie Birgit Carmen Dagny Estelle Fatima Gwen Hanne Ilse Judith"
).split()
_MEN = (
    "Jon Anders Bruno Cyril Dieter Emil Farid Gustav Henk Ivan Jorge Karl Luca Mads Nils Oskar "
    "Pavel Quentin Rolf Stefan Tomás Uwe Viktor Walter Yusuf Zoltan Andrea Boris Claude Derek"
).split()
_ANYBODY = "Alex Robin Kim Sasha Sam Charlie Jules Noa".split()
_FAMILY = (
    "Aske Tolvik Berghem Carver Dahlberg Eriksen Fontaine Grabowski Haugland Ivarsson Jansen Keller "
    "Lombardi Moreau Novak Olsen Petrov Quist Romero Sandberg Tanaka Ullman Vogel Winters Yilmaz "
    "Zieliński Abbot Brandt Castellano Drummond Eastwood Fairchild O'Neill Gärtner Hollister Murphy"
).split()
_LINKED = ("van der Meer", "de Luca", "von Arnim", "Al-Masri", "Lund-Hansen")
_TOWNS = "Ostby Vardal Grenmoor Halden Larkfield Brackwell Sundholm Marsham Tarnside".split()
_STREETS = "Harbour Mill Chapel Orchard Station Quarry Meadow Castle Willow Abbey".split()
_WAYS = ("Lane", "Road", "Street", "Court", "Avenue")
_COMPANIES = ("Nordlys Transport", "the Harbour Office", "Brightwater Ltd", "Holm & Sons")
_NICKS = "bluefox nightowl paperboat oldoak redkite tinwhistle northsea lemontree".split()
_HOSTS = ("example.org", "example.com", "example.net", "mail.example")
_MONTHS = (
    "January February March April May June July August September October November December"
).split()
_PRONOUNS = {
    "she": ("she", "her", "her", "herself", "Ms.", "is", "has", "was"),
    "he": ("he", "him", "his", "himself", "Mr.", "is", "has", "was"),
    "they": ("they", "them", "their", "themselves", "Mx.", "are", "have", "were"),
}


@dataclass(frozen=True)
class Labelled:
    """A labelled secret: code points of its document, and whose it is; None is nobody's."""

    start: int
    end: int
    kind: str
    owner: int | None


@dataclass(frozen=True)
class Person:
    """Somebody of one document, by the slots of the frames."""

    values: dict[str, str]

    @property
    def name(self) -> str:
        return self.values["name"]


@dataclass(frozen=True)
class Mixed:
    """A document, its kind, who stands in it, and its secrets."""

    document: Document
    kind: str
    people: tuple[Person, ...]
    secrets: tuple[Labelled, ...]


def write(which: str, count: int, seed: int) -> list[Mixed]:
    """So many documents of one of the `SETS`; every frame comes equally often. The seed decides."""
    frames = list(_frames((FRAMES / f"{which}.txt").read_text(encoding="utf-8")))
    chance = random.Random(f"{which} {seed}")
    return [
        _fill(f"{which}#{number + 1}", *frames[number % len(frames)], chance)
        for number in range(count)
    ]


def _frames(written: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each frame."""
    pieces = re.split(r"^=== (.*)\n", written, flags=re.MULTILINE)[1:]
    for kind, text in zip(pieces[::2], pieces[1::2], strict=True):
        yield kind, text.removesuffix("\n")


_CHOICE = re.compile("⟦([^⟦⟧]*)⟧")
_EACH = re.compile(r"^@each([^\n]*)\n(.*?)\n@end$", re.DOTALL | re.MULTILINE)
_SLOT = re.compile(r"\{([a-ex])\.(\w+)\}")


def _fill(ref: str, kind: str, frame: str, chance: random.Random) -> Mixed:
    """One document: choices are drawn, rows repeated, slots filled."""
    kind, _, genders = kind.partition(", ")
    frame = _CHOICE.sub(lambda m: chance.choice(m[1].split("¦")), frame)
    least = max([2, *("abcde".index(m[1]) + 1 for m in _SLOT.finditer(frame) if m[1] != "x")])
    rows = _EACH.search(frame)
    people = _draw(chance.randint(max(2, least), 5) if rows else least, bool(genders), chance)
    if rows:
        each = [rows[2].replace("{p.", f"{{{'abcde'[n]}.") for n in range(len(people))]
        frame = frame[: rows.start()] + f"{rows[1].strip()}\n".join(each) + frame[rows.end() :]
    text, secrets, last = "", [], 0
    for slot in _SLOT.finditer(frame):
        text += frame[last : slot.start()]
        last = slot.end()
        owner = None if slot[1] == "x" else "abcde".index(slot[1])
        value = _nobodys(slot[2], chance) if owner is None else people[owner].values[slot[2]]
        if slot[2] in SECRETS:
            secrets.append(Labelled(len(text), len(text) + len(value), slot[2], owner))
        text += value
    text += frame[last:]
    return Mixed(Document(ref, Secret(text)), kind, tuple(people), tuple(secrets))


def _draw(count: int, differ: bool, chance: random.Random) -> list[Person]:
    """People with a given name each; one in ten shares the family name of the first."""
    families = chance.sample([*_FAMILY, *_LINKED], count)
    women, men, anybody = (chance.sample(names, 5) for names in (_WOMEN, _MEN, _ANYBODY))
    first = chance.random() < 0.5
    people = []
    for number in range(count):
        family = families[0] if chance.random() < 0.1 else families[number]
        woman = (number % 2 == 0) is first if differ else chance.random() < 0.5
        pronoun = "she" if woman else "he"
        given = (women if woman else men)[number]
        if not differ and chance.random() < 0.08:
            pronoun, given = "they", anybody[number]
        people.append(_person(given, family, pronoun, chance))
    return people


def _person(given: str, family: str, pronoun: str, chance: random.Random) -> Person:
    he, him, his, himself, title, *verbs = _PRONOUNS[pronoun]
    words = dict(zip(("is", "has", "was"), verbs, strict=True))
    words |= {"he": he, "him": him, "his": his, "himself": himself, "title": title}
    words |= {"He": he.capitalize(), "His": his.capitalize(), "Title": title}
    names = {"name": f"{given} {family}", "given": given, "family": family}
    names |= {"reverse": f"{family}, {given}", "upper": f"{given} {family}".upper()}
    names |= {"user": given.lower(), "key": _plain(f"{given}_{family}")}
    secrets = {
        "phone": _phone(chance),
        "work": _phone(chance),
        "mail": _mail(given, family, chance),
        "born": _day(chance),
        "home": _home(chance),
        "record": _record(chance),
        "ssn": f"{chance.randint(100, 899)}-{chance.randint(10, 99)}-{chance.randint(1000, 9999)}",
    }
    return Person(words | names | secrets)


def _plain(text: str) -> str:
    table = str.maketrans("éáäöńŃ", "eaaonN", "' ")
    return text.lower().translate(table)


def _mail(given: str, family: str, chance: random.Random) -> str:
    """Four of five addresses tell whose they are."""
    one, two = _plain(given), _plain(family).replace("-", "")
    local = chance.choice(
        [f"{one}.{two}", f"{one[0]}.{two}", f"{one}{two}", f"{two}.{one}", f"{one}_{two}", one, two]
    )
    if chance.random() < 0.2:
        local = f"{chance.choice(_NICKS)}{chance.randint(2, 99)}"
    return f"{local}@{chance.choice(_HOSTS)}"


def _phone(chance: random.Random) -> str:
    pattern = chance.choice(
        [
            "2##-555-01##",
            "(3##) 555-01##",
            "+1 6## 555 01##",
            "+47 22 ## ## ##",
            "+49 30 #######",
            "+44 20 79## ####",
            "0171 #######",
            "020 79## ####",
        ]
    )
    return _digits(pattern, chance)


def _record(chance: random.Random) -> str:
    return _digits(chance.choice(["55-2##-####", "8#######", "AC-4###-###", "44########"]), chance)


def _digits(pattern: str, chance: random.Random) -> str:
    return re.sub("#", lambda _: str(chance.randint(0, 9)), pattern)


def _day(chance: random.Random) -> str:
    year, month, day = chance.randint(1940, 2005), chance.randint(1, 12), chance.randint(1, 28)
    name = _MONTHS[month - 1]
    return chance.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day} {name} {year}",
            f"{name} {day}, {year}",
            f"{day:02}.{month:02}.{year}",
            f"{month:02}/{day:02}/{year}",
        ]
    )


def _home(chance: random.Random) -> str:
    street = f"{chance.randint(1, 199)} {chance.choice(_STREETS)} {chance.choice(_WAYS)}"
    return f"{street}, {chance.choice(_TOWNS)}"


def _nobodys(slot: str, chance: random.Random) -> str:
    """What stands in the text and belongs to none of its people."""
    if slot == "phone":
        return _phone(chance)
    made = {
        "date": f"{chance.randint(1, 28)} {chance.choice(_MONTHS)} 2024",
        "time": f"{chance.randint(8, 19):02}:{chance.randint(0, 59):02}",
        "n": str(chance.randint(100, 999)),
        "city": chance.choice(_TOWNS),
        "company": chance.choice(_COMPANIES),
    }
    return made[slot]
