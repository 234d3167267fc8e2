"""Made-up texts about several people in which is marked what is private about whom: the annotator's own model learns
from these.

Nobody here exists. Frames and words lie in `frames/training.txt`; names, places and companies are the name finder's
(`nertext`). A line of a section says something about {p}; behind the section's name may stand a category, and what is
between < and > is of that category and private about {p}. {section p} takes a line of that section, {illness} one of
the `=== words illness`. Of both every seventh is kept for development and never learnt from.
"""

import random
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from detectors.annotation import Part
from detectors.nertext import Writer

TRAINING, DEVELOPMENT, HELD_OUT = "training", "development", "held out"
_FRAMES = Path(__file__).parent / "frames"
_KEPT = 7  # every so-maniest line and word is for development; of names and places one more for what is held out
_VERBS = frozenset({"has", "did"})
"""Sections whose lines begin with a verb in the third person."""
_LENGTHS = (5, 3, 2)  # how often one frame, two or three make a text
_ODD = (0.0, 0.0, 0.2, 0.5)  # of the words of lists, in a text, that any other words stand for
_ENGLISH = 0.7  # of these
_PRONOUN, _FULL, _CAPITALS = 0.55, 0.75, 0.7  # how often
_FEW = 9  # lines of a section that is not divided
_MOSTLY = 0.6  # of a part that has to be private for the part to be


_WORD = re.compile(r"[^\W_]+")


class Private(NamedTuple):
    """Code points `start:end` of a text that are private about one of its people."""

    start: int
    end: int
    category: str
    owner: int


@dataclass(frozen=True)
class Written:
    """A text, the names of its people, and what is private about them."""

    text: str
    people: tuple[str, ...]
    private: tuple[Private, ...]

    def of(self, owner: int) -> list[Part]:
        """What is private about one of them."""
        return [(p.start, p.end) for p in self.private if p.owner == owner]

    def is_name(self, part: Part, owner: int) -> bool:
        """Whether a part is nothing but this person's name."""
        return set(_WORD.findall(self.text[slice(*part)])) <= {*self.people[owner].split()}

    def theirs(self, part: Part, owner: int) -> bool:
        """Whether something of a part is private about others."""
        return any(p.owner != owner and p.start < part[1] and part[0] < p.end for p in self.private)

    def answer(self, part: Part, owner: int) -> bool | None:
        """Whether a part is private about this person; None for what is so in part, and for their name."""
        said = self.text[slice(*part)]
        if self.is_name(part, owner):
            return None
        inside = sum(
            self.text[at].isalnum() and any(start <= at < end for start, end in self.of(owner))
            for at in range(*part)
        )
        if not inside:
            return False
        return True if inside >= _MOSTLY * sum(map(str.isalnum, said)) else None


@dataclass(frozen=True)
class _Line:
    category: str
    words: str


def read(which: str) -> dict[str, list[_Line]]:
    """The sections of frames and of words of one of the sets."""
    name = "held_out.txt" if which == HELD_OUT else "training.txt"
    text = (_FRAMES / name).read_text("utf-8")
    sections: dict[str, list[_Line]] = defaultdict(list)
    for head, body in re.findall(r"^=== (.*)\n((?:(?!=== ).*\n?)*)", text, re.MULTILINE):
        name, category = [*head.split(), ""][:2]
        if name == "words":
            sections[category] += [_Line(_WORDS, w) for w in re.split(r";\s|\n", body.strip())]
        elif category == "blocks":
            sections[name] += [_Line("", block) for block in body.strip("\n").split("\n---\n")]
        else:
            several = [_Line(category, line) for line in body.splitlines() if line]
            sections[name] += several
            if category:
                sections[f"{name}.{category}"] += several
    if which == HELD_OUT:
        return dict(sections)
    return {
        name: [
            line for n, line in enumerate(lines) if len(lines) <= _FEW or _set(lines, n) == which
        ]
        for name, lines in sections.items()
    }


def _set(lines: Sequence[_Line], place: int) -> str:
    """Which set a line is for; one that stands there several times is for one set."""
    return DEVELOPMENT if lines.index(lines[place]) % _KEPT == _KEPT // 2 else TRAINING


def _drawn(words: Iterable[str], which: str) -> list[str]:
    """Of names and places those of one set."""
    places = {DEVELOPMENT: {0}, HELD_OUT: {1}}.get(which, set(range(2, _KEPT)))
    return [w for w in words if zlib.crc32(w.encode()) % _KEPT in places]


