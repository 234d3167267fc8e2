"""The ways in which e-mail addresses, phone numbers and record numbers are written."""

import re
from collections.abc import Sequence

import phonenumbers

from detectors.folding import digits_of, fold
from detectors.forms import Form, plain
from domain.records import SpanKind

_GAP = r"(?:\\?[\s().\-/]){0,3}"
_AT = r"\s?(?:\\?@|%40|[\[({]\s?at\s?[\])}])\s?"
_DOT = r"(?:\\?\.|\s?[\[({]\s?dot\s?[\])}]\s?)"
_LOCAL_DOT = _DOT.replace(r"\\?", r"\\*", 1)  # as many escapes as there are
_TELLING = 8  # characters of the first part of an e-mail address, of which some are no letters
_SHORTEST_PHONE = 7  # subscriber numbers shorter than this are ordinary numbers
_SHORTEST_RECORD = 6  # shorter record numbers occur by chance


def email_forms(value: str) -> list[Form]:
    """Forms of an e-mail address: any case, markdown escapes, percent or bracketed @, a sub-address
    after +.
    """
    local, at, domain = fold(value.strip()).text.rpartition("@")
    if not at or not local or not domain:
        written = fold(value).text.strip()
        return [
            Form(SpanKind.EMAIL, rf"(?<!\w){re.escape(written)}(?!\w)", 0.9, loose=plain(written))
        ]
    body = "".join(
        c if c.isalnum() else _LOCAL_DOT if c == "." else r"\\*" + re.escape(c) for c in local
    )
    host = _DOT.join(re.escape(label).replace(r"\-", r"\\?-") for label in domain.split("."))
    pattern = rf"(?<![^\W_])(?<![.+\-_]){body}(?:\\?\+[\w.\-]+)?{_AT}{host}(?!\w|-\w|\.\w)"
    anchor = max(re.split(r"[^a-z0-9]+", local), key=len)
    names = " +(?:dot +)?".join(" +".join(plain(p).split()) for p in local.split("."))
    hosts = " +(?:dot +)?".join(" +".join(plain(p).split()) for p in domain.split("."))
    telling = len(local) >= _TELLING and not local.isalpha()  # hardly ever without the host
    loose = f" {names} " if telling else rf" {names} (?:[^\x00]* )?(?:40)?{hosts} "
    return [Form(SpanKind.EMAIL, pattern, 1.0, anchor=anchor, loose=loose)]


def require_regions(regions: Sequence[str]) -> None:
    """Raises `ValueError` for a code that no country has: its phone numbers would be missed in silence."""
    for region in regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError(f"region {region} is unknown; write ISO 3166 codes, such as [US, GB]")


def phone_forms(value: str, regions: tuple[str, ...]) -> list[Form]:
    """Forms of a phone number: with and without separators, country prefix, trunk zero and
    extension.

    Args:
        value: as the request writes it.
        regions: ISO 3166 codes tried for a number without a country prefix.

    """
    written = digits_of(fold(re.sub(r"(?i)\s*(?:ext\.?|x)\s*\d+\s*$", "", value)).text)
    numbers: dict[tuple[str, str], None] = {}
    for region in regions:
        parsed = _parse(value, region)
        if parsed is not None:
            numbers[str(parsed.country_code), phonenumbers.national_significant_number(parsed)] = (
                None
            )
    forms = [_phone(national, rf"(?:(?:\+|00){_GAP})?{code}") for code, national in numbers]
    if not any(national == written for _, national in numbers):
        forms.append(_phone(written, r"(?:\+|00)\d{1,3}"))
    return [form for form in forms if form.anchor]


def _parse(value: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:  # then only the digits as written are a form
        return None


def _phone(national: str, country: str) -> Form:
    if not national:
        return Form(SpanKind.PHONE, r"(?!)", 0.0)
    prefix = rf"(?:\(?{country}\)?{_GAP})?(?:\(?0\)?{_GAP})?\(?"
    pattern = rf"(?=[(+0-9])(?<!\d)(?<!\d\.){prefix}{_GAP.join(national)}(?!\d)"
    alone = len(national) >= _SHORTEST_PHONE
    return Form(
        SpanKind.PHONE,
        pattern,
        0.95,
        alone,
        anchor=national,
        digits=True,
        loose="" if alone else " {0,6}".join(national),
        solid=national if alone else "",
    )


def record_forms(value: str) -> list[Form]:
    """Forms of a record, account, card or social security number: with, without and with other
    separators.
    """
    characters = [c for c in fold(value).text if c.isalnum()]
    if not characters:
        return []
    gap = r"(?:\\?[\s\-./_]){0,2}" if len(characters) > 3 else r"\\?[\s\-./_]?"
    pattern = rf"(?<![^\W_]){gap.join(map(re.escape, characters))}(?![^\W_])"
    number = "".join(c for c in characters if c.isdigit())
    alone = len(characters) >= _SHORTEST_RECORD
    return [
        Form(
            SpanKind.NUMBER,
            pattern,
            0.95,
            alone,
            anchor=number,
            digits=True,
            loose="" if alone else f" {' {0,4}'.join(characters)} ",
            solid="".join(characters) if alone else "",
        )
    ]
