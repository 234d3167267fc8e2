"""A person's request: the YAML file that is filed, checked field by field, and stored in the vault under a reference.

A refusal names the field and the remedy, never the value, and leaves nothing behind.
"""

import json
import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from domain.errors import Code, RequestRejected
from domain.lifecycle import Event
from domain.records import Identifier, IdentifierKind, Subject
from domain.secrecy import Secret
from flows.catalog import Catalog
from flows.database import transaction
from flows.deadlines import due_on
from flows.ledger import Ledger
from flows.policy import Policy
from flows.reading import read_yaml
from flows.vault import Vault

FIELDS: Mapping[str, IdentifierKind] = {
    "names": IdentifierKind.NAME,
    "aliases": IdentifierKind.ALIAS,
    "emails": IdentifierKind.EMAIL,
    "phones": IdentifierKind.PHONE,
    "addresses": IdentifierKind.ADDRESS,
    "birth_dates": IdentifierKind.BIRTH_DATE,
    "record_ids": IdentifierKind.RECORD_ID,
}
OTHER_WORDS = {"date_of_birth": "birth_dates"}
GROUNDS = "abcdef"  # GDPR Article 17(1)(a) to (f)
MOST = 50  # entries of one field; more is a list, not a person
LONGEST = 300  # characters of one entry
GDPR_APPLIES = datetime(2018, 5, 25, tzinfo=UTC)
REFERENCE = re.compile(r"er-[0-9a-f]{16}")
_EMAIL = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>.]+\.?")
_SPELLED_DATES = ("%B %d, %Y", "%d %B %Y", "%b %d, %Y", "%d %b %Y")  # the month as a word: no doubt


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it was filed. `subject.request_ref` is its reference."""

    subject: Subject
    models: tuple[str, ...]
    corpora: tuple[str, ...]
    received_at: datetime
    ground: str

    def secrets(self) -> tuple[Secret, ...]:
        """Everything the request says about its person, for the last look before a signature."""
        return tuple(identifier.value for identifier in self.subject.identifiers)


def new_reference() -> str:
    """An opaque reference: 64 random bits, nothing of the person in it."""
    return f"er-{secrets.token_hex(8)}"


def check_reference(ref: str) -> str:
    """The reference, if it is one. Raises `RequestRejected` (REQUEST_UNKNOWN) without repeating what was given."""
    if not REFERENCE.fullmatch(ref):
        raise RequestRejected(
            Code.REQUEST_UNKNOWN,
            place="the request's reference",
            remedy="a reference is er- and 16 hex digits; see: lethe request list",
        )
    return ref


def read_request(path: Path, catalog: Catalog, *, now: datetime | None = None) -> Request:
    """Read and check a request file; it gets a new reference.

    Raises `RequestRejected`: REQUEST_UNREADABLE (not YAML), REQUEST_FIELD (an unknown, missing or wrong field),
    REQUEST_NO_IDENTIFIERS, REQUEST_TOO_VAGUE (a first name fits many people), MODEL_UNKNOWN, CORPUS_UNKNOWN.
    """
    fields = read_yaml(path, Code.REQUEST_UNREADABLE, plain=True)
    for old, new in OTHER_WORDS.items():
        if old in fields:
            if new in fields:
                raise _field(old, f"it means the same as {new}; keep one of them.")
            fields[new] = fields.pop(old)
    for name in fields:
        if name not in {*FIELDS, "scope", "received_at", "ground"}:
            raise _unknown_field(name)
    identifiers = tuple(
        Identifier(kind, Secret(value))
        for name, kind in FIELDS.items()
        for value in _values(name, fields.get(name, []))
    )
    _refuse_vague(identifiers)
    models, corpora = _scope(fields.get("scope"), catalog)
    return Request(
        Subject(new_reference(), identifiers),
        models,
        corpora,
        _received_at(fields.get("received_at"), now or datetime.now(UTC)),
        _ground(fields.get("ground")),
    )


def file_request(
    request: Request, policy: Policy, engine: Engine, vault: Vault, ledger: Ledger
) -> str:
    """Store a request in vault and ledger, both or neither, and return its reference."""
    ref = request.subject.request_ref
    due = due_on(request.received_at, policy.deadlines)
    with transaction(engine) as connection:
        vault.open_request(ref, connection)
        vault.put(ref, "request", _encode(request), connection)
        ledger.append(
            ref,
            Event.RECEIVED,
            {
                "received_at": request.received_at.astimezone(UTC).isoformat(timespec="seconds"),
                "due_on": due.isoformat(),
                "ground": request.ground,
                "models": list(request.models),
                "corpora": list(request.corpora),
                "identifiers": len(request.subject.identifiers),
            },
            within=connection,
        )
    return ref


def load_request(ref: str, vault: Vault) -> Request:
    """The request of that reference. Raises `RequestRejected` (REQUEST_UNKNOWN) when it is not or no longer there."""
    content = vault.get(check_reference(ref), "request")
    if content is None:
        raise RequestRejected(
            Code.REQUEST_UNKNOWN,
            place="the request's reference",
            remedy="no such request, or its data were destroyed; see: lethe request list",
        )
    fields = json.loads(content)
    identifiers = tuple(
        Identifier(IdentifierKind(kind), Secret(value)) for kind, value in fields["identifiers"]
    )
    return Request(
        Subject(ref, identifiers),
        tuple(fields["models"]),
        tuple(fields["corpora"]),
        datetime.fromisoformat(fields["received_at"]),
        fields["ground"],
    )


def _encode(request: Request) -> bytes:
    return json.dumps(
        {
            "identifiers": [(i.kind, i.value.reveal()) for i in request.subject.identifiers],
            "models": request.models,
            "corpora": request.corpora,
            "received_at": request.received_at.isoformat(),
            "ground": request.ground,
        }
    ).encode()


def _values(name: str, given: object) -> list[str]:
    """The entries of one field: a text or a list of texts, NFC, trimmed, without repeats, each fit for its kind."""
    entries = [given] if isinstance(given, str) else given
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise _field(name, "write one text or a list of texts.")
    if len(entries) > MOST:
        raise _field(name, f"it has {len(entries)} entries; at most {MOST} can be one person's.")
    check = _CHECKS.get(name, _any_text)
    values = []
    for number, entry in enumerate(entries, start=1):
        value = unicodedata.normalize("NFC", entry).strip()
        place = f"{name}, entry {number}"
        if not 2 <= len(value) <= LONGEST:
            raise _field(place, f"it must have 2 to {LONGEST} characters; correct or remove it.")
        if any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Cn") for c in value):
            raise _field(place, "it holds invisible or control characters; type it again.")
        values.append(check(place, value))
    return list(dict.fromkeys(values))


def _any_text(place: str, value: str) -> str:
    if not any(c.isalnum() for c in value):
        raise _field(place, "it has neither letters nor digits; correct or remove it.")
    return value


def _email(place: str, value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise _field(place, "it is not an e-mail address; write it as name@host.tld.")
    return value


def _phone(place: str, value: str) -> str:
    digits = sum(c.isdigit() for c in value)
    if not 6 <= digits <= 15 or any(c.isalpha() for c in value):  # 15: ITU-T E.164
        raise _field(place, "a phone number has 6 to 15 digits; write it with its country code.")
    return value


def _birth_date(place: str, value: str) -> str:
    day = None
    for read in (date.fromisoformat, *(_spelled(form) for form in _SPELLED_DATES)):
        try:
            day = read(value)
            break
        except ValueError:
            continue
    if day is None:
        raise _field(place, "write the date as YYYY-MM-DD.")
    if not date(1850, 1, 1) <= day <= datetime.now(UTC).date():
        raise _field(place, "a date of birth lies between 1850 and today; correct it.")
    return day.isoformat()


def _spelled(form: str) -> Callable[[str], date]:
    return lambda value: datetime.strptime(value, form).replace(tzinfo=UTC).date()


_CHECKS: Mapping[str, Callable[[str, str], str]] = {
    "emails": _email,
    "phones": _phone,
    "birth_dates": _birth_date,
}


def _refuse_vague(identifiers: tuple[Identifier, ...]) -> None:
    """One name of one word, or a date alone, fits many people: whom we cannot tell apart we must not erase."""
    if not identifiers:
        raise RequestRejected(
            Code.REQUEST_NO_IDENTIFIERS,
            place=f"fields {', '.join(FIELDS)}",
            remedy="all are empty; say who the person is in at least one of them.",
        )
    names = (IdentifierKind.NAME, IdentifierKind.ALIAS)
    for identifier in identifiers:
        words = re.findall(r"[^\W\d_]{2,}", identifier.value.reveal())
        if identifier.kind in names and len(words) >= 2:
            return
        if identifier.kind not in (*names, IdentifierKind.BIRTH_DATE):
            return
    raise RequestRejected(
        Code.REQUEST_TOO_VAGUE,
        place="field names",
        remedy="a first name or a date alone fits many people; add the full name, an e-mail address, a phone "
        "number, an address or a record id.",
    )


def _scope(given: object, catalog: Catalog) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Models and corpora, all in the catalog; every corpus that a model was trained on must be among them."""
    if not isinstance(given, dict):
        raise _field(
            "scope", "say which models and corpora: scope: {models: [...], corpora: [...]}."
        )
    for name in given:
        if name not in ("models", "corpora"):
            raise _unknown_field(name, "scope.")
    models, corpora = (_names(f"scope.{key}", given.get(key)) for key in ("models", "corpora"))
    for corpus in corpora:
        catalog.corpus(corpus)
    for model in models:
        missing = sorted(set(catalog.model(model).corpora) - set(corpora))
        if missing:
            raise _field(
                "scope.corpora", f"model {model} was trained on {missing[0]} as well; add it."
            )
    return models, corpora


