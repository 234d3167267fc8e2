"""Steps at the end: make the case file, sign it, check the bundle as an auditor would, file it, and close the request.

The status follows from verdicts that stand in the case file, never from the state of a Prefect run: fulfilled needs a
PASS for every model, not_erased is every FAIL, and the rest is inconclusive.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from importlib.metadata import version
from pathlib import Path

from domain.errors import Code, Unavailable
from domain.lifecycle import ENDED, Event, Status
from domain.log import log
from domain.outcomes import CaseFile, ModelErasure, Outcome
from flows.bench import Bench, now
from flows.deadlines import due_on
from flows.memories import forget
from flows.search import spans_commitment
from flows.steps import step
from reports import bundle, keys, verify
from reports.limits import limits_for

SOFTWARE = ("lethe", "torch", "transformers", "presidio-analyzer", "prefect", "mlflow")
_ENDS = {
    Status.FULFILLED: Event.FULFILLED,
    Status.NOT_ERASED: Event.NOT_ERASED,
    Status.INCONCLUSIVE: Event.INCONCLUSIVE,
    Status.NO_MATCH: Event.NO_MATCH,
}


def status_from(models: tuple[ModelErasure, ...]) -> Status:
    """What the verdicts add up to; no verdict at all is not_erased."""
    outcomes = [model.outcome for model in models]
    if outcomes and all(outcome is Outcome.PASS for outcome in outcomes):
        return Status.FULFILLED
    if outcomes and all(o in (Outcome.PASS, Outcome.INCONCLUSIVE) for o in outcomes):
        return Status.INCONCLUSIVE
    return Status.NOT_ERASED


@step("prove", broken=Unavailable)
def prove(bench: Bench, status: Status) -> None:
    """Sign the case, check the bundle by the auditor's own protocol, and file it in MLflow and in the home folder."""
    case = _case(bench, status)
    envelopes = bench.checkpoint.envelopes if bench.checkpoint else {}
    earlier = {name: envelope.encode() for name, envelope in envelopes.items()}
    files = bundle.assemble(case, earlier, bench.signing_key, forbidden=bench.texts())
    zipped = bench.paths.bundle(bench.run)
    bundle.write(zipped, files)
    verify.verify(zipped, keys.public_pem(bench.signing_key.public_key()))
    _unpack(bench.paths.evidence, files)
    run_id = bench.stores.tracking.record(case, files)
    bench.stores.ledger.append(
        bench.ref,
        Event.EVIDENCED,
        {
            "completion_sha256": hashlib.sha256(files["completion.dsse.json"]).hexdigest(),
            "bundle_sha256": hashlib.sha256(zipped.read_bytes()).hexdigest(),
            "mlflow_run": run_id,
            "run": bench.run,
        },
    )


@step("close", broken=Unavailable)
def close(bench: Bench, status: Status) -> None:
    """Write the last event, and only then let go of what the run kept for a restart."""
    bench.stores.ledger.append(bench.ref, _ENDS[status])
    bench.stores.vault.remove(bench.ref, "checkpoint")
    if status in ENDED:
        forget(bench.stores, bench.request, bench.detectors)
    log("request_ended", request=bench.ref, status=status.value)


def _case(bench: Bench, status: Status) -> CaseFile:
    request, progress = bench.request, bench.checkpoint
    case = CaseFile(
        request_ref=bench.ref,
        status=status.value,
        ground=request.ground,
        received_at=request.received_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        due_on=due_on(request.received_at, bench.policy.deadlines).isoformat(),
        finished_at=now(),
        policy_sha256=progress.policy_sha256 if progress else bench.policy.sha256(),
        subject_commitment=subject_commitment(bench),
        spans_commitment=spans_commitment(bench),
        corpora=tuple(bench.corpora),
        models=tuple(m.erasure(name) for name, m in progress.models.items()) if progress else (),
        software={name: version(name) for name in SOFTWARE},
        limits=(),
    )
    return replace(case, limits=limits_for(case))


def subject_commitment(bench: Bench) -> str:
    """HMAC over the identifiers of the request, in order: who holds the key can show that it was about this person."""
    parts = [f"{i.kind}:{i.value.reveal()}".encode() for i in bench.request.subject.identifiers]
    return bench.stores.vault.request_hmac(bench.ref, "subject", *parts)


def _unpack(folder: Path, files: Mapping[str, bytes]) -> None:
    """The files of the latest bundle, beside it, in place of those of an earlier run."""
    partial = folder / ".latest"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, content in files.items():
            (partial / name).write_bytes(content)
        for old in folder.iterdir():
            if old.is_file() and old.suffix != ".zip":
                old.unlink()
        for name in files:
            (partial / name).replace(folder / name)
        partial.rmdir()
    except OSError:
        raise Unavailable(
            Code.DISK,
            place="the evidence folder",
            remedy="it could not be written; check permissions and free space.",
        ) from None
