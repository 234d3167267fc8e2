"""The flows that a schedule or a ticket starts: all due requests, and the export for an auditor.

`erasure-ticket` is `erasure.erase` itself. prefect.yaml names all three.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from domain.errors import ErasureError, Unavailable
from domain.lifecycle import ENDED, Status
from domain.log import log
from flows.bench import Stores, open_stores
from flows.bundles import export
from flows.intake import check_reference
from flows.steps import step

WAITING = frozenset(
    {
        Status.RECEIVED,
        Status.LOCATING,
        Status.ERASING_CORPUS,
        Status.UNLEARNING,
        Status.PROVING,
        Status.CLOSING,
    }
)
"""Received, or begun and stopped. What ended not_erased or inconclusive waits for a person's decision."""


@flow(name="erasure-batch", persist_result=False, log_prints=False)
def erasure_batch() -> State[Any]:
    """Search every corpus once for all due requests, then erase them, the most urgent first.

    One that fails stops no other; the batch then ends Failed.
    """
    forget_expired()
    refs = due_requests()
    if len(refs) > 1:
        _searched_together(refs)
    failed = sum(not _erased(ref) for ref in refs)
    log("batch_ended", total=len(refs), count=failed)
    if failed:
        return Failed(message=f"{failed} of {len(refs)} requests stopped; see: lethe request list")
    return Completed(message=f"{len(refs)} requests")


def _searched_together(refs: list[str]) -> None:
    """Whatever breaks the common search, each request can be searched for by itself."""
    from flows.search import search_together

    try:
        search_together(refs)
    except ErasureError as error:
        log("search_together_stopped", code=error.code.value)


def _erased(ref: str) -> bool:
    """Whether the request's own flow ran through, whatever its verdict."""
    from flows.erasure import erase

    state: State[str] = erase(ref, return_state=True)
    return state.is_completed()


@step("due_requests", broken=Unavailable)
def due_requests() -> list[str]:
    """The references of waiting requests, by due date."""
    with open_stores("batch") as stores:
        waiting = [ref for ref in stores.ledger.requests() if stores.ledger.status(ref) in WAITING]
        return sorted(waiting, key=lambda ref: str(stores.ledger.events(ref)[0].payload["due_on"]))


@step("forget_expired", broken=Unavailable)
def forget_expired() -> int:
    """Destroy the keys of requests that ended longer ago than the policy keeps them, and count them."""
    with open_stores("batch") as stores:
        expired = [ref for ref in stores.ledger.requests() if _is_expired(stores, ref)]
        for ref in expired:
            stores.vault.shred(ref)
            log("key_destroyed", request=ref)
        return len(expired)


def _is_expired(stores: Stores, ref: str) -> bool:
    age = datetime.now(UTC) - datetime.fromisoformat(stores.ledger.events(ref)[-1].at)
    return (
        stores.ledger.status(ref) in ENDED
        and age > timedelta(days=stores.policy.retention.request_days)
        and stores.vault.holds(ref)
    )


@flow(name="auditor-export", persist_result=False, log_prints=False, validate_parameters=False)
def auditor_export(request_ref: str) -> str:
    """Write the request's bundle into the home folder's exports and return its SHA-256."""
    return write_export(request_ref)


@step("export", broken=Unavailable)
def write_export(request_ref: str) -> str:
    """Copy the verified bundle of the last run."""
    with open_stores("auditor") as stores:
        ref = check_reference(request_ref)
        return export(stores, ref, stores.settings.home / "exports" / f"{ref}.zip")
