"""Names of people by their looks: low-confidence candidates, raised by the words around them."""

import re
from collections.abc import Iterator

from detectors.letters import CAPITALISED, UPPER

_STARTERS = """
A An And Any Are As At But By Can Card Contact Could Dear Did Do Does During Each Every For From
Given Has Have He Hello Her Here Hers Hi His How However I If In Into Is It Its Let Like May
Meanwhile Mr Mrs Ms Miss Mx Dr Prof My Next No Not Now Of On Once One Only Or Our Over Please Since
She So Some Subject Sincerely Regards Than That The Their Then There These They This Those Through
To Today Tomorrow Under Until Up Upon Was We Were What When Where Which While Who Whom Whose Why
Will With Would Yes Yesterday You Your Call Write Ask Send Name
"""
_THINGS = """
Social Security Number Phone Telephone Mobile Cell Fax Email Mail Address Home Street Birth Birthday
Date Account Record Customer Client Patient Employee Member Passport License Licence Policy Card
Identification Information Details Note Notes
Easter Christmas
United States Kingdom America American British English French German New North South East West
Northern Southern Eastern Western San Santa Los Las Saint Mount Fort Lake River Great City County
State University College School Institute Hospital Church Museum Park Bridge House Company
Corporation Council Committee Department Ministry Association Society Party Army Navy Air Force
World War Union Republic Empire Club League Cup Games
Avenue Road Drive Place Boulevard Court Parkway Highway Circle Terrace Square Apartment Suite
Unit Way
"""
_TIMES = """
January February March July August September October November December
Monday Tuesday Wednesday Thursday Friday Saturday Sunday
"""
STARTERS = frozenset(_STARTERS.split())
"""Words that begin sentences and requests, and forms of address."""
_BEFORE_NAMES = STARTERS | set(_TIMES.split())
_STOP = "|".join(sorted(_BEFORE_NAMES | set(_THINGS.split()), key=lambda w: (-len(w), w)))
_WORD = rf"(?!(?:{_STOP})(?![\w-])){CAPITALISED}"
_PARTICLE = r"(?:van|von|der|den|de|del|della|di|da|du|la|le|ten|ter|zu|bin|ibn|al|y)"
_SPACE = r"[ \u00a0]"
PERSON = (
    rf"(?<![\w'\u2019@-]){_WORD}"
    rf"(?:{_SPACE}(?:[{UPPER}]\.|{_PARTICLE}(?={_SPACE})|{_WORD}(?={_SPACE}[{UPPER}a-z]))){{0,3}}?"
    rf"{_SPACE}{_WORD}(?![\w@-]|\\?_)(?!{_SPACE}(?:{_PARTICLE}{_SPACE})?{_WORD})"
)
"""Two to five capitalised words, with initials and particles between them, none of them a word that
starts sentences or names places; the run is taken whole.
"""
PERSON_SCORE = 0.35
NAME_SCORE = 0.85
"""What a model's word that something is a name is worth, as Presidio has it."""

_AFTER = re.compile(
    r"['\u2019]s?\b"
    r"|\s+(?:was|is)\s+born\b|\s*[,(]\s*born\b|\s+(?:resides|lives|lived|residing|living)\b"
    r"|\s+(?:can|may)\s+be\s+(?:reached|contacted|called)\b|\s+(?:holds|has|had|works|worked|wrote|called|can|told)\b"
    r"|\s*[:,(;\u2013-]{1,2}\s*(?:phone|tel|telephone|mobile|cell|e-?mail|mail|born|account|lives|address|record|date|ssn)\b"
    r"|\s*[<(\[]?[\w.+\\-]+@",
    re.IGNORECASE,
)
_BEFORE = re.compile(
    r"(?:\b(?:mr|mrs|ms|miss|mx|dr|prof|name|named|called|for|of|with|contact|customer|client|patient|employee|member"
    r"|dear|sincerely|regards|holder|resident|subject|reach|call|write\s+to|ask|meet|by)\b\.?\s*[,:]?\s*)$",
    re.IGNORECASE,
)
_COMPILED = re.compile(PERSON)


def people(text: str) -> Iterator[tuple[int, int, float]]:
    """Start, end and score of each candidate, in the order of the text."""
    for match in _COMPILED.finditer(text):
        start, end = match.span()
        yield start, end, person_score(text, start, end)


def person_score(text: str, start: int, end: int) -> float:
    """How likely it is a person: .35 by its looks, .6 with one clue around it, .8 with two.

    A part of a longer title ("New *York Times*", "*Lake Vann* Bridge") is hardly one: .2.
    """
    before = text[max(0, start - 24) : start]
    if _TITLE_BEFORE.search(before) or _TITLE_AFTER.match(text, end):
        return 0.2
    return (PERSON_SCORE, 0.6, 0.8)[bool(_AFTER.match(text, end)) + bool(_BEFORE.search(before))]


_STARTED = "|".join(sorted(_BEFORE_NAMES))
_TITLE_BEFORE = re.compile(rf"(?<!\w)(?!(?:{_STARTED}|[{UPPER}])(?!\w)){CAPITALISED}{_SPACE}$")
_TITLE_AFTER = re.compile(rf"{_SPACE}(?!(?:{_STARTED})(?!\w)){CAPITALISED}")
