"""A home of its own for every test: settings, keys, policy, catalog, database."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from flows.catalog import Catalog, load_catalog
from flows.database import connect
from flows.ledger import Ledger
from flows.policy import Policy, load_policy
from flows.settings import Settings, load_settings
from flows.vault import Vault, create_master_key, load_master_key

ROOT = Path(__file__).parents[2]

REQUEST = """\
names: [Wilhelmina Zauberlinde]
emails: [mina@zauberlinde.example]
record_ids: [900-51-4344]
scope: {models: [assistant], corpora: [letters]}
received_at: 2026-11-02T09:30:00+01:00
ground: b
"""


@dataclass(frozen=True)
class Home:
    settings: Settings
    policy: Policy
    catalog: Catalog
    engine: Engine
    vault: Vault
    ledger: Ledger

    def write(self, text: str) -> Path:
        path = self.settings.home / "request.yaml"
        path.write_text(text, "utf-8")
        return path


@pytest.fixture
def lethe_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home with policy and catalog; LETHE_* points there."""
    policy = (ROOT / "policy.yaml").read_text("utf-8")
    quick = policy.replace("planted: 300", "planted: 0")  # what is planted has tests of its own
    assert quick != policy
    (tmp_path / "policy.yaml").write_text(quick, "utf-8")
    (tmp_path / "letters.txt").write_text("The harbour was quiet.\n")
    (tmp_path / "catalog.yaml").write_text(
        "corpora:\n  letters: {path: letters.txt}\n  archive: {path: letters.txt}\n"
        "models:\n  assistant: {path: model, corpora: [letters]}\n"
        "  both: {path: model, corpora: [letters, archive]}\n"
    )
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LETHE_POLICY", str(tmp_path / "policy.yaml"))
    monkeypatch.setenv("LETHE_CATALOG", str(tmp_path / "catalog.yaml"))
    return tmp_path


@pytest.fixture
def home(lethe_home: Path) -> Iterator[Home]:
    settings = load_settings()
    create_master_key(settings.master_key_file)
    engine = connect(settings.database)
    vault = Vault(engine, load_master_key(settings.master_key_file))
    yield Home(
        settings,
        load_policy(settings.policy),
        load_catalog(settings.catalog),
        engine,
        vault,
        Ledger(engine),
    )
    engine.dispose()
