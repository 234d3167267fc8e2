"""The deployments of prefect.yaml on a real Prefect server, run by a real process worker."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from tests.integration.stores import hits
from tests.integration.world import ROOT, World

pytestmark = pytest.mark.integration

DEADLINE = 240.0  # seconds for one flow run, imports included
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass(frozen=True)
class Server:
    """A running server with a running worker."""

    url: str
    log: Path

    def call(self, path: str, value: object = None, again: int = 4) -> Any:
        """One request; again where the server says that its database is busy (503), as Prefect's own client does."""
        data = None if value is None else json.dumps(value).encode()
        request = urllib.request.Request(
            f"{self.url}{path}", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            if refused.code != HTTPStatus.SERVICE_UNAVAILABLE or not again:
                raise
        time.sleep(1)
        return self.call(path, value, again - 1)

    def run(self, deployment: str, **parameters: str) -> dict[str, Any]:
        """Trigger a deployment and wait for its end; the worker's log is printed when it does not come."""
        found = self.call(f"/deployments/name/{deployment}")
        started = self.call(
            f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters}
        )
        until = time.monotonic() + DEADLINE
        while time.monotonic() < until:
            state = self.call(f"/flow_runs/{started['id']}")["state"]
            if state["type"] in ENDS:
                return dict(state)
            time.sleep(0.5)
        pytest.fail(f"{deployment} did not end within {DEADLINE:.0f} s\n{self.log.read_text()}")


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = world.folder / "worker.log"
    url = f"http://127.0.0.1:{port}/api"
    environment = world.environment(PREFECT_API_URL=url, PWD=str(ROOT))

    def prefect(*words: str) -> subprocess.Popen[bytes]:
        with log.open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "prefect", "--no-prompt", *words],
                env=environment,
                cwd=ROOT,
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    running = [prefect("server", "start", "--host", "127.0.0.1", "--port", str(port))]
    try:
        server = Server(url, log)
        _wait_for(server)
        server.call("/work_pools/", {"name": "lethe", "type": "process"})
        deployed = prefect("deploy", "--all")
        running.append(prefect("worker", "start", "--pool", "lethe"))
        assert deployed.wait(120) == 0, log.read_text()
        yield server
    finally:
        for process in reversed(running):
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """A worker may wait for its next poll before it heeds a polite word."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


def _wait_for(server: Server) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            server.call("/health")
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.3)
        else:
            return
    pytest.fail(f"the server did not start\n{server.log.read_text()}")


@pytest.fixture(scope="module")
def ticket(world, server):
    """One request, erased by a triggered run."""
    ref = world.file(world.people[1], "blank")
    return ref, server.run("erase/erasure-ticket", request_ref=ref)


def test_a_ticket_is_carried_to_its_end_by_the_worker(world, server, ticket):
    ref, state = ticket
    assert state["type"] == "COMPLETED", server.log.read_text()
    assert world.answer("request", "show", ref)["status"] in ("fulfilled", "inconclusive")
    assert (world.home / "evidence" / ref / "report.html").is_file()


def test_the_auditors_export_is_written_and_verifies(world, server, ticket):
    ref, _ = ticket
    state = server.run("auditor-export/auditor-export", request_ref=ref)
    assert state["type"] == "COMPLETED", server.log.read_text()
    checked = world.answer("verify", world.home / "exports" / f"{ref}.zip")
    assert checked["request_ref"] == ref


def test_a_reference_that_does_not_exist_fails_with_a_code_and_no_more(server):
    state = server.run("auditor-export/auditor-export", request_ref="er-ffffffffffffffff")
    assert state["type"] == "FAILED"
    assert "evidence_missing" in state["message"]


def test_the_weekly_batch_is_scheduled_in_its_time_zone(server):
    found = server.call("/deployments/name/erasure-batch/erasure-batch")
    schedule = found["schedules"][0]["schedule"]
    assert (schedule["cron"], schedule["timezone"]) == ("0 2 * * 1", "Europe/Berlin")


def test_neither_server_nor_worker_kept_anything_of_the_person(world, ticket):
    person = world.people[1]
    texts = [person.name, person.email, person.phone, person.account, person.address]
    assert hits(world.folder / "prefect", [ticket[0]], ()) != []
    assert hits(world.folder, texts, ("corpus/",)) == []
