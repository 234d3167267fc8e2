"""The ways in which people write an identifier down: what the search has to recognise, made without its patterns.

`exact` reads what is written; this writes. The two share no code but the libraries of phone numbers, so that what one
forgets the other may know. English and numeric ways, as in `detectors.shapes`. What a way writes around the value
without its being part of it stands outside of two `EDGE` characters.
"""

import random
import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import date

import phonenumbers

from domain.records import IdentifierKind

EDGE = "\x01"
Ways = Sequence[Callable[[str], str]]

_SEPARATOR = re.compile(r"[\s().\-/]+")
_ABBREVIATED = {
    "Street": "St.", "Road": "Rd", "Avenue": "Ave.", "Lane": "Ln", "Drive": "Dr.", "Court": "Ct",
    "Boulevard": "Blvd", "Place": "Pl.", "Apartment": "Apt", "North": "N.", "South": "S.",
}  # fmt: skip


def _with(separator: str) -> Callable[[str], str]:
    return lambda value: _SEPARATOR.sub(separator, value.strip("()"))


def _reversed(name: str, between: str) -> str:
    """Family name first; what a name of one word has."""
    *given, family = name.split()
    return f"{family}{between}{' '.join(given)}" if given else name


def _shortened(name: str) -> str:
    first, *rest = name.split()
    return f"{first[0]}. {' '.join(rest)}" if rest else name


def _middle(name: str) -> str:
    first, *rest = name.split()
    return " ".join([first, "J.", *rest]) if len(rest) == 1 else name


def _slipped(name: str) -> str:
    """Two letters exchanged inside the last word, where it is long enough for that to be a slip."""
    at = len(name) - 3
    exchanged = name[:at] + name[at + 1] + name[at] + name[at + 2 :]
    return exchanged if len(name.rpartition(" ")[2]) > 5 and name[at : at + 2].isalpha() else name


NAMES: Ways = (
    lambda v: v,
    str.upper,
    str.lower,
    lambda v: _reversed(v, ", "),
    lambda v: _reversed(v, " "),
    lambda v: v.replace(" ", "\n", 1),
    lambda v: v.replace(" ", "  "),
    lambda v: v.replace(" ", "_").lower(),
    lambda v: f"{EDGE}{v}{EDGE}'s",
    lambda v: '"' + EDGE + v.replace(" ", '","') + EDGE + '"',
    _shortened,
    _middle,
    lambda v: unicodedata.normalize("NFD", v),
    lambda v: "".join(c for c in unicodedata.normalize("NFD", v) if not unicodedata.combining(c)),
    _slipped,
)
"""The last is a slip of the pen, which the search leaves to a person unless something else says who is meant."""

ALIASES: Ways = (lambda v: v, str.lower, str.upper, lambda v: f"@{EDGE}{v.lstrip('@')}{EDGE}")

EMAILS: Ways = (
    lambda v: v,
    str.upper,
    lambda v: f"<{v}>",
    lambda v: f"mailto:{EDGE}{v}{EDGE}",
    lambda v: v.replace("@", "%40"),
    lambda v: v.replace("@", " [at] ").replace(".", " [dot] "),
    lambda v: v.replace("@", "+news@"),
    lambda v: v.replace("_", "\\_").replace(".", "\\."),
)

RECORDS: Ways = (
    lambda v: v,
    _with(""),
    _with(" "),
    _with("-"),
    _with("."),
    _with("/"),
    lambda v: f"No. {EDGE}{v}{EDGE}",
    lambda v: f"#{v.lower()}",
)

ADDRESSES: Ways = (
    lambda v: v,
    str.upper,
    str.lower,
    lambda v: v.replace(", ", "\n"),
    lambda v: v.replace(",", ""),
    lambda v: re.sub(r"\w+", lambda m: _ABBREVIATED.get(m[0], m[0]), v),
    lambda v: re.sub(r"^(\d+) ([^,]+)", r"\2 \1", v),
)


def _ordinal(day: int) -> str:
    return f"{day}{'th' if 10 < day < 14 else {1: 'st', 2: 'nd', 3: 'rd'}.get(day % 10, 'th')}"


def _dated(write: Callable[[date], str]) -> Callable[[str], str]:
    return lambda value: write(date.fromisoformat(value))


DATES: Ways = (
    lambda v: v,
    _dated(lambda d: f"{d.day} {d:%B %Y}"),
    _dated(lambda d: f"{d:%B} {d.day}, {d.year}"),
    _dated(lambda d: f"the {EDGE}{_ordinal(d.day)} of {d:%B %Y}{EDGE}"),
    _dated(lambda d: f"{d.day} {d:%b} {d.year}"),
    _dated(lambda d: f"{d.day}-{d:%b}-{d:%y}"),
    _dated(lambda d: f"{d:%m/%d/%Y}"),
    _dated(lambda d: f"{d:%d/%m/%Y}"),
    _dated(lambda d: f"{d.day}.{d.month}.{d.year}"),
    _dated(lambda d: f"{d.month}/{d.day}/{d:%y}"),
    _dated(lambda d: f"{d:%Y%m%d}"),
    _dated(lambda d: f"{d:%Y/%m/%d}"),
)


def phones(region: str) -> Ways:
    """Ways of a phone number that is read as of this region where it has no country."""

    def formatted(how: int) -> Callable[[str], str]:
        def write(value: str) -> str:
            try:
                number = phonenumbers.parse(value, region)
            except phonenumbers.NumberParseException:
                return value
            return str(phonenumbers.format_number(number, how))

        return write

    kinds = phonenumbers.PhoneNumberFormat
    return (
        lambda v: v,
        *map(_with, ("", " ", ".", "\u00a0", "\u2013")),
        *map(formatted, (kinds.E164, kinds.INTERNATIONAL, kinds.NATIONAL)),
        lambda v: f"{EDGE}{v}{EDGE} ext. 12",
    )


def written(
    kind: IdentifierKind, value: str, regions: Sequence[str], order: random.Random
) -> tuple[str, str, str]:
    """The value in one of the ways of its kind, each as likely; before and behind it, what is not part of it."""
    ways = {
        IdentifierKind.NAME: NAMES,
        IdentifierKind.ALIAS: ALIASES,
        IdentifierKind.EMAIL: EMAILS,
        IdentifierKind.PHONE: phones(order.choice(list(regions) or ["US"])),
        IdentifierKind.RECORD_ID: RECORDS,
        IdentifierKind.ADDRESS: ADDRESSES,
        IdentifierKind.BIRTH_DATE: DATES,
    }[kind]
    try:
        pieces = order.choice(ways)(value).split(EDGE)
    except ValueError:  # a date that is none is written as the request has it
        pieces = [value]
    before, inside, behind = pieces if len(pieces) == 3 else ("", pieces[0], "")
    return before, inside, behind
