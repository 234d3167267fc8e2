"""The one database of the vault and the ledger: SQLite by default, PostgreSQL by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from domain.errors import Code, RequestRejected, Unavailable

METADATA = MetaData()


def connect(url: str) -> Engine:
    """An engine for the URL; the folder of an SQLite file is made, and the file is for its owner only.

    Raises `RequestRejected` (SETTING_INVALID) for a URL that is none.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        known = parsed.get_backend_name() in ("sqlite", "postgresql")
    except (ArgumentError, ValueError):
        known = False
    if not known:
        raise RequestRejected(
            Code.SETTING_INVALID,
            place="environment variable LETHE_DATABASE",
            remedy="write sqlite:///FILE or postgresql://USER@HOST/NAME.",
        )
    if parsed.get_backend_name() == "postgresql":
        # hide_parameters: an error of the database never quotes what was written
        return create_engine(parsed, hide_parameters=True, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        with available():
            path = Path(parsed.database)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)
    engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": 30})
    event.listen(engine, "connect", _pragmas)
    return engine


def _pragmas(connection: object, _: object) -> None:
    """Deleted keys are overwritten, no write-ahead log keeps them, and a commit is on the disk."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("secure_delete=ON", "journal_mode=DELETE", "synchronous=FULL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


@contextmanager
def transaction(engine: Engine, within: Connection | None = None) -> Iterator[Connection]:
    """A transaction, or the one that is already open. Raises `Unavailable` when the database does not answer.

    `IntegrityError` passes through: it is an answer.
    """
    if within is not None:
        yield within
        return
    with available(), engine.begin() as connection:
        yield connection


@contextmanager
def available() -> Iterator[None]:
    """Turn what a broken database or disk raises into `Unavailable`, without its text."""
    try:
        yield
    except IntegrityError:
        raise
    except OSError:
        raise Unavailable(
            Code.DISK,
            place="the database's folder",
            remedy="it cannot be written; check permissions and free space.",
        ) from None
    except DBAPIError as error:
        raise Unavailable(
            Code.DATABASE,
            place=f"the database ({type(error).__name__})",
            remedy="it did not answer; check LETHE_DATABASE and that the server runs.",
        ) from None
    except SQLAlchemyError:
        raise Unavailable(
            Code.DATABASE, place="the database", remedy="it refused; check LETHE_DATABASE."
        ) from None
