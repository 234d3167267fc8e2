"""Who is meant by he, her, my and your: pronouns as mentions of somebody, UNKNOWN where it is open."""

import re

from detectors.cast import UNKNOWN, Cast, Mention, Mentions
from detectors.layout import Layout
from detectors.speakers import Speakers

_PRONOUN = re.compile(
    r"\b(?P<woman>she|hers?|herself)\b|\b(?P<man>he|his|him|himself)\b"
    r"|\b(?P<they>they|theirs?|them)\b"
    r"|\b(?P<first>I|my|mine|me|myself)\b(?!\.)"
    r"|\b(?P<second>yours?|(?:for|of|about|call|phone|ring|reach)\syou)\b",
    re.IGNORECASE,
)
_RELATIVE = re.compile(
    r"(?:['\u2019]s?)?\s+(?:\w+\s)?(?P<kin>(?:wife|husband|spouse|partner|mother|father|parents?"
    r"|sisters?|brothers?|sons?|daughters?|cousin|aunt|uncle|friends?|neighbou?rs?|boss|manager"
    r"|assistant|deputy|secretary|lawyer|doctor|colleagues?|landlord|landlady|lodger|tenant"
    r"|publisher|agent)\b)"
)
"""Behind "her": whoever it is, it is somebody else."""
_REACHED = re.compile(
    r"(?i)\b(?:call|reach|ring|phone|dial|mail|email|contact|text|get|find|write to|with|for)\s+$"
)
"""Before "me": whoever is called is whose number follows; whoever is told is not."""
_OBJECTS = frozenset({"me", "him", "them"})
_ASIDE = re.compile(r"\s*[(,]\s*$")
_APOSTROPHES = frozenset("'\u2019")
_BACK = 3  # sentences


def pronouns(layout: Layout, cast: Cast, speakers: Speakers) -> list[Mention]:
    """A mention for each pronoun that can own something. Where the subject alone is named, those
    that stay open are left out.
    """
    meaning = _Meaning(layout, cast, speakers)
    lonely = cast.names_nobody_else()
    for match in _PRONOUN.finditer(layout.text):
        person = meaning.of(match)
        if person is None:
            continue
        if person != UNKNOWN or not lonely or meaning.relative(match) or meaning.quoted(match):
            meaning.known.add(Mention(*match.span(), person, pronoun=True))
    own = [mention for mention in meaning.known.all if mention.pronoun]
    relatives = (
        _RELATIVE.match(layout.text, mention.end)
        for mention in cast.mentions.all
        if layout.text[mention.end : mention.end + 1] in _APOSTROPHES
    )
    return own + [Mention(*r.span("kin"), UNKNOWN, pronoun=True) for r in relatives if r]


class _Meaning:
    """Pronouns one after the other; each may be what a later one goes back to."""

    def __init__(self, layout: Layout, cast: Cast, speakers: Speakers) -> None:
        self.layout, self.cast, self.speakers, self.text = layout, cast, speakers, layout.text
        self.known = Mentions(list(cast.mentions.all))

    def of(self, match: re.Match[str]) -> int | None:
        """The person; None where it owns nothing here."""
        start, word = match.start(), match.group()
        if word == "i" or self.cast.mentions.touching(*match.span()):
            return None
        if word.lower() in _OBJECTS and not _REACHED.search(self.text, max(0, start - 16), start):
            return None
        if self.relative(match):
            before = self.cast.within(max(0, start - 60), start)
            aside = before and _ASIDE.fullmatch(self.text, before[-1].end, start)
            return None if aside else UNKNOWN  # "Ann Berg (her sister)" is Ann Berg
        if match.lastgroup == "first":
            return self.speakers.writer(start)
        if match.lastgroup == "second":
            return self.speakers.addressee.get(self.layout.line_at(start), UNKNOWN)
        return self._third(match)

    def relative(self, match: re.Match[str]) -> bool:
        return _RELATIVE.match(self.text, match.end()) is not None

    def quoted(self, match: re.Match[str]) -> bool:
        """Whether it stands in a quoted mail."""
        return self.layout.lines[self.layout.line_at(match.start())].depth > 0

    def _third(self, match: re.Match[str]) -> int:
        """The one person whom "she" can mean: of this sentence up to here, else of the last one
        before that names anybody; never who speaks. "Her own" is not hers whose thing was just
        named.
        """
        gender = match.lastgroup if match.lastgroup in {"woman", "man"} else None
        own = self.text.startswith(" own", match.end())
        number = self.layout.sentence_at(match.start())
        author = self.speakers.author.get(self.layout.line_at(match.start()), UNKNOWN)
        for start, end in reversed(self.layout.sentences[max(0, number - _BACK) : number + 1]):
            people = {
                m.person
                for m in self.known.within(start, min(end, match.start()))
                if not self.speakers.speaks(m)
                and (m.person != UNKNOWN or not m.pronoun)
                and not (own and self.text[m.end : m.end + 1] in _APOSTROPHES)
            }
            people -= {author} - {UNKNOWN}
            if gender:
                people = {p for p in people if self.cast.genders.get(p, gender) == gender}
            if len(people) > 1:
                return UNKNOWN
            for person in people:
                if gender and person != UNKNOWN:
                    self.cast.genders.setdefault(person, gender)
                return person
        return UNKNOWN
