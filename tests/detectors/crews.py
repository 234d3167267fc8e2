"""What workers of the tests are equipped with; quick to import, because every worker does."""

import os
import signal
from pathlib import Path

from detectors import reading
from detectors.exact import ExactIndex
from detectors.memory import Memory
from detectors.shards import Equipment
from domain.records import Subject
from tests.detectors.conftest import CARD, MAREN, person

PART = 300  # bytes of a batch, so that a small file has many
JON_KNOWN = {"name": "Jon Aske", "birth_date": "1979-07-09", "phone": "917-555-0188"}
INDEX = ExactIndex()  # keeps its net


def people() -> list[Subject]:
    return [person(**MAREN), Subject("req-2", person(**JON_KNOWN).identifiers)]


def equip(*memories: str) -> Equipment:
    """As a worker calls it; memories are named by their files."""
    reading.PART = PART
    loaded = [Memory.load(Path(name).read_bytes(), "b") for name in memories]
    return Equipment(people(), {"exact": INDEX}, loaded)


def equip_and_fail(*_: str) -> Equipment:
    raise RuntimeError(CARD)


def equip_and_die(marker: str) -> Equipment:
    """Die in the middle of a task, once."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return equip()


def equip_and_always_die() -> Equipment:
    os.kill(os.getpid(), signal.SIGKILL)
    return equip()
