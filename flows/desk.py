"""What the commands do: each function opens the stores, does one thing, and returns plain values to print."""

import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import Code, RequestRejected
from domain.lifecycle import ENDED, Event
from flows.bench import Paths, Stores, open_stores
from flows.intake import check_reference, file_request, load_request, read_request
from flows.ledger import Entry, Payload

if TYPE_CHECKING:  # unlearning takes seconds to import
    from detectors.locate import Located
    from unlearning.recipe import Recipe

Row = dict[str, Any]


def add(file: Path) -> Row:
    """File a request."""
    with open_stores("desk") as stores:
        request = read_request(file, stores.catalog)
        ref = file_request(request, stores.policy, stores.engine, stores.vault, stores.ledger)
        due = stores.ledger.events(ref)[0].payload["due_on"]
        return {"request": ref, "due_on": due}


def listed() -> list[Row]:
    """Every request, the most urgent of the open ones first."""
    with open_stores("desk") as stores:
        rows = [_summary(stores, ref) for ref in stores.ledger.requests()]
    return sorted(rows, key=lambda row: (row["days_left"] is None, row["due"]))


def _summary(stores: Stores, ref: str) -> Row:
    entries = stores.ledger.events(ref)
    status, received = stores.ledger.status(ref), entries[0].payload
    open_still = status.value not in ("fulfilled", "no_match", "withdrawn")
    due = datetime.fromisoformat(str(received["due_on"])).date()
    return {
        "request": ref,
        "status": status.value,
        "received": str(received["received_at"])[:10],
        "due": due.isoformat(),
        "days_left": (due - datetime.now(UTC).date()).days if open_still else None,
        "models": _joined(received["models"]),
        "corpora": _joined(received["corpora"]),
    }


def shown(ref: str) -> Row:
    """One request: facts, identifiers by kind, events."""
    with open_stores("desk") as stores:
        entries = stores.ledger.events(check_reference(ref))
        identifiers = "destroyed"
        if stores.vault.holds(ref):
            kinds = Counter(
                i.kind.value for i in load_request(ref, stores.vault).subject.identifiers
            )
            identifiers = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return {
            **_summary(stores, ref),
            "ground": f"Article 17(1)({entries[0].payload['ground']})",
            "identifiers": identifiers,
            "events": [_event(entry) for entry in entries],
        }


def _event(entry: Entry) -> Row:
    detail = ", ".join(f"{k} {_joined(v)}" for k, v in entry.payload.items() if v != "")
    return {
        "seq": entry.seq,
        "event": entry.event.value,
        "at": entry.at[:19] + "Z",
        "actor": entry.actor,
        "detail": detail,
        "payload": dict(entry.payload),
    }


def _joined(value: Payload) -> str:
    if isinstance(value, list):
        return " ".join(str(v) for v in value)
    text = str(value)
    return text[:12] + "…" if len(text) == 64 else text


def withdraw(ref: str) -> Row:
    """Withdraw a request and destroy its key: there is no purpose left to keep it for."""
    with open_stores("desk") as stores:
        stores.ledger.append(check_reference(ref), Event.WITHDRAWN)
        stores.vault.shred(ref)
        return {"request": ref, "status": stores.ledger.status(ref).value}


def find(ref: str, *, reveal: bool) -> list[Row]:
    """Search the corpora of a request, on from what earlier searches found; with `reveal`, the text of every span too.

    What it finds is remembered for the request's run, but for one that has ended: nobody will search for that again.
    """
    from flows import build
    from flows.memories import forget
    from flows.search import search_corpus

    with open_stores("desk") as stores:
        request = load_request(ref, stores.vault)
        detectors = build.detectors(stores.policy)
        try:
            rows = [
                _located(name, search_corpus(stores, [request], detectors, name)[0], reveal=reveal)
                for name in request.corpora
            ]
        finally:
            if stores.ledger.status(ref) in ENDED:
                forget(stores, request, detectors)
    return rows


def _located(name: str, found: "Located", *, reveal: bool) -> Row:
    """What a search of one corpus found, in numbers; with `reveal`, with the texts."""
    row: Row = {
        "corpus": name,
        "documents": found.documents,
        "candidates": found.candidates,
        "spans": len(found.spans),
        "uncertain": found.uncertain,
        "others": len(found.others),
        "by_kind": dict(sorted(Counter(s.kind.value for s in found.spans).items())),
    }
    if reveal:
        row["texts"] = [
            {
                "document": span.document,
                "start": span.start,
                "end": span.end,
                "kind": span.kind.value,
                "detector": span.detector,
                "text": passage.text.reveal()[span.start : span.end],
            }
            for passage in found.passages
            for span in passage.spans
        ]
    return row


def erase(ref: str) -> Row:
    """Run the flow for one request; what is not a reference never reaches Prefect."""
    with open_stores("desk") as stores:
        stores.ledger.require_open(check_reference(ref))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # one sentence is printed instead
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "false")
    from flows.erasure import erase as flow

    start_prefect()
    status = flow(ref)
    with open_stores("desk") as stores:
        entries = stores.ledger.events(ref)
        last = next(e for e in reversed(entries) if e.event is Event.EVIDENCED)
        folder = Paths(stores.settings.home, ref).evidence
        return {
            "request": ref,
            "status": status,
            "attempts": [
                {
                    "model": e.payload["model"],
                    "method": e.payload["method"],
                    "outcome": e.payload["outcome"],
                    "deletion": e.payload.get("deletion", ""),
                    "reason": _why(e.payload),
                    "seconds": e.payload["seconds"],
                }
                for e in _of_last_run(entries)
                if e.event is Event.ATTEMPTED
            ],
            "report": str(folder / "report.html"),
            "bundle": str(folder / f"run-{last.payload['run']}.zip"),
        }


