"""What happened to each request: append-only events in one hash chain. Status is a fold over them and stored nowhere.

Every event names the hash of the event before it, over all requests, so that a row that was changed, taken out or put
in breaks the chain. The end of the chain is not protected by itself: a later one must contain an exported `head()`.
The database refuses UPDATE and DELETE by triggers; who owns the database can drop them, and the chain then shows it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from sqlalchemy import (
    DDL,
    Column,
    Connection,
    Engine,
    Integer,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from domain.errors import Code, EvidenceInvalid, RequestRejected, Unavailable
from domain.lifecycle import ENDED, Event, Status, follow, status_of
from flows.database import METADATA, available, transaction

Payload: TypeAlias = "str | int | float | bool | list[Payload] | Mapping[str, Payload] | None"

GENESIS = "0" * 64
ATTEMPTS = 20  # a writer that loses the race for the chain's end that often gives up
_TOKEN = re.compile(r"[A-Za-z0-9_.:+-]{0,80}")

EVENTS = Table(
    "ledger_events",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("request_ref", String(40), nullable=False, index=True),
    Column("seq", Integer, nullable=False),
    Column("event", String(40), nullable=False),
    Column("at", String(40), nullable=False),
    Column("actor", String(40), nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False, unique=True),
    UniqueConstraint("request_ref", "seq"),
)


def _after_create(statement: str, dialect: str) -> None:
    ddl = DDL(statement)  # type: ignore[no-untyped-call]
    event.listen(EVENTS, "after_create", ddl.execute_if(dialect=dialect))


for verb in ("UPDATE", "DELETE"):
    _after_create(
        f"CREATE TRIGGER ledger_no_{verb.lower()} BEFORE {verb} ON ledger_events "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
        "sqlite",
    )
_REFUSE = """CREATE OR REPLACE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"""
_TRIGGER = """CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_events
FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()"""
for statement in (_REFUSE, _TRIGGER):
    _after_create(statement, "postgresql")


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it stands in the ledger."""

    number: int
    request_ref: str
    seq: int
    event: Event
    at: str  # RFC 3339, UTC
    actor: str
    payload: Mapping[str, Payload]
    hash: str


