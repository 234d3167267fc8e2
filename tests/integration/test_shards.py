"""A search by real worker processes, here and in a Dask cluster: one that is killed in the middle shortens nothing, and
where everything is gone the next search goes on from what the vault holds.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from detectors.corpus import open_corpus
from detectors.exact import ExactIndex
from detectors.locate import search
from domain.records import Identifier, IdentifierKind, Subject
from domain.secrecy import Secret
from flows import desk, memories
from flows.bench import open_stores
from flows.vault import create_master_key
from tests.detectors.serving import free_port
from tests.integration.stores import hits
from tests.integration.world import ROOT

pytestmark = pytest.mark.integration

NAMES = ["Quenlyra Vostrumbel", "Maren Tolvik", "Jon Aske"]
FILLER = "The ferry leaves at noon, and the tea was cold that year. " * 60
BATCHES = 6  # of eight megabytes

SCRIPT = """
import json, multiprocessing, os, signal, sys, time
from detectors import shards
from domain.errors import ErasureError
from flows import build, memories, progress
from flows.bench import open_stores
from flows.intake import load_request
from flows.search import search_corpus

memories.SECONDS, memories.SHARE = 0.0, 1e9  # kept after each batch
ref, *killed = sys.argv[1:]  # which process is to be killed after how many batches
killed = dict(words.split(":")[::-1] for words in killed)
calls, read, workers, in_order = 0, 0, set(), shards.in_order

def counted(*given):
    global read
    for task, answers in in_order(*given):
        read += sum(found.texts is not None for answer in answers for found in answer.found)
        workers.update(child.pid for child in multiprocessing.active_children())
        yield task, answers

def strike(step, done, total):
    global calls
    calls += 1
    if who := killed.get(str(calls)):  # some batches are in the vault, some under way, and some left
        print(json.dumps(sorted(workers)), flush=True)
        pid = os.getpid() if who == "this" else min(workers) if who == "worker" else int(who)
        os.kill(pid, signal.SIGKILL)
        while who == "worker" and multiprocessing.active_children():  # the pool ends the others as well
            time.sleep(0.01)

shards.in_order = counted
progress.watch(strike)
with open_stores() as stores:
    try:
        [found] = search_corpus(stores, [load_request(ref, stores.vault)], build.detectors(stores.policy), "letters")
    except ErasureError as error:
        print(json.dumps({"error": error.code, "said": error.sentence, "read": read}))
        sys.exit(1)
