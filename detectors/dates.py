"""The ways in which a date is written. Reading the requested date is python-dateutil's work."""

import re
from datetime import date, datetime

from dateutil import parser

from detectors.folding import fold
from detectors.forms import Form, Key, plain
from domain.months import NAMES
from domain.records import SpanKind

MONTHS: tuple[tuple[str, ...], ...] = tuple(
    tuple(dict.fromkeys(fold(name).text for name in names)) for names in zip(*NAMES, strict=True)
)
"""Folded month names in all languages, by month."""

_BETWEEN = r"[\s\-./,]*"
_NUMERIC = r"\s?[-./\s]\s?"


def date_forms(value: str) -> list[Form]:
    """Forms of a date: numeric in three orders, with the month's name, with two- and four-digit
    years.

    A numeric date that can be read in two ways ("04/03/1987") gives the forms of both. What is no
    full date gives the text as it stands. A date alone names nobody.
    """
    readings = read_date(value)
    patterns = [both for day in readings for both in _patterns(day)]
    if not patterns:
        pieces = fold(value).text.split()
        loose = f" {' *'.join(map(plain, pieces))}"
        return [_form(r"\s*".join(map(re.escape, pieces)), "", loose)]
    year = f"{readings[0].year:04d}"
    return [_form(pattern, year[-2:], keys=frozenset(keys)) for pattern, keys in patterns]


def read_date(value: str) -> list[date]:
    """The full dates that a text can mean; two when day and month can be exchanged."""
    text = value.strip()
    iso = re.match(r"\d{4}-\d{2}-\d{2}", text)  # dateutil would exchange its day and month too
    found: list[date] = []
    for day_first in (False,) if iso else (False, True):
        day = _parse(text, day_first=day_first)
        if day is not None and day not in found:
            found.append(day)
    return found


def _parse(text: str, *, day_first: bool) -> date | None:
    """The date, or None when a part of it is missing: two defaults that differ everywhere must
    agree.
    """
    try:
        one, two = (
            parser.parse(text, dayfirst=day_first, default=default).date()
            for default in (datetime(1904, 1, 1), datetime(1908, 2, 2))  # noqa: DTZ001  dates only
        )
    except (
        ValueError,
        OverflowError,
    ):  # dateutil's answer to "no date"; then the text itself is the form
        return None
    return one if one == two else None


def _patterns(day: date) -> list[tuple[str, set[Key]]]:
    """Regular expressions over folded text, most explicit first, each with the keys of what it finds."""
    year, short = f"{day.year:04d}", f"{day.year % 100:02d}"
    d, m = (str(n) if n > 9 else f"(?:0{n}|{n})" for n in (day.day, day.month))
    d2, m2 = f"{day.day:02d}", f"{day.month:02d}"
    month = (
        "(?:" + "|".join(sorted(MONTHS[day.month - 1], key=len, reverse=True)) + r")(?![^\W\d_])\.?"
    )
    ordinal = rf"{d}(?:st|nd|rd|th|er|o|°)?(?![^\W_])\.?"
    of = r"(?:of\s+|de\s+|den\s+)?"
    years = rf"(?:{year}|'?{short})"
    n, k, both = day.day, day.month, (day.year, day.year % 100)
    compact = (f"{year}{m2}{d2}", f"{d2}{m2}{year}", f"{m2}{d2}{year}")
    return [
        (rf"{ordinal}{_BETWEEN}{of}{month}{_BETWEEN}{of}{years}", {(n, -k, y) for y in both}),
        (
            rf"{month}{_BETWEEN}(?:the\s+)?{ordinal}{_BETWEEN}(?:{year}|'{short})",
            {(-k, n, y) for y in both},
        ),
        (rf"{year}{_BETWEEN}{month}{_BETWEEN}{ordinal}", {(day.year, -k, n)}),
        (rf"{year}{_NUMERIC}{m}{_NUMERIC}{d}", {(day.year, k, n)}),
        (rf"{year}\s?年\s?{m}\s?月\s?{d}\s?日?", {(day.year, k, n)}),
        (rf"{d}{_NUMERIC}{m}{_NUMERIC}{years}", {(n, k, y) for y in both}),
        (rf"{m}{_NUMERIC}{d}{_NUMERIC}{years}", {(k, n, y) for y in both}),
        (f"(?:{'|'.join(compact)})", {(int(number),) for number in compact}),
    ]


def _form(pattern: str, anchor: str, loose: str = "", keys: frozenset[Key] = frozenset()) -> Form:
    """A date, without alternatives outside of brackets, must not begin or end inside a longer word or
    number; ISO date-times may follow with a T.
    """
    return Form(
        SpanKind.DATE,
        rf"(?<![^\W_]){pattern}(?!\d|[^\W\dt_])",
        0.9,
        alone=False,
        anchor=anchor,
        loose=loose,
        keys=keys,
    )
