"""One run at a time for each model and corpus: a lease row with a fencing token that only grows.

A run renews its lease from a thread while it works. When it dies, the lease expires and the next run takes it with a
higher token; should the first one come back, `assert_held` stops it before it promotes anything. Prefect's own
concurrency limits lose slots (platform.md) and are not used.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Column, Engine, Float, Integer, String, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from domain.errors import Code, Unavailable
from flows.database import METADATA, available, transaction

SECONDS = 120.0  # how long a dead run blocks the model
RENEWALS = 4  # per life of a lease

LEASES = Table(
    "leases",
    METADATA,
    Column("name", String(80), primary_key=True),
    Column("holder", String(40), nullable=False),
    Column("token", Integer, nullable=False),
    Column("expires_at", Float, nullable=False),  # seconds since 1970
)


@dataclass(frozen=True, slots=True)
class Lease:
    """A right to work on a model or corpus: the holder is a request, the token its place in the order of holders."""

    name: str  # model/<name> or corpus/<name>
    holder: str
    token: int


class Leases:
    """Acquire, renew, check, release."""

    def __init__(self, engine: Engine, seconds: float = SECONDS) -> None:
        self._engine = engine
        self._seconds = seconds
        with available():
            METADATA.create_all(engine, tables=[LEASES])

    def acquire(self, name: str, holder: str) -> Lease:
        """Take the lease when nobody holds it. Raises `Unavailable` (LEASE_HELD) otherwise."""
        lease, wait = None, self._seconds
        with suppress(IntegrityError):  # another run was first to make the row
            lease, wait = self._take(name, holder)
        if lease is not None:
            return lease
        raise Unavailable(
            Code.LEASE_HELD,
            request_ref=holder,
            place=name,
            remedy=f"another run works on it; try again in {max(1, round(wait))} seconds.",
        )

    def _take(self, name: str, holder: str) -> tuple[Lease | None, float]:
        """The lease, or None and the seconds until it expires. The update holds only if nobody was faster."""
        now = time.time()
        with transaction(self._engine) as connection:
            row = connection.execute(select(LEASES).where(LEASES.c.name == name)).first()
            lease = Lease(name, holder, row.token + 1 if row else 1)
            values = {"holder": holder, "token": lease.token, "expires_at": now + self._seconds}
            if row is None:
                connection.execute(insert(LEASES).values(name=name, **values))
                return lease, 0.0
            free = (LEASES.c.name == name) & (LEASES.c.token == row.token)
            free &= LEASES.c.expires_at <= now
            if connection.execute(update(LEASES).where(free).values(values)).rowcount == 1:
                return lease, 0.0
            return None, row.expires_at - now

    def renew(self, lease: Lease) -> None:
        """Hold on for another period. Raises `Unavailable` (LEASE_LOST) when another run has taken it."""
        self._update(lease, time.time() + self._seconds)

    def release(self, lease: Lease) -> None:
        """Give the model back at once."""
        with suppress(Unavailable):
            self._update(lease, 0.0)

    def assert_held(self, lease: Lease) -> None:
        """Raise `Unavailable` (LEASE_LOST) unless this is still the newest holder, and renew."""
        self.renew(lease)

    @contextmanager
    def held(self, name: str, holder: str) -> Iterator[Lease]:
        """The lease for the time of a block, renewed by a thread."""
        lease = self.acquire(name, holder)
        done = threading.Event()

        def keep() -> None:
            while not done.wait(self._seconds / RENEWALS):
                with suppress(Unavailable):  # the block itself finds out by assert_held
                    self.renew(lease)

        thread = threading.Thread(target=keep, name=f"lease-{name}", daemon=True)
        thread.start()
        try:
            yield lease
        finally:
            done.set()
            thread.join()
            self.release(lease)

    def _update(self, lease: Lease, expires_at: float) -> None:
        ours = (LEASES.c.name == lease.name) & (LEASES.c.token == lease.token)
        with transaction(self._engine) as connection:
            changed = connection.execute(
                update(LEASES).where(ours).values(expires_at=expires_at)
            ).rowcount
        if changed != 1:
            raise Unavailable(
                Code.LEASE_LOST,
                request_ref=lease.holder,
                place=lease.name,
                remedy="another run has taken it meanwhile; nothing was promoted; run again.",
            )
