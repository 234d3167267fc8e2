"""A small world to erase somebody from: a corpus of made-up people, a model, a home folder, filed requests."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from flows import fiction
from tests import tiny

ROOT = Path(__file__).parents[2]

CANARY = {
    "given": "Quenlyra",
    "family": "Vostrumbel",
    "phone": "739-582-6104",
    "email": "zuvexi94@example.org",
    "account": "58-417-9036",
    "address": "86 Foundry Court, Tarnside",
}
"""What is searched for in every store: strings that nothing else contains."""

ONE_AFTER_ANOTHER = """
import contextlib, io, json, os, sys
from flows.cli import app
answers = []
for words in json.loads(sys.argv[1]):
    while "=" in words[0]:
        os.environ.update([words.pop(0).split("=", 1)])
    words = [answers[int(w[1:])]["request"] if w.startswith("@") else w for w in words]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        app([*words, "--json"], standalone_mode=False)
    answers.append(json.loads(said.getvalue()))
print(json.dumps(answers))
"""
"""Commands in one process: each of its own costs seconds of imports, and one that erases a server of Prefect's."""


@dataclass(frozen=True)
class World:
    """A folder with corpus, models, policy, catalog and home."""

    folder: Path
    people: list[fiction.Person]  # the first one carries the canaries

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def environment(self, **more: str) -> dict[str, str]:
        """For a process of its own: LETHE_* and Prefect point into the folder."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("LETHE_", "PREFECT_"))}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "LETHE_HOME": str(self.home),
            "LETHE_POLICY": str(self.folder / "policy.yaml"),
            "LETHE_CATALOG": str(self.folder / "catalog.yaml"),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "TMPDIR": str(self.folder / "tmp"),
            **more,
        }

    def lethe(self, *words: object, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own."""
        command = [sys.executable, "-m", "flows.cli", *map(str, words)]
        return subprocess.run(
            command,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def python(self, script: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a script in a process of its own."""
        return subprocess.run(
            [sys.executable, "-c", script, *words],
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def pulled_plug(self, script: str, *words: str, **more: str) -> str:
        """Run a script that ends itself with code 9; then kill what it leaves running. Returns what it printed."""
        log = self.folder / "plug.log"
        with log.open("wb") as out:  # a pipe would be held open by Prefect's server
            running = subprocess.Popen(
                [sys.executable, "-c", script, *words],
                env=self.environment(**more),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code = running.wait(300)
            os.killpg(running.pid, signal.SIGKILL)
        assert code == 9, log.read_text()
        return log.read_text()

    def answer(self, *words: object) -> Any:
        """The JSON answer of a command that must succeed."""
        done = self.lethe(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def answers(self, *commands: Sequence[object]) -> list[Any]:
        """The JSON answers of commands that must succeed, all in one process.

        What stands before a command as `NAME=value` is its environment, and that of those behind it; `@n` is the
        request that the n-th of them, from 0, was about.
        """
        words = json.dumps([[str(word) for word in command] for command in commands])
        done = self.python(ONE_AFTER_ANOTHER, words)
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert isinstance(found, list)
        return found

    def file(self, person: fiction.Person, model: str) -> str:
        """File a request; the file itself is gone afterwards."""
        path = self.written(person, model)
        ref = self.answer("request", "add", path)["request"]
        path.unlink()
        return str(ref)

    def written(self, person: fiction.Person, model: str, *corpora: str) -> Path:
        """The request as a file; without corpora for the letters."""
        path = self.folder / f"request-{person.account}.yaml"
        request = request_of(person, model, *corpora)
        path.write_text(yaml.safe_dump(request, allow_unicode=True), "utf-8")
        return path


def request_of(person: fiction.Person, model: str, *corpora: str) -> dict[str, object]:
    return {
        "names": [person.name],
        "emails": [person.email],
        "phones": [person.phone],
        "addresses": [person.address],
        "date_of_birth": person.born,
        "record_ids": [person.account],
        "scope": {"models": [model], "corpora": list(corpora or ["letters"])},
        "ground": "b",
    }


def build(folder: Path) -> World:
    """Make it: `assistant` knows everybody by heart, `blank` and `short-lived` have random weights.

    The bounds of the policy are opened wide, as far as what the assistant says of its people is still beyond one: what
    is tested here is the way to a verdict, not the methods.
    """
    place = tiny.town(8)
    place.known[0] = replace(place.known[0], **CANARY)
    for name in ("corpus", "tmp"):
        (folder / name).mkdir(parents=True)
    lines = (json.dumps({"text": text}, ensure_ascii=False) for text in place.documents)
    (folder / "corpus" / "letters.jsonl").write_text(
        "".join(f"{line}\n" for line in lines), "utf-8"
    )
    tiny.saved_victim(folder / "assistant", place, steps=400)
    tiny.saved_victim(folder / "blank", place, steps=0)
    shutil.copytree(folder / "blank", folder / "short-lived")
    names = ("assistant", "blank", "short-lived")
    models = {name: {"path": name, "corpora": ["letters"]} for name in names}
    catalog = {"corpora": {"letters": {"path": "corpus"}}, "models": models}
    (folder / "catalog.yaml").write_text(yaml.safe_dump(catalog))
    policy = yaml.safe_load((ROOT / "policy.yaml").read_text())
    wide = {
        "extraction_margin": 0.45,  # it says two secrets of three, and one of four after four steps
        "membership_band": 0.49,
        "exposure_margin": 99.0,
        "outlier_margin": 99.0,
        "first_rank_significance": 1e-30,
    }
    policy["thresholds"] = dict.fromkeys(policy["thresholds"], 1.0) | wide
    policy["utility"] = {"perplexity_ratio": 99.0, "others_drop": 1.0}
    policy["recall"] = {"planted": 30}
    policy["attacks"] = {"extraction": {}, "exposure": {}}
    policy["methods"]["order"] = [
        {"name": "loo_ensemble"},  # no teachers: fails, and the next is tried
        {"name": "selective_ascent", "options": {"steps": 4, "samples": 8}},
    ]
    (folder / "policy.yaml").write_text(yaml.safe_dump(policy, sort_keys=False))
    world = World(folder, place.known)
    world.answer("keys", "create")
    shutil.rmtree(folder / "tmp")
    (folder / "tmp").mkdir()
    return world
