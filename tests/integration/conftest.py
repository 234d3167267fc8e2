"""One world for all integration tests, and one whole erasure in it."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.world import World, build

LEASE_SECONDS = 4
DIES_AFTER_PROMOTION = f"""
import functools, os, sys
from flows import bench, erasure
from flows.lease import Leases
bench.Leases = functools.partial(Leases, seconds={LEASE_SECONDS})
erasure.prove = lambda *_: os._exit(9)
erasure.erase(sys.argv[1])
"""


@dataclass(frozen=True)
class Erased:
    """A whole erasure: its reference, the answer, and everything it printed."""

    world: World
    ref: str
    answer: dict[str, Any]
    output: str


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def erased(world: World) -> Erased:
    """The canary person is erased on the ephemeral API, with every log line kept by Prefect.

    The first run dies between promotion and evidence, as if somebody had pulled the plug; the second takes it up.
    """
    ref = world.file(world.people[0], "assistant")
    died = world.pulled_plug(DIES_AFTER_PROMOTION, ref, PREFECT_LOGGING_LEVEL="DEBUG")
    time.sleep(LEASE_SECONDS)
    done = world.lethe(
        "erase",
        ref,
        "--json",
        PREFECT_LOGGING_LEVEL="DEBUG",
        PREFECT_LOGGING_TO_API_ENABLED="true",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout[done.stdout.index("{") :])
    out = Path(world.folder) / "export" / f"{ref}.zip"
    said = [
        done,
        *(world.lethe(*words) for words in (("request", "list"), ("request", "show", ref))),
    ]
    said += [world.lethe("locate", ref), world.lethe("export", ref, "--out", out)]
    said += [world.lethe("verify", out)]
    assert not any(d.returncode for d in said), "".join(d.stderr for d in said)
    return Erased(world, ref, answer, died + "".join(d.stdout + d.stderr for d in said))
