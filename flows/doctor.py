"""What is missing or unsafe on this machine, and the remedy: one check after the other, none stops the next."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import ErasureError
from flows import progress
from flows.settings import Settings, load_settings
from flows.unexpected import where

if TYPE_CHECKING:  # imported when it is needed: the doctor is quick
    from detectors.annotator import Annotator
    from detectors.online import Online

LEAST_FREE = 2 * 1024**3  # bytes: a small model twice, and a copy of its corpus


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what it looked at, whether it is well, and what to do if not."""

    check: str
    ok: bool
    detail: str


def examine() -> Iterator[Finding]:
    """Every check in turn."""
    settings: list[Settings] = []
    yield _checked("settings", lambda: _settings(settings))
    if not settings:
        return
    here = settings[0]
    checks = (
        ("home folder", _home),
        ("master key", _master_key),
        ("signing key", _signing_key),
        ("policy", _policy),
        ("catalog", _catalog),
        ("annotator", _annotator),
        ("online selection", _online),
        ("workers", _workers),
        ("corpora", _corpora),
        ("models", _models),
        ("database", _database),
        ("MLflow", _tracking),
        ("disk", _disk),
        ("torch", _torch),
        ("network", _network),
    )
    for number, (name, check) in enumerate(checks):
        progress.advance(name, number, len(checks))
        yield _checked(name, lambda check=check: check(here))  # type: ignore[misc]


class _UnwellError(Exception):
    """A check found something; its text is ours."""


def _checked(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, check())
    except ErasureError as error:
        return Finding(name, False, error.sentence)
    except _UnwellError as unwell:
        return Finding(name, False, str(unwell))
    except Exception as error:  # noqa: BLE001  a doctor reports what it stumbles over
        return Finding(name, False, f"unexpected {type(error).__name__} at {where(error)}")


def _settings(found: list[Settings]) -> str:
    found.append(load_settings())
    return f"home is {found[0].home}"


def _home(settings: Settings) -> str:
    home = settings.home
    if not home.is_dir():
        raise _UnwellError(f"{home} is missing; run: lethe keys create")
    if home.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _UnwellError(f"group or others may write to {home}; run: chmod go-w {home}")
    if not os.access(home, os.W_OK):
        raise _UnwellError(f"{home} cannot be written; change its owner")
    return "writable by its owner only"


def _master_key(settings: Settings) -> str:
    from flows.vault import load_master_key

    load_master_key(settings.master_key_file)
    return f"{settings.master_key_file}, mode 0600"


def _signing_key(settings: Settings) -> str:
    from reports import keys

    key = keys.load_private(settings.signing_key_file, settings.passphrase())
    sealed = "with" if settings.signing_key_passphrase else "without"
    return f"fingerprint {keys.keyid(key.public_key())[:16]}, {sealed} passphrase"


def _policy(settings: Settings) -> str:
    from flows import build
    from flows.policy import load_policy

    policy = load_policy(settings.policy)
    build.everything(policy)
    return f"{settings.policy}, sha256 {policy.sha256()[:16]}"


def _annotator(settings: Settings) -> str:
    from detectors.annotator import Annotator

    return _answering(settings, Annotator, "its model answers")


def _online(settings: Settings) -> str:
    from detectors.online import Online

    return _answering(settings, Online, "its models load")


def _answering(settings: Settings, sort: "type[Annotator | Online]", well: str) -> str:
    """Let every detector of a sort, as the policy has them, see whether its models answer."""
    from flows import build
    from flows.policy import load_policy

    built = build.detectors(load_policy(settings.policy)).values()
    several = [detector for detector in built if isinstance(detector, sort)]
    for detector in several:
        detector.check()
    return well if several else "off in the policy"


def _catalog(settings: Settings) -> str:
    from flows.catalog import load_catalog

    catalog = load_catalog(settings.catalog)
    return f"{len(catalog.corpora)} corpora, {len(catalog.models)} models"


def _workers(settings: Settings) -> str:
    from detectors.hands import Hands, crew
    from detectors.shards import forget

    if not settings.scheduler:
        return f"{settings.workers} on this machine"
    with crew(Hands(scheduler=settings.scheduler), forget) as workers:
        return f"the scheduler answers; {workers.room()} pieces at once"


def _corpora(settings: Settings) -> str:
    from detectors.corpus import open_corpus
    from flows.catalog import load_catalog

    entries = load_catalog(settings.catalog).corpora
    counted = [
        f"{name} {len(open_corpus(e.path, e.text_field).files)}" for name, e in entries.items()
    ]
    return f"files: {', '.join(counted)}"


def _models(settings: Settings) -> str:
    from flows.catalog import load_catalog
    from unlearning import assignment, manifest, models

    catalog = load_catalog(settings.catalog)
    for entry in catalog.models.values():
        for path in (entry.path, *entry.references):
            models.load(path, "cpu")
        if entry.shards:
            manifest.read(entry.shards)
        if manifest.kind(entry.shards) == "model":
            assignment.load_key(settings.shard_key_file)
    return f"{len(catalog.models)} load from safetensors, all weights finite"


def _database(settings: Settings) -> str:
    from flows.database import connect
    from flows.ledger import Ledger

    engine = connect(settings.database)
    try:
        events = Ledger(engine).verify_chain()
    finally:
        engine.dispose()
    path = Path(engine.url.database or "")
    if engine.dialect.name == "sqlite" and path.stat().st_mode & 0o077:
        raise _UnwellError(f"group or others may read {path}; run: chmod 600 {path}")
    return f"{engine.dialect.name}, {events} events, chain unbroken"


def _tracking(settings: Settings) -> str:
    from reports.tracking import Tracking

    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Tracking(settings.tracking, settings.artifacts).current("doctor")
    return "the registry answers"


def _disk(settings: Settings) -> str:
    folder = settings.home if settings.home.exists() else settings.home.parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE:
        raise _UnwellError(f"{free / 1024**3:.1f} GiB free at {folder}; make room for 2 GiB")
    return f"{free / 1024**3:.0f} GiB free"


def _torch(_: Settings) -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.__version__}, CUDA device {torch.cuda.get_device_name(0)}"
    return f"{torch.__version__}, CPU with {torch.get_num_threads()} threads (no CUDA)"


def _network(_: Settings) -> str:
    from flows.environment import QUIET

    loud = [name for name, value in QUIET.items() if os.environ.get(name) != value]
    if loud:
        raise _UnwellError(f"{loud[0]} was changed after the start; unset it")
    return "telemetry off, no downloads"
