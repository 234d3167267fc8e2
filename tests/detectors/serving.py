"""Starts `chatserver` in a process of its own, and stops it."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Served:
    """A running server."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def counts(self) -> dict[str, int]:
        """How many questions it was asked, and how many orders it obeyed."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/asked", timeout=10) as answer:
            return dict(json.load(answer))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def served(folder: Path, private: Sequence[str], port: int = 0) -> Iterator[Served]:
    """The server with these private parts, once it listens."""
    known = folder / "private.json"
    known.write_text(json.dumps(list(private)), "utf-8")
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.detectors.chatserver", str(port), str(known)], cwd=ROOT
    )
    running = Served(port, process)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until and process.poll() is None:
            try:
                running.counts()
                break
            except OSError:
                time.sleep(0.05)
        assert process.poll() is None, "the server did not start"
        yield running
    finally:
        process.kill()
        process.wait(10)