spans = [[s.document, s.start, s.end, s.kind, s.confidence] for s in found.spans]
print(json.dumps({"documents": found.documents, "spans": spans, "read": read, "workers": len(workers)}))
"""


@dataclass(frozen=True)
class Place:
    """A home with requests, and a corpus of several batches."""

    folder: Path
    environment: dict[str, str]

    def file(self, name: str) -> str:
        path = self.folder / "request.yaml"
        path.write_text(
            f"names: [{name}]\nscope: {{models: [one], corpora: [letters]}}\nground: b\n"
        )
        ref = str(desk.add(path)["request"])
        path.unlink()
        return ref

    def searching(self, *words: object, **more: str) -> tuple[int, list[Any]]:
        """Exit code; the pids of the workers at each strike, and what was found, if it came so far."""
        with (self.folder / "said.log").open("ab") as said:
            done = subprocess.run(
                [sys.executable, "-c", SCRIPT, *map(str, words)],
                env=self.environment | more,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                timeout=120,
                check=False,
            )
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("place")
    (folder / "letters").mkdir()
    each = (BATCHES << 23) // (2 * len(FILLER)) - 1000
    for name in ("a.jsonl", "b.jsonl"):
        with (folder / "letters" / name).open("w") as file:
            for n in range(each):
                who = f"{NAMES[n // 499 % 3]} wrote. " if n % 499 == 0 else ""
                file.write(f'{{"text": "{name} {n}: {who}{FILLER}"}}\n')
    catalog = {"corpora": {"letters": {"path": str(folder / "letters")}}}
    catalog["models"] = {"one": {"path": "model", "corpora": ["letters"]}}
    (folder / "catalog.yaml").write_text(yaml.safe_dump(catalog))
    policy = yaml.safe_load((ROOT / "policy.yaml").read_text())
    policy["detectors"] = {"exact": {}}  # Presidio would take longer to import than all this
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
    ours = {
        "LETHE_HOME": str(folder / "home"),
        "LETHE_POLICY": str(folder / "policy.yaml"),
        "LETHE_CATALOG": str(folder / "catalog.yaml"),
    }
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    more = {"PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(ROOT)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ours.items():
            patch.setenv(name, value)
        create_master_key(folder / "home" / "keys" / "master-key")
        yield Place(folder, kept | ours | more)


@pytest.fixture(scope="module")
def alone(place):
    """What one process finds of each name: documents and spans."""
    people = [
        Subject(f"req-{n}", (Identifier(IdentifierKind.NAME, Secret(name)),))
        for n, name in enumerate(NAMES)
    ]
    batches = open_corpus(str(place.folder / "letters")).batches()
    found = search(batches, people, {"exact": ExactIndex()})
    assert all(len(one.spans) > 3 for one in found)
    return [
        {
            "documents": one.documents,
            "spans": [[s.document, s.start, s.end, s.kind.value, s.confidence] for s in one.spans],
        }
        for one in found
    ]


def test_a_worker_is_killed_then_the_search_and_the_next_one_goes_on_and_misses_nothing(
    place, alone
):
    ref = place.file(NAMES[0])
    code, strikes = place.searching(ref, "worker:2", "this:4", LETHE_WORKERS="2")
    assert code == -signal.SIGKILL
    two, all_of_them = strikes
    assert (len(two), len(all_of_them) > 2) == (2, True)  # others came in their place
    ended(all_of_them)
    code, [found] = place.searching(ref, LETHE_WORKERS="2")
    assert (code, found["workers"]) == (0, 2)
    assert 0 < found["read"] <= BATCHES - 3
    assert alone[0].items() <= found.items()
    assert hits(place.folder, NAMES, ("letters/",)) == []


def ended(pids: list[int]) -> None:
    """Wait until none of them is alive."""
    until = time.monotonic() + 30
    for pid in pids:
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until, "a worker has outlived the search"
            time.sleep(0.05)


def test_a_cluster_finds_the_same_though_a_worker_is_killed_and_is_missed_when_it_is_gone(
    place, alone
):
    from distributed import Client

    refs = [place.file(name) for name in NAMES[1:]]
    address = f"tcp://127.0.0.1:{free_port()}"
    with ExitStack() as until_the_end:

        def dask(what: str, *words: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--no-dashboard"]
            log = until_the_end.enter_context((place.folder / f"{what}.log").open("ab"))
            running = subprocess.Popen(
                [*command, *words],
                env=place.environment | {"TMPDIR": str(place.folder)},
                stdout=log,
                stderr=log,
            )
            until_the_end.callback(running.wait, 30)
            until_the_end.callback(running.terminate)
            return running

        scheduler = dask("scheduler", "--host", address)
        dask("worker", address, "--nworkers", "2", "--nthreads", "1")
        with Client(address, timeout=60) as client:
            client.wait_for_workers(2, timeout=60)
            alive = set(client.run(os.getpid).values())
            first = f"{min(alive)}:2"
            code, [_, found] = place.searching(refs[0], first, LETHE_SCHEDULER=address)
            assert code == 0
            assert alone[1].items() <= found.items()
            assert min(alive) not in client.run(os.getpid).values()
        code, [_, found] = place.searching(refs[1], f"{scheduler.pid}:2", LETHE_SCHEDULER=address)
        assert (code, found["error"]) == (1, "cluster")
        assert "does not answer, or broke off" in found["said"]
    with open_stores() as stores:
        known = json.loads(stores.vault.get(refs[1], memories.kind("letters")))["seen"]
    assert 2 <= len(known) <= BATCHES
    assert hits(place.folder, NAMES, ("letters/",)) == []
