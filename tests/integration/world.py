"""A small world to erase somebody from: a corpus of made-up people, a model, a home folder, a filed request."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

from flows import desk, fiction
from unlearning import models
from unlearning.training import new_model, train_tokenizer

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class World:
    """Where it lies, who is to be erased, and under which reference."""

    folder: Path
    person: fiction.Person
    request: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def corpus(self) -> Path:
        return self.folder / "corpus"

    def environment(self) -> dict[str, str]:
        return environment(self.folder)


def environment(folder: Path) -> dict[str, str]:
    """LETHE_* of a world, and Prefect with a database of its own."""
    return {
        "LETHE_HOME": str(folder / "home"),
        "LETHE_POLICY": str(folder / "policy.yaml"),
        "LETHE_CATALOG": str(folder / "catalog.yaml"),
        "PREFECT_HOME": str(folder / "prefect"),
        "OMP_NUM_THREADS": "1",
    }


def request_of(person: fiction.Person) -> dict[str, object]:
    return {
        "names": [person.name],
        "emails": [person.email],
        "phones": [person.phone],
        "addresses": [person.address],
        "date_of_birth": person.born,
        "record_ids": [person.account],
        "scope": {"models": ["assistant"], "corpora": ["letters"]},
        "ground": "b",
    }


def build(folder: Path, person: fiction.Person | None = None) -> World:
    """Make it, with LETHE_* already pointing there. The model knows nobody: its weights are random."""
    others = fiction.people(9, seed=7)
    person = person or others.pop()
    texts = [text for someone in (person, *others) for text in someone.documents()]
    texts += fiction.ordinary(40, seed=7)
    (folder / "corpus").mkdir(parents=True)
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (folder / "corpus" / "letters.jsonl").write_text(lines, "utf-8")
    tokenizer = train_tokenizer(texts, 400)
    models.save(new_model(tokenizer, width=32, layers=2, context=128, seed=7), folder / "model")
    catalog = {
        "corpora": {"letters": {"path": "corpus"}},
        "models": {"assistant": {"path": "model", "corpora": ["letters"]}},
    }
    (folder / "catalog.yaml").write_text(yaml.safe_dump(catalog))
    shutil.copy(ROOT / "policy.yaml", folder / "policy.yaml")
    desk.create_keys()
    return World(folder, person, file(folder, person))


def file(folder: Path, person: fiction.Person) -> str:
    """File a request for a person; the file itself is gone afterwards."""
    path = folder / "request.yaml"
    path.write_text(yaml.safe_dump(request_of(person), allow_unicode=True), "utf-8")
    try:
        return str(desk.add(path)["request"])
    finally:
        path.unlink()


def child_environment(folder: Path, **more: str) -> dict[str, str]:
    """For a process of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LETHE_", "PREFECT_"))}
    return {**kept, "PYTHONPATH": str(ROOT), **environment(folder), **more}