_WORDS = "words"
_SPOKEN = {
    "I": {"is": "am", "has": "have"},
    "you": {"is": "are", "has": "have", "was": "were"},
    "inf": {"is": "be", "has": "have"},
}
_OWN = {
    "I": {"he": "I", "his": "my", "him": "me"},
    "you": {"he": "you", "his": "your", "him": "you"},
    "nobody": {"he": "she", "his": "her", "him": "her"},
}
_PRESENT = re.compile(r"(?!was )\w+s ")
_PRONOUNS = (("she", "her", "her"), ("he", "his", "him"))
_OPEN, _CLOSE, _WHO, _END = "\ue000", "\ue001", "\ue002", "\ue003"
"""Around what is private, and around the number of a person and how they are meant; used in no text."""
_SLOT = re.compile(r"\{([A-Za-z]\w*(?:\.\w+)?)(?: (\w+))?\}")
_MADE = re.compile(rf"{_OPEN}(\d):(\w*){_END}|{_CLOSE}|{_WHO}(\d):(\w+){_END}")
_PEOPLE = "abc"
_DAYS = ("%d %B %Y", "%Y-%m-%d", "%m/%d/%Y", "%B %d, %Y", "%d.%m.%Y")
_PHONES = (
    "2##-555-01##", "(3##) 555-01##", "+1 6## 555 01##", "+47 22 ## ## ##", "+49 30 #######", "020 79## ####"
)  # fmt: skip
_RECORDS = ("55-2##-####", "8#######", "AC-4###-###", "X#######", "###-##-####", "44########")
_HOSTS = ("example.org", "example.com", "example.net", "mail.example")


