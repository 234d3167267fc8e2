"""What secrets look like, how sure their looks are, and how the words before them decide."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from detectors.letters import CAPITALISED
from detectors.people import PERSON, PERSON_SCORE, person_score
from detectors.streets import EUROPEAN_ADDRESS, LOOSE_ADDRESS, STREET_ADDRESS, US_ADDRESS
from domain.records import SpanKind

SURE = 0.5
"""From this confidence on a finding counts without a person's judgement."""


class Shape(NamedTuple):
    """A pattern for one kind of span and the confidence that its looks alone deserve."""

    kind: SpanKind
    name: str
    pattern: str
    score: float


class Finding(NamedTuple):
    """Code points `start:end` of a text, what they are, and how surely."""

    start: int
    end: int
    kind: SpanKind
    score: float


_MONTH = (
    "(?i:january|february|march|april|may|june|july|august|september|october|november|december|jan|feb|mar|apr|jun|jul"
    "|aug|sept|sep|oct|nov|dec|januar|februar|märz|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin"
    "|juillet|août|septembre|octobre|novembre|décembre|enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre"
    "|octubre|noviembre|diciembre|gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|desember)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_NUMERIC_MONTH = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:1[89]|20)\d{2}"
_OPEN = r"(?<![\w.+-])"
_CLOSE = r"(?!\w|[-/]\d)"

SHAPES: tuple[Shape, ...] = (
    Shape(
        SpanKind.EMAIL,
        "email",
        r"(?<![\w.+%-])(?:\w|\\_)(?:[\w.+%'-]|\\[_.\-+])*@(?:[\w-]+\\?\.)+[^\W\d_][\w-]*(?<![_-])",
        0.9,
    ),
    Shape(SpanKind.NUMBER, "ssn", rf"{_OPEN}\d{{3}}-\d{{2}}-\d{{4}}{_CLOSE}", 0.6),
    Shape(SpanKind.NUMBER, "ssn_spaced", rf"{_OPEN}\d{{3}} \d{{2}} \d{{4}}{_CLOSE}", 0.4),
    Shape(SpanKind.NUMBER, "ssn_bare", rf"{_OPEN}\d{{9}}{_CLOSE}", 0.3),
    Shape(SpanKind.NUMBER, "grouped", rf"{_OPEN}\d{{2,6}}(?:[-/.]\d{{2,6}}){{1,5}}{_CLOSE}", 0.3),
    Shape(
        SpanKind.NUMBER, "lettered", r"(?<![\w.+-])[A-Z]{1,5}(?:[- ]?\d{2,}){1,5}(?!\w|-\d)", 0.3
    ),
    Shape(SpanKind.NUMBER, "code", r"(?<![\w.+-])[A-Za-z]{2}\d{2}[A-Za-z\d]{8,30}(?!\w|-\d)", 0.35),
    Shape(SpanKind.NUMBER, "bare", rf"{_OPEN}(?!{_YEAR}(?!\d))\d{{4,19}}{_CLOSE}", 0.25),
    Shape(
        SpanKind.PHONE,
        "north_american",
        r"(?<![\w+-])(?:\+?1[-. ]?)?(?:\(\d{3}\)[ -]?|\d{3}[-. /])\d{3}[-. ]\d{4}(?!\w|-\d)",
        0.6,
    ),
    Shape(SpanKind.PHONE, "bare", rf"{_OPEN}\d{{10,11}}{_CLOSE}", 0.35),
    Shape(
        SpanKind.PHONE,
        "international",
        r"(?<![\w+])(?:\+|00)[1-9]\d{0,2}(?:[ .\-/]?\(?\d{1,5}\)?){2,6}(?!\w|-\d)",
        0.7,
    ),
    Shape(
        SpanKind.PHONE,
        "national",
        r"(?<![\w+-])\(?0\d{1,4}\)?(?:[ .\-/]\d{2,7}){1,5}(?!\w|-\d)",
        0.35,
    ),
    Shape(SpanKind.PHONE, "short", r"(?<![\w+-])\d{2,4}(?:[ \-]\d{2,4}){1,4}(?!\w|-\d)", 0.25),
    Shape(SpanKind.DATE, "iso", rf"{_OPEN}{_YEAR}-{_NUMERIC_MONTH}-{_DAY}(?!\d|-\d)", 0.45),
    Shape(
        SpanKind.DATE,
        "month_first",
        rf"(?<!\w){_MONTH}\.?[ \-](?:the )?{_DAY}(?:st|nd|rd|th)?,?[ \-]{_YEAR}(?!\w)",
        0.45,
    ),
    Shape(
        SpanKind.DATE,
        "day_first",
        rf"(?<![\w.+-]){_DAY}(?:st|nd|rd|th|\.)?[ \-](?:of |de )?{_MONTH}\.?,?[ \-](?:de )?"
        rf"{_YEAR}(?!\w)",
        0.45,
    ),
    Shape(
        SpanKind.DATE,
        "numeric",
        rf"{_OPEN}{_DAY}([-./]){_DAY}\1(?:{_YEAR}|\d{{2}}){_CLOSE}",
        0.4,
    ),
    Shape(
        SpanKind.DATE, "year_first", rf"{_OPEN}{_YEAR}([./]){_NUMERIC_MONTH}\1{_DAY}{_CLOSE}", 0.4
    ),
    Shape(SpanKind.ADDRESS, "us", US_ADDRESS, 0.85),
    Shape(SpanKind.ADDRESS, "street", STREET_ADDRESS, 0.6),
    Shape(SpanKind.ADDRESS, "european", EUROPEAN_ADDRESS, 0.55),
    Shape(SpanKind.ADDRESS, "loose", LOOSE_ADDRESS, 0.2),
    Shape(SpanKind.PERSON, "capitalised", PERSON, PERSON_SCORE),
)

_WORDS: dict[SpanKind, str] = {
    SpanKind.EMAIL: r"e-?mail(?: address)?|mail(?: address)?",
    SpanKind.PHONE: (
        r"(?:tele|cell ?)?phone|tel|mobile|cell|fax|call(?:ed)?|dial|contact number|sms|whatsapp"
        r"|reach(?:ed|able)?"
    ),
    SpanKind.NUMBER: (
        r"social security|ssn|account|acct|record|passport|licen[cs]e|policy|card|iban|identi\w+|id"
        r"|member(?:ship)?|customer|case|file|reference|insurance|tax|patient|employee"
    ),
    SpanKind.DATE: r"born|birth(?:day|date)?|dob|date of birth|b\.",
    SpanKind.ADDRESS: (
        r"(?:home |postal |street |mailing )?address|liv(?:es|ing|ed|e)"
        r"|resid(?:es|ing|ed|ence|ent)|located|home"
    ),
}
"""The words that say what follows them."""
_KEYWORD = re.compile(
    "|".join(
        rf"(?P<{kind.value}>(?<![^\W_])(?:{words})(?![^\W_]))" for kind, words in _WORDS.items()
    ),
    re.IGNORECASE,
)
_REACH = 72  # characters before a value in which a word may speak for it
_RAISE, _LOWER = 0.35, 0.15


def in_context(text: str, finding: Finding) -> Finding:
    """The finding with the confidence that the nearest word of a kind before it gives or takes."""
    if finding.kind is SpanKind.PERSON:
        known = finding.score > PERSON_SCORE  # by a model, which knows more than our clues
        score = finding.score if known else person_score(text, finding.start, finding.end)
        return finding._replace(score=score)
    if finding.kind in {SpanKind.EMAIL, SpanKind.OTHER}:  # speak for themselves
        return finding
    keyword = None
    for keyword in _KEYWORD.finditer(text, max(0, finding.start - _REACH), finding.start):  # noqa: B007
        pass
    if keyword is None:
        return finding
    if keyword.lastgroup == finding.kind.value:
        return finding._replace(score=min(1.0, round(finding.score + _RAISE, 3)))
    if finding.kind is SpanKind.ADDRESS:  # a whole address speaks for itself
        return finding
    return finding._replace(score=round(finding.score - _LOWER, 3))


def announces(words: str, kind: SpanKind) -> bool:
    """Whether one of the words, the head of a column say, says that what follows is of this kind."""
    return any(match.lastgroup == kind.value for match in _KEYWORD.finditer(words))


def settle(findings: Iterable[Finding]) -> list[Finding]:
    """Disjoint findings: where two overlap, the surer wins, then the longer, then the earlier."""
    kept: list[Finding] = []
    for finding in sorted(findings, key=lambda f: (-f.score, f.start - f.end, f)):
        if not any(finding.start < k.end and k.start < finding.end for k in kept):
            kept.append(finding)
    return sorted(kept)


def introduce(text: str, findings: list[Finding]) -> list[Finding]:
    """Raise the candidates for names that stand right before a sure secret: "Ann Berg, 0155 Oslo,
    tel. 22 12 34 56".
    """
    secrets = [f.start for f in findings if f.kind is not SpanKind.PERSON and f.score >= SURE]
    return [
        f._replace(score=0.55)
        if f.kind is SpanKind.PERSON
        and f.score < SURE
        and any(
            f.end <= at <= f.end + _INTRODUCES and not _STOP.search(text, f.end, at)
            for at in secrets
        )
        else f
        for f in findings
    ]


def looks(text: str) -> list[Finding]:
    """Whatever has the looks of one of the shapes, overlapping ones too. Shapes with a digit or an @
    are not tried on a text without.
    """
    digits = _ANY_DIGIT.search(text) is not None
    there = {SpanKind.EMAIL: "@" in text, SpanKind.PERSON: True}
    return [
        Finding(match.start(), _end(match, shape.kind), shape.kind, shape.score)
        for shape, pattern in _COMPILED
        if there.get(shape.kind, digits)
        for match in pattern.finditer(text)
    ]


def _end(match: re.Match[str], kind: SpanKind) -> int:
    """Where it ends: an address that has its town goes on in another line with a postcode only, and
    no address with a word that is a key.
    """
    end = match.start() + match.group().find("\n")
    while kind is SpanKind.ADDRESS and match.start() <= end < match.end():
        following = match.string.find("\n", end + 1)
        following = match.end() if following < 0 else min(following, match.end())
        line = match.string[end + 1 : following]
        town = _TOWN.search(match.string, match.start(), end)
        if (town and not _ANY_DIGIT.search(line)) or match.string[following : following + 1] == ":":
            return end
        end = following
    return match.end()


def findings(text: str) -> list[Finding]:
    """What the shapes alone find, disjoint and sorted; for a look that needs no engine."""
    return introduce(text, settle(in_context(text, finding) for finding in looks(text)))


_TOWN = re.compile(
    rf",\s+(?:in\s+)?(?!(?:Apt|Apartment|Unit|Suite|Ste|Floor|Flat|Room|No)\b){CAPITALISED}"
)
_ANY_DIGIT = re.compile(r"\d")
_INTRODUCES = 40
_STOP = re.compile(r"[.!?;]\s|\n")
_COMPILED = tuple((shape, re.compile(shape.pattern)) for shape in SHAPES)
