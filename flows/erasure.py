"""The flow: one request, from the search to the signed evidence. It takes a reference and gives back a status.

 1. Load the request; refuse a wrong reference, missing keys and unknown names before anything is done.
 2. Hold the lease of every model and corpus of the request; a second run of the same request stops here.
 3. STARTED. Search every corpus; store the spans encrypted. LOCATED.
 4. No span anywhere: go to 10 with no_match.
 5. Write the redacted copies and search them again. CORPUS_ERASED.
 6. Sign the policy commitment, or go on from the checkpoint of a run that stopped. POLICY_COMMITTED.
 7. For each model: measure, let the policy's methods try until one passes, sign every attempt. ATTEMPTED.
 8. Promote what passed. PROMOTED.
 9. Where a shard was only dropped: train it again without the person, attack that, promote it too. ATTEMPTED, PROMOTED.
    Then remove earlier models of this home whose shards held the person.
10. Sign the case, check the bundle, file it. EVIDENCED, then the final event.

A run that stopped anywhere is started again by the same call. What a step raises ends the run with STEP_FAILED and
leaves the request's legal state as it was.
"""

from contextlib import ExitStack

from prefect import flow

from domain.errors import ErasureError, Unavailable
from domain.lifecycle import Event, Status
from domain.log import log
from flows.bench import Bench, open_bench
from flows.checkpoint import load_checkpoint
from flows.promotion import promote, retire
from flows.prove import close, prove, status_from
from flows.search import keep_spans, locate_corpus, record_corpora, redact_corpus
from flows.steps import shielded, unseen
from flows.unlearn import commit_policy, complete, measure_before, try_methods


@flow(name="erase", persist_result=False, log_prints=False, validate_parameters=False)
def erase(request_ref: str) -> str:
    """Erase one request and return the status it ends with. Raises `ErasureError`, of which Prefect sees the code."""
    return shielded(_erase, "erase", Unavailable)(request_ref)


def _erase(request_ref: str) -> str:
    with open_bench(request_ref) as bench, ExitStack() as leases:  # 1
        bench.stores.ledger.require_open(bench.ref)
        for name in sorted(bench.leased()):  # 2, in one order: two runs cannot block each other
            bench.held[name] = leases.enter_context(bench.leases.held(name, bench.ref))
        bench.stores.ledger.require_open(bench.ref)
        try:
            return _run(bench).value
        except ErasureError as error:
            _note_failure(bench, error)
            raise


def _run(bench: Bench) -> Status:
    here = unseen(bench)
    _start(bench)  # 3
    for corpus in bench.request.corpora:
        locate_corpus(here, corpus)
    keep_spans(here)
    if not bench.spans:  # 4
        for corpus in bench.request.corpora:
            redact_corpus(here, corpus)
        return _finish(bench, Status.NO_MATCH)
    for corpus in bench.request.corpora:  # 5
        redact_corpus(here, corpus)
    record_corpora(here)
    if not _may_go_on(bench):  # 6
        commit_policy(here)
    for model in bench.models:
        if bench.progress.models[model].outcome is None:  # 7
            measure_before(here, model)
        if model in bench.trials:
            try_methods(here, model)
        promote(here, model)  # 8
        complete(here, model)  # 9
        promote(here, model)
        retire(here, model)
    models = tuple(m.erasure(name) for name, m in bench.progress.models.items())
    return _finish(bench, status_from(models))


def _finish(bench: Bench, status: Status) -> Status:
    prove(unseen(bench), status)  # 10
    close(unseen(bench), status)
    return status


def _start(bench: Bench) -> None:
    """Count the run, and leave out the models that an earlier, finished run of this request has already changed."""
    past = bench.stores.ledger.events(bench.ref)
    bench.run = 1 + sum(entry.event in (Event.NOT_ERASED, Event.INCONCLUSIVE) for entry in past)
    ends = [n for n, e in enumerate(past) if e.event in (Event.NOT_ERASED, Event.INCONCLUSIVE)]
    done = (
        {e.payload["model"] for e in past[: ends[-1]] if e.event is Event.PROMOTED}
        if ends
        else set()
    )
    bench.models = tuple(model for model in bench.request.models if model not in done)
    bench.stores.ledger.append(bench.ref, Event.STARTED, {"run": bench.run})
    log("run_started", request=bench.ref, number=bench.run)


def _may_go_on(bench: Bench) -> bool:
    """Take up the checkpoint of a run that stopped, if all it stands on is as it was: policy, run and models."""
    kept = load_checkpoint(bench.stores.vault, bench.ref)
    if kept is None or kept.run != bench.run or kept.policy_sha256 != bench.policy.sha256():
        return False
    for name, at in kept.models.items():
        current = bench.stores.tracking.current(name)
        if current is None or current not in (at.path, at.candidate, *at.served):
            return False
    bench.checkpoint = kept
    bench.stores.ledger.append(
        bench.ref,
        Event.POLICY_COMMITTED,
        {"policy_sha256": kept.policy_sha256, "seed": kept.seed, "resumed": True},
    )
    return True


def _note_failure(bench: Bench, error: ErasureError) -> None:
    """Write STEP_FAILED; when not even that is possible, the first error is still the one to report."""
    try:
        bench.stores.ledger.append(bench.ref, Event.STEP_FAILED, {"code": error.code.value})
    except ErasureError:
        log("step_failed_unrecorded", request=bench.ref, code=error.code.value)