class Author:
    """Writes texts of one of the sets; the seed decides all of them."""

    def __init__(self, which: str, seed: int) -> None:
        self._people: list[tuple[str, str, tuple[str, str, str]]] = []
        self._odd = 0.0
        writer = Writer(1)
        self.chance = random.Random(f"{which} {seed}")
        self._lines = read(which)
        self._writer = writer
        writer.chance = self.chance
        writer.people = [
            (_drawn(given, which), _drawn(family, which)) for given, family in writer.people
        ]
        writer.people = [names for names in writer.people if all(names)]
        writer.places = [{k: _drawn(v, which) for k, v in p.items()} for p in writer.places]
        writer.places = [place for place in writer.places if all(place.values())]
        writer.lists = {k: _drawn(v, which) for k, v in writer.lists.items()}
        writer.words = _drawn(writer.words, which)
        writer.foreign = _drawn(writer.foreign, which)

    def write(self) -> Written:
        """One text; three people may stand in it, and others who are named once."""
        self._people = self._cast()
        self._odd = self.chance.choice(_ODD)
        count = self.chance.choices([1, 2, 3], _LENGTHS)[0]
        frames = [self._pick("text").words for _ in range(count)]
        gap = self.chance.choice(["\n\n", "\n", " "])
        made = self._expand(gap.join(frames), {letter: n for n, letter in enumerate(_PEOPLE)})
        return self._said(made)

    def _cast(self) -> list[tuple[str, str, tuple[str, str, str]]]:
        """Given name, family name and pronouns of people who share no word of their names."""
        people: list[tuple[str, str, tuple[str, str, str]]] = []
        known: set[str] = set()
        while len(people) < len(_PEOPLE):
            given, family = self._writer.given_family()
            words = f"{given} {family}".split()
            if known.isdisjoint(words) and all(map(str.isalpha, words)):
                known.update(words)
                people.append((given, family, self.chance.choice(_PRONOUNS)))
        return people

    def _expand(self, frame: str, who: dict[str, int], voice: str = "") -> str:
        """A frame with its slots filled in; who is meant where stays open."""
        return _SLOT.sub(lambda slot: self._slot(slot[1], slot[2] or "", who, voice), frame)

    def _slot(self, name: str, of: str, who: dict[str, int], voice: str) -> str:
        head, _, form = name.partition(".")
        if name in _OWN["I"]:
            return _OWN[voice][name] if voice in _OWN else f"{_WHO}{who['p']}:{name}{_END}"
        if head in who and not of:
            return f"{_WHO}{who[head]}:{form or 'any'}{_END}"
        if form == "inf":
            return self._line(head, who, of, form)
        if name in self._lines:
            return self._line(name, who, of, voice)
        return self._value(name)

    def _line(self, name: str, who: dict[str, int], of: str, voice: str) -> str:
        """A line about one of the people, with what it marks as theirs; {has I} has them say it themselves, and with
        {has nobody} it is about a stranger and marks nothing.
        """
        if of in _OWN:
            voice, of = of, "p"
        line = self._pick(name)
        while voice == "inf" and name in _VERBS and not _PRESENT.match(line.words):
            line = self._pick(name)
        if line.category == _WORDS and self.chance.random() < self._odd:
            return self._value("word")
        one = who[of] if of else who.get("p", 0)
        q = (
            who["q"]
            if of == "p" and "q" in who
            else (one + self.chance.choice([1, 2])) % len(_PEOPLE)
        )
        words = _spoken(line.words, voice) if name in _VERBS else line.words
        made = self._expand(words, who | {"p": one, "q": q} if of else who, voice)
        if voice == "nobody":
            return re.sub("[<>]", "", made)
        if line.category in {"", _WORDS}:
            return made
        mark = f"{_OPEN}{one}:{line.category}{_END}"
        return made.replace("<", mark).replace(">", _CLOSE)

    def _pick(self, section: str) -> _Line:
        return self.chance.choice(self._lines[section])

    def _value(self, name: str) -> str:
        """What no section has."""
        chance, writer = self.chance, self._writer
        day = date(1940, 1, 1) + timedelta(days=chance.randrange(30_000))
        english = chance.random() < _ENGLISH
        made: dict[str, Callable[[], str]] = {
            "someone": lambda: " ".join(writer.given_family()),
            "other": lambda: writer.text()[0],
            "word": lambda: chance.choice(writer.words if english else writer.foreign),
            "nonsense": lambda: writer.made_up().lower(),
            "town": lambda: writer.fill("{city}"),
            "company": lambda: writer.fill("{company}"),
            "country": lambda: chance.choice(writer.lists["country"]),
            "trade": self._trade,
            "street": lambda: re.sub(r"^\d\S* |,.*| \d\S*$", "", writer.fill("{street}")),
            "address": lambda: writer.fill("{street}, {city}"),
            "phone": lambda: self._digits(chance.choice(_PHONES)),
            "record": lambda: self._digits(chance.choice(_RECORDS)),
            "email": self._email,
            "date": lambda: day.strftime(chance.choice(_DAYS)),
            "year": lambda: str(day.year),
            "time": lambda: f"{chance.randint(7, 22)}:{chance.randrange(60):02}",
            "n": lambda: str(chance.choice([chance.randint(2, 30), chance.randint(30, 999)])),
            "age": lambda: str(chance.randint(14, 95)),
        }
        return made[name]()

    def _trade(self) -> str:
        return self.chance.choice(self._writer.lists["trade"]).split(",")[0].lower()

    def _digits(self, pattern: str) -> str:
        return re.sub("#", lambda _: str(self.chance.randrange(10)), pattern)

    def _email(self) -> str:
        given, family = (re.sub(r"\W", "", n).lower() for n in self._writer.given_family())
        number = self.chance.randrange(99)
        local = self.chance.choice([f"{given}.{family}", f"{given[0]}{family}", f"{given}{number}"])
        return f"{local}@{self.chance.choice(_HOSTS)}"

    def _said(self, made: str) -> Written:
        """The text with everybody named or meant, and the marks as places."""
        text, last, at = "", -1, 0
        opened: list[tuple[int, int, str]] = []
        private: list[Private] = []
        named: set[int] = set()
        for mark in _MADE.finditer(made):
            text += made[at : mark.start()]
            at = mark.end()
            if mark[1]:
                opened.append((len(text), int(mark[1]), mark[2]))
            elif mark[3]:
                number = int(mark[3])
                text += self._meant(number, mark[4], named, known=number == last)
                named.add(number)
                last = number
            else:
                start, owner, category = opened.pop()
                private.append(Private(start, len(text), category, owner))
        text += made[at:]
        if self.chance.random() < _CAPITALS:
            text = re.sub(r"(^|[.!?:] |\n)([a-z])(?!\S*@)", lambda m: m[1] + m[2].upper(), text)
        names = tuple(f"{given} {family}" for given, family, _ in self._people)
        return Written(text, names, tuple(sorted(private)))

    def _meant(self, number: int, form: str, named: set[int], *, known: bool) -> str:
        """A person by name or by a pronoun; `known` where they were the last to be meant."""
        given, family, (he, his, him) = self._people[number]
        name, chance = f"{given} {family}", self.chance
        by_pronoun = known and chance.random() < _PRONOUN
        always = {"name": name, "given": given, "he": he, "his": his, "him": him}
        if form in always:
            return always[form]
        if form in {"own", "Own"}:
            whose = his if by_pronoun else f"{chance.choice([name, given])}'s"
            return whose[0].upper() + whose[1:] if form == "Own" else whose
        if by_pronoun:
            return he.capitalize() if form == "He" else he
        if number not in named and chance.random() < _FULL:
            return name
        return chance.choice([name, given, given, f"{'Ms.' if he == 'she' else 'Mr.'} {family}"])


def _spoken(line: str, voice: str) -> str:
    """A line that begins with a verb in the third person, in the first or second or as an infinitive."""
    forms = _SPOKEN.get(voice)
    verb, space, rest = line.partition(" ")
    if forms is None or (verb == "was" and voice == "I"):
        return line
    if verb not in forms:
        verb = re.sub(r"(?<=ch|sh|ss|do|go)es$|(?<=[^s])s$", "", re.sub("ies$", "ys", verb))
    return f"{forms.get(verb, verb)}{space}{rest}"
