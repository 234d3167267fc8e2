"""What one run works with: the request, the policy, the stores, and what was found. Lives in one process only."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from domain.outcomes import CorpusErasure, Recall
from domain.secrecy import Secret
from flows.catalog import Catalog, load_catalog
from flows.checkpoint import Checkpoint
from flows.database import connect
from flows.intake import Request, check_reference, load_request
from flows.lease import Lease, Leases
from flows.ledger import Ledger
from flows.policy import Policy, load_policy
from flows.settings import Settings, load_settings
from flows.vault import Vault, load_master_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from detectors.locate import Located
    from detectors.protocol import Detector
    from reports.tracking import Tracking
    from unlearning.trial import Trial


@dataclass(frozen=True)
class Stores:
    """Settings and the two stores of this machine."""

    settings: Settings
    engine: Engine
    vault: Vault
    ledger: Ledger

    @cached_property
    def policy(self) -> Policy:
        """Read once."""
        return load_policy(self.settings.policy)

    @cached_property
    def catalog(self) -> Catalog:
        """Read once."""
        return load_catalog(self.settings.catalog)

    @cached_property
    def tracking(self) -> "Tracking":
        """MLflow, opened when it is first needed: its import takes a second."""
        from reports.tracking import Tracking

        self.settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Tracking(self.settings.tracking, self.settings.artifacts)


@contextmanager
def open_stores(actor: str = "lethe") -> Iterator[Stores]:
    """Settings, vault and ledger, closed at the end.

    Raises `RequestRejected`: SETTING_INVALID, KEY_MISSING, KEY_UNSAFE; `Unavailable` when the database is away.
    """
    settings = load_settings()
    master_key = load_master_key(settings.master_key_file)
    engine = connect(settings.database)
    try:
        yield Stores(settings, engine, Vault(engine, master_key), Ledger(engine, actor))
    finally:
        engine.dispose()


@dataclass(frozen=True, repr=False)
class Paths:
    """Where the files of one request lie."""

    home: Path
    ref: str

    def redacted(self, corpus: str) -> Path:
        return self.home / "redacted" / corpus

    def candidate(self, model: str, number: int, method: str) -> Path:
        return self.candidates / model / f"{number}-{method}"

    def shards(self, model: Path, named: Path | None) -> Path | None:
        """The manifest's folder: beside a model that an erasure made of shards, else what the catalog names."""
        own = model.parent
        erased = own.is_relative_to(self._every_candidate)
        return own if erased and (own / "manifest.json").is_file() else named

    @property
    def candidates(self) -> Path:
        return self._every_candidate / self.ref

    @property
    def _every_candidate(self) -> Path:
        """Of all requests: what lies there Lethe has made, and may remove."""
        return self.home / "candidates"

    @property
    def evidence(self) -> Path:
        return self.home / "evidence" / self.ref

    def bundle(self, run: int) -> Path:
        return self.evidence / f"run-{run}.zip"


@dataclass(repr=False)
class Bench:
    """One run's workplace. It holds personal data, shows none, and is passed between steps by reference only."""

    stores: Stores
    request: Request
    signing_key: "EllipticCurvePrivateKey"
    run: int
    leases: Leases
    held: dict[str, Lease] = field(default_factory=dict)
    located: dict[str, "Located"] = field(default_factory=dict)
    recall: dict[str, Recall | None] = field(default_factory=dict)  # of the search, by corpus
    seconds: dict[str, float] = field(default_factory=dict)  # of the search, by corpus
    corpora: list[CorpusErasure] = field(default_factory=list)
    models: tuple[str, ...] = ()  # those that this run works on
    trials: dict[str, "Trial"] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None

    @cached_property
    def detectors(self) -> dict[str, "Detector"]:
        """Built once: Presidio takes seconds to get ready."""
        from flows import build

        return build.detectors(self.policy)

    @property
    def ref(self) -> str:
        return self.request.subject.request_ref

    def leased(self) -> list[str]:
        """What no other run may work on meanwhile."""
        request = self.request
        return [f"model/{m}" for m in request.models] + [f"corpus/{c}" for c in request.corpora]

    @property
    def paths(self) -> Paths:
        return Paths(self.stores.settings.home, self.ref)

    @property
    def policy(self) -> Policy:
        return self.stores.policy

    @property
    def progress(self) -> Checkpoint:
        """The checkpoint of a run that has committed itself."""
        if self.checkpoint is None:
            raise ValueError("nothing is measured before the policy commitment")
        return self.checkpoint

    @property
    def spans(self) -> int:
        """How many spans of the person were found in all corpora."""
        return sum(len(located.spans) for located in self.located.values())

    def save(self) -> None:
        """Keep what was done so far."""
        self.progress.save(self.stores.vault, self.ref)

    def texts(self) -> Iterator[Secret]:
        """Everything that must not be in the evidence: the identifiers, and the words of every span."""
        yield from self.request.secrets()
        for located in self.located.values():
            for passage in located.passages:
                text = passage.text.reveal()
                yield from (Secret(text[span.start : span.end]) for span in passage.spans)


@contextmanager
def open_bench(request_ref: str) -> Iterator[Bench]:
    """Load what a run needs; refuse what it cannot use before anything is done.

    Raises `RequestRejected` for a wrong reference, missing keys, or names in the policy that do not exist.
    """
    from flows import build
    from reports import keys

    check_reference(request_ref)
    with open_stores() as stores:
        request = load_request(request_ref, stores.vault)
        settings = stores.settings
        signing_key = keys.load_private(settings.signing_key_file, settings.passphrase())
        build.everything(stores.policy)
        for corpus in request.corpora:
            stores.catalog.corpus(corpus)
        for model in request.models:
            stores.catalog.model(model)
        yield Bench(
            stores,
            request,
            signing_key,
            run=0,
            leases=Leases(stores.engine),
        )


def now() -> str:
    """The time in UTC as evidence writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def seed_of(*digests: str) -> int:
    """A seed nobody chose: 31 bits of the SHA-256 of policy and model digests."""
    return int.from_bytes(hashlib.sha256("".join(digests).encode()).digest()[:4], "big") >> 1