def _why(attempt: Mapping[str, Payload]) -> str:
    """What ended an attempt, or the checks for which it is no pass; nothing for one that passed."""
    hindered = attempt.get("hindered_by")
    return str(
        attempt["error"] or ", ".join(map(str, hindered if isinstance(hindered, list) else ()))
    )


def start_prefect() -> None:
    """Start Prefect's own server, deaf to Ctrl-C: the flow has to tell it that it was interrupted.

    With the server gone at once, Prefect asks for it again for more than a minute, and then says something else.
    """
    from prefect.client.orchestration import get_client

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a process inherits it
    try:
        get_client(sync_client=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _of_last_run(entries: list[Entry]) -> list[Entry]:
    """The events since the run before ended; a run that stopped and was taken up again is one run."""
    ends = [n for n, e in enumerate(entries) if e.event in (Event.NOT_ERASED, Event.INCONCLUSIVE)]
    earlier = [n for n in ends if n < len(entries) - 1]
    return entries[earlier[-1] + 1 :] if earlier else entries


def export(ref: str, out: Path) -> Row:
    """Write the bundle of the last run to `out`."""
    from flows.bundles import export as write

    with open_stores("desk") as stores:
        stores.ledger.status(check_reference(ref))
        return {"request": ref, "out": str(out), "sha256": write(stores, ref, out)}


def verified(file: Path, key: Path | None) -> Row:
    """Check a zip; needs neither settings nor keys of this machine."""
    from reports.verify import verify

    pinned = None
    if key is not None:
        try:
            pinned = key.read_bytes()
        except OSError:
            raise RequestRejected(
                Code.KEY_MISSING, place=str(key), remedy="there is no readable public key here."
            ) from None
    checked = verify(file, pinned)
    return {**asdict(checked), "trusted": checked.trusted}


def create_keys() -> Row:
    """Make the keys that are missing. Raises `RequestRejected` (KEY_EXISTS) when none is."""
    from flows.settings import load_settings
    from flows.vault import create_master_key
    from reports import keys

    settings = load_settings()
    signing = settings.signing_key_file
    if signing.name != keys.PRIVATE_NAME:
        raise RequestRejected(
            Code.SETTING_INVALID,
            place="environment variable LETHE_SIGNING_KEY_FILE",
            remedy=f"the file must be called {keys.PRIVATE_NAME}; choose the folder only.",
        )
    made: Row = {}
    _make_home(settings.home)
    if not settings.master_key_file.exists() or signing.exists():
        create_master_key(settings.master_key_file)
        made["master key"] = str(settings.master_key_file)
    if not signing.exists():
        pair = keys.create(signing.parent, settings.passphrase())
        made |= {
            "signing key": str(pair.private),
            "public key": str(pair.public),
            "fingerprint": pair.keyid,
        }
    return made


def _make_home(home: Path) -> None:
    """Its owner's alone from the first: the redacted copies in it hold what other people wrote."""
    with suppress(OSError):  # what is then written there says so
        home.mkdir(mode=0o700, parents=True, exist_ok=True)


def train(
    base: Path,
    data: str,
    out: Path,
    recipe: "Recipe",
    *,
    text_field: str,
    person_field: str,
    label_field: str = "",
) -> Row:
    """Train a model made of shards on a corpus as the catalog may name one; the key is this home's."""
    from flows import progress
    from flows.settings import load_settings
    from flows.sources import read_sources
    from unlearning.train_command import train

    settings = load_settings()
    _make_home(settings.home)
    report = train(
        base,
        lambda: read_sources(data, text_field, person_field, label_field),
        out,
        settings.shard_key_file,
        recipe,
        watch=lambda done, steps: progress.advance("steps", done, steps),
    )
    return asdict(report)


def fairness(
    shards: Sequence[Path],
    data: str,
    *,
    text_field: str,
    group_field: str,
    label_field: str,
    yes: str,
) -> list[Row]:
    """How often the shards of classifiers err for whom, and three ways to mend it."""
    from flows.sources import read_sources
    from unlearning.fairness_command import fairness as compared

    sources = read_sources(data, text_field, group_field, label_field)
    return [asdict(line) for line in compared(shards, sources, yes)]


def methods() -> list[Row]:
    """The methods one can name in the policy."""
    from unlearning.methods import METHODS

    return _kinds(METHODS)


def attacks() -> list[Row]:
    """The attacks one can name in the policy."""
    from unlearning.attacks import ATTACKS

    return _kinds(ATTACKS)


def detectors() -> list[Row]:
    """The detectors one can name in the policy."""
    from detectors.registry import DETECTORS

    return _kinds(DETECTORS)


def _kinds(kinds: Mapping[str, type[Any]]) -> list[Row]:
    """Name, first line of the docstring, options with their defaults."""
    return [
        {
            "name": name,
            "what": (kind.__doc__ or "").strip().splitlines()[0],
            "options": ", ".join(f"{f.name}={_default(f.default)}" for f in fields(kind) if f.init),
        }
        for name, kind in kinds.items()
    ]


def _default(value: object) -> str:
    return "(required)" if value is MISSING else str(value) or '""'
