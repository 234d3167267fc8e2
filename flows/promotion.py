"""Steps that put a model into service: only a PASS moves the registry's alias, and what it replaces may have to go.

The alias moves only while the lease is held and nobody else has moved it.
"""

import shutil
from pathlib import Path

from domain.errors import Code, EvidenceInvalid, Unavailable
from domain.lifecycle import Event
from domain.outcomes import Outcome
from flows.bench import Bench
from flows.steps import step
from unlearning import manifest, models


@step("promote", broken=EvidenceInvalid)
def promote(bench: Bench, name: str) -> None:
    """Move the registry's alias to the model that passed. Doing it twice does it once.

    Raises `EvidenceInvalid` when the files are not those that were measured or the alias has been moved by somebody
    else; `Unavailable` when the lease was lost.
    """
    at = bench.progress.models[name]
    if at.outcome is not Outcome.PASS or at.candidate is None or at.version:
        return
    bench.leases.assert_held(bench.held[f"model/{name}"])
    require_digest(at.candidate, at.after_sha256, name)
    tracking = bench.stores.tracking
    current = tracking.current(name)
    if current not in (at.path, at.candidate, *at.served):
        raise EvidenceInvalid(
            Code.DIGEST_MISMATCH,
            request_ref=bench.ref,
            place=f"model {name}",
            remedy="another model was put in production meanwhile; nothing was promoted; run again.",
        )
    version = tracking.register(name, at.candidate, at.after_sha256)
    tracking.promote(name, version, at.after_sha256)
    at.version, at.served = version, (*at.served, at.candidate)
    bench.stores.ledger.append(
        bench.ref,
        Event.PROMOTED,
        {
            "model": name,
            "version": version,
            "before_sha256": at.before_sha256,
            "after_sha256": at.after_sha256,
        },
    )
    bench.save()


@step("retire", broken=Unavailable)
def retire(bench: Bench, name: str) -> None:
    """Remove the models of this home, made of shards, that the one in service replaces: their parts hold the person.

    The first one, which the catalog names, belongs to the controller; the report says that it is still there. What runs
    that were killed left half-made goes as well: nobody would find it when others in it ask to be forgotten.
    """
    at = bench.progress.models[name]
    known = [path for path in (at.path, *at.served, at.candidate) if path]
    for made in (bench.paths.candidates / name).glob("*"):
        if not any(path.is_relative_to(made) for path in known):
            shutil.rmtree(made, ignore_errors=True)
    for old in {at.path, *at.served} - {at.candidate}:
        if at.version and manifest.kind(bench.paths.shards(old, None)):
            shutil.rmtree(old.parent, ignore_errors=True)


def require_digest(path: Path, expected: str, name: str) -> None:
    """Raise `EvidenceInvalid` when a model's files are not those that were measured."""
    if models.digest(path)[0] != expected:
        raise EvidenceInvalid(
            Code.DIGEST_MISMATCH,
            place=f"model {name}",
            remedy="its files are not those that were measured; restore them, then run again.",
        )