class Ledger:
    """Append, read, check."""

    def __init__(self, engine: Engine, actor: str = "lethe") -> None:
        self._engine = engine
        self._actor = actor
        with available():
            METADATA.create_all(engine, tables=[EVENTS])

    def append(
        self,
        ref: str,
        happened: Event,
        payload: Mapping[str, Payload] | None = None,
        *,
        after: int | None = None,
        within: Connection | None = None,
    ) -> Status:
        """Add an event and return the status it leads to.

        `after` is the number of events the caller has seen (optimistic concurrency): when there are more by now,
        another writer was faster and this one is refused. `payload` holds enums, numbers and digests.

        Raises `RequestRejected` (REQUEST_STATE) when the event may not come here, `ValueError` for text in the
        payload, `Unavailable` when the database does not answer.
        """
        _refuse_text(payload or {})
        for _ in range(ATTEMPTS):
            try:
                with transaction(self._engine, within) as connection:
                    return self._insert(connection, ref, happened, payload or {}, after)
            except IntegrityError:  # another writer took this place in the chain
                if within is not None:
                    break
        raise Unavailable(
            Code.DATABASE, request_ref=ref, place="the ledger", remedy="it is too busy; run again."
        )

    def _insert(
        self,
        connection: Connection,
        ref: str,
        happened: Event,
        payload: Mapping[str, Payload],
        after: int | None,
    ) -> Status:
        past = [
            Event(name) for name in connection.scalars(_of(ref).with_only_columns(EVENTS.c.event))
        ]
        if after is not None and after != len(past):
            raise _state(
                ref, "another run changed the request; look at it with: lethe request show"
            )
        try:
            status = follow(status_of(past) if past else None, happened)
        except ValueError:
            now = status_of(past).value if past else "unknown"
            late = "a request can be withdrawn until its corpus is changed."
            withdrawn = happened is Event.WITHDRAWN
            remedy = late if withdrawn else f"{happened.value} cannot follow that."
            raise _state(ref, f"it is {now}; {remedy}") from None
        last = connection.execute(select(EVENTS).order_by(EVENTS.c.number.desc()).limit(1)).first()
        row = {
            "number": last.number + 1 if last else 1,
            "request_ref": ref,
            "seq": len(past) + 1,
            "event": happened.value,
            "at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "actor": self._actor,
            "payload": json.dumps(payload, sort_keys=True, separators=(",", ":")),
            "previous": last.hash if last else GENESIS,
        }
        connection.execute(insert(EVENTS).values(**row, hash=_hash(row)))
        return status

    def events(self, ref: str) -> list[Entry]:
        """The events of one request, in order. Raises `RequestRejected` (REQUEST_UNKNOWN)."""
        with transaction(self._engine) as connection:
            rows = connection.execute(_of(ref)).all()
        if not rows:
            raise RequestRejected(
                Code.REQUEST_UNKNOWN,
                place="the request's reference",
                remedy="no such request; see: lethe request list",
            )
        return [_entry(row) for row in rows]

    def status(self, ref: str) -> Status:
        """Where the request stands. Raises `RequestRejected` (REQUEST_UNKNOWN)."""
        return status_of(entry.event for entry in self.events(ref))

    def require_open(self, ref: str) -> None:
        """Raise `RequestRejected` (REQUEST_STATE) when nothing can follow any more."""
        status = self.status(ref)
        if status in ENDED:
            raise _state(
                ref, f"it is {status.value} and cannot be started again; file a new request."
            )

    def requests(self) -> list[str]:
        """All references, in the order of receipt."""
        with transaction(self._engine) as connection:
            return list(
                connection.scalars(
                    select(EVENTS.c.request_ref).where(EVENTS.c.seq == 1).order_by(EVENTS.c.number)
                )
            )

    def head(self) -> str:
        """The hash of the last event: whoever keeps it can tell later whether the past was changed."""
        with transaction(self._engine) as connection:
            last = select(EVENTS.c.hash).order_by(EVENTS.c.number.desc()).limit(1)
            return connection.scalar(last) or GENESIS

    def verify_chain(self, head: str = "") -> int:
        """Check every link and return the number of events. `head` is an earlier one that must still be in it.

        Raises `EvidenceInvalid` (LEDGER_BROKEN) at the first event that does not follow from the one before.
        """
        previous, number, seen = GENESIS, 0, {GENESIS}
        folded: dict[str, list[Event]] = {}
        with transaction(self._engine) as connection:
            for row in connection.execute(select(EVENTS).order_by(EVENTS.c.number)):
                number += 1
                fields = {k: v for k, v in row._mapping.items() if k != "hash"}  # noqa: SLF001  public in SQLAlchemy
                past = folded.setdefault(row.request_ref, [])
                past.append(Event(row.event))
                linked = row.previous == previous and row.hash == _hash(fields)
                if not linked or row.number != number or row.seq != len(past):
                    raise _broken(f"the ledger, event {number}")
                previous = row.hash
                seen.add(previous)
        for ref, past in folded.items():
            try:
                status_of(past)
            except ValueError:
                raise _broken(f"the ledger, request {ref}") from None
        if head and head not in seen:
            raise _broken("the ledger, its end")
        return number

    def count(self) -> int:
        """How many events there are."""
        with transaction(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(EVENTS)) or 0


def _of(ref: str):  # type: ignore[no-untyped-def]  # noqa: ANN202  SQLAlchemy infers it
    return select(EVENTS).where(EVENTS.c.request_ref == ref).order_by(EVENTS.c.seq)


def _entry(row: Row) -> Entry:  # type: ignore[type-arg]
    payload = json.loads(row.payload)
    return Entry(
        row.number, row.request_ref, row.seq, Event(row.event), row.at, row.actor, payload, row.hash
    )


def _hash(row: Mapping[str, object]) -> str:
    return hashlib.sha256(
        json.dumps(dict(row), sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _refuse_text(value: Payload) -> None:
    if isinstance(value, str):
        if not _TOKEN.fullmatch(value):
            raise ValueError("the ledger takes enums, numbers and digests only")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _refuse_text(key)
            _refuse_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_text(inner)


def _state(ref: str, remedy: str) -> RequestRejected:
    return RequestRejected(
        Code.REQUEST_STATE, request_ref=ref, place=f"request {ref}", remedy=remedy
    )


def _broken(place: str) -> EvidenceInvalid:
    return EvidenceInvalid(
        Code.LEDGER_BROKEN,
        place=place,
        remedy="the chain of hashes breaks here: the database was changed by hand; restore it from a backup.",
    )