def _names(place: str, given: Any) -> tuple[str, ...]:
    entries = [given] if isinstance(given, str) else given
    if not isinstance(entries, list) or not entries or not all(isinstance(e, str) for e in entries):
        raise _field(place, "list at least one name from the catalog.")
    return tuple(dict.fromkeys(entries))


def _received_at(given: object, now: datetime) -> datetime:
    if given is None:
        return now
    try:
        at = datetime.fromisoformat(str(given))
    except ValueError:
        raise _field("received_at", "write it like 2026-11-02T09:30:00+01:00.") from None
    if at.tzinfo is None:
        raise _field("received_at", "it has no time zone; write it like 2026-11-02T09:30:00+01:00.")
    if at < GDPR_APPLIES:
        raise _field("received_at", "it lies before the GDPR applied (2018-05-25); correct it.")
    if at > now:
        raise _field("received_at", "it lies in the future; write when the request arrived.")
    return at


def _ground(given: object) -> str:
    if not isinstance(given, str) or given.lower() not in tuple(GROUNDS):
        raise _field("ground", "write the letter, a to f, of GDPR Article 17(1) that applies.")
    return given.lower()


def _field(place: str, remedy: str) -> RequestRejected:
    return RequestRejected(Code.REQUEST_FIELD, place=f"field {place}", remedy=remedy)


def _unknown_field(name: object, prefix: str = "") -> RequestRejected:
    """A key is the author's own word: it is shown only when it looks like the name of a field."""
    known = "models, corpora" if prefix else f"{', '.join(FIELDS)}, scope, received_at, ground"
    shown = (
        name if isinstance(name, str) and re.fullmatch(r"[a-z_]{1,30}", name) else "(unreadable)"
    )
    return _field(f"{prefix}{shown}", f"this field is unknown; known are {known}.")
