"""Vault, ledger and leases on a real PostgreSQL server."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from domain.errors import EvidenceInvalid, RequestRejected, Unavailable
from domain.lifecycle import Event, Status
from flows.database import connect
from flows.lease import Leases
from flows.ledger import Ledger
from flows.vault import Vault

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        os.environ.get("LETHE_TEST_POSTGRES") == "0",
        reason="LETHE_TEST_POSTGRES=0: this machine is to do without PostgreSQL",
    ),
]

REF = "er-0000000000000001"


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    pytest.fail("no PostgreSQL here: apt-get install postgresql, or set LETHE_TEST_POSTGRES=0")


def as_somebody_else(*command: object) -> list[str]:
    """PostgreSQL refuses to run as root."""
    drop = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    return [*(drop if os.geteuid() == 0 else []), *map(str, command)]


def run(*command: object) -> None:
    done = subprocess.run(
        as_somebody_else(*command),
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> Iterator[str]:
    """A server of our own in a folder that its user can reach; pytest's folders are for root only."""
    folder = Path("/tmp") / f"lethe-postgresql-{os.getpid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs, data = binaries(), folder / "data"
    try:
        run(programs / "initdb", "-D", data, "-U", "lethe", "-A", "trust", "--no-sync")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        run(programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield f"postgresql://lethe@127.0.0.1:{port}/postgres"
        finally:
            run(programs / "pg_ctl", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def engine(url):
    engine = connect(url)
    yield engine
    with engine.begin() as connection:
        for name in ("ledger_events", "vault_keys", "vault_blobs", "leases"):
            connection.execute(text(f"DROP TABLE IF EXISTS {name}"))
    engine.dispose()


def test_a_request_is_sealed_opened_and_destroyed(engine):
    vault = Vault(engine, bytes(32))
    vault.open_request(REF)
    vault.put(REF, "request", b"Wilhelmina Zauberlinde")
    assert Vault(engine, bytes(32)).get(REF, "request") == b"Wilhelmina Zauberlinde"
    with engine.begin() as connection:
        assert b"Zauberlinde" not in connection.scalar(text("SELECT sealed FROM vault_blobs"))
    vault.shred(REF)
    assert not vault.holds(REF)
    with pytest.raises(RequestRejected, match="request_unknown"):
        vault.request_hmac(REF, "subject", b"")


def test_the_ledger_only_grows_and_its_chain_verifies(engine):
    ledger = Ledger(engine)
    Ledger(engine)  # a second process that finds the table there
    ledger.append(REF, Event.RECEIVED, {"ground": "b"})
    assert ledger.append(REF, Event.STARTED) is Status.LOCATING
    assert ledger.verify_chain() == 2
    for verb in (
        "UPDATE ledger_events SET actor = 'x'",
        "DELETE FROM ledger_events",
        "TRUNCATE ledger_events",
    ):
        with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
            connection.execute(text(verb))


def test_a_past_that_was_changed_by_the_owner_of_the_database_breaks_the_chain(engine):
    ledger = Ledger(engine)
    ledger.append(REF, Event.RECEIVED, {"ground": "b"})
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE ledger_events DISABLE TRIGGER ALL"))
        connection.execute(text("UPDATE ledger_events SET payload = '{}'"))
    with pytest.raises(EvidenceInvalid, match="ledger_broken"):
        ledger.verify_chain()


def test_one_run_at_a_time_holds_a_model(engine):
    leases = Leases(engine)
    with leases.held("assistant", "er-1"), pytest.raises(Unavailable, match="lease_held"):
        leases.acquire("assistant", "er-2")
    assert leases.acquire("assistant", "er-2").token == 2


def test_a_server_that_is_gone_is_one_sentence():
    with pytest.raises(Unavailable) as stopped:
        Ledger(connect("postgresql://lethe@127.0.0.1:1/postgres?connect_timeout=2"))
    assert "LETHE_DATABASE" in stopped.value.sentence
