"""The life of a request: which event may follow which, and the status as a fold over the events."""

from collections.abc import Iterable
from enum import StrEnum


class Event(StrEnum):
    """What can happen to a request. The ledger only ever appends these."""

    RECEIVED = "received"
    STARTED = "started"
    LOCATED = "located"
    CORPUS_ERASED = "corpus_erased"
    POLICY_COMMITTED = "policy_committed"
    ATTEMPTED = "attempted"
    PROMOTED = "promoted"
    EVIDENCED = "evidenced"
    FULFILLED = "fulfilled"
    NOT_ERASED = "not_erased"
    INCONCLUSIVE = "inconclusive"
    NO_MATCH = "no_match"
    WITHDRAWN = "withdrawn"
    STEP_FAILED = "step_failed"


class Status(StrEnum):
    """Where a request stands."""

    RECEIVED = "received"
    LOCATING = "locating"
    ERASING_CORPUS = "erasing_corpus"
    UNLEARNING = "unlearning"
    PROVING = "proving"
    CLOSING = "closing"  # proving that the person is in no corpus
    FULFILLED = "fulfilled"
    NOT_ERASED = "not_erased"
    INCONCLUSIVE = "inconclusive"
    NO_MATCH = "no_match"
    WITHDRAWN = "withdrawn"


ENDED = frozenset({Status.FULFILLED, Status.NO_MATCH, Status.WITHDRAWN})
"""Nothing can follow. `not_erased` and `inconclusive` are ends of a run, not of the duty: they may be started again."""

_NEXT: dict[Status | None, dict[Event, Status]] = {
    None: {Event.RECEIVED: Status.RECEIVED},
    Status.RECEIVED: {Event.STARTED: Status.LOCATING, Event.WITHDRAWN: Status.WITHDRAWN},
    Status.LOCATING: {
        Event.STARTED: Status.LOCATING,
        Event.LOCATED: Status.ERASING_CORPUS,
        Event.WITHDRAWN: Status.WITHDRAWN,
    },
    Status.ERASING_CORPUS: {
        Event.STARTED: Status.LOCATING,
        Event.CORPUS_ERASED: Status.UNLEARNING,
        Event.EVIDENCED: Status.CLOSING,  # no match: nothing to redact
    },
    Status.UNLEARNING: {
        Event.STARTED: Status.LOCATING,
        Event.POLICY_COMMITTED: Status.UNLEARNING,
        Event.ATTEMPTED: Status.UNLEARNING,
        Event.PROMOTED: Status.UNLEARNING,
        Event.EVIDENCED: Status.PROVING,
    },
    Status.PROVING: {
        Event.STARTED: Status.LOCATING,
        Event.FULFILLED: Status.FULFILLED,
        Event.NOT_ERASED: Status.NOT_ERASED,
        Event.INCONCLUSIVE: Status.INCONCLUSIVE,
    },
    Status.CLOSING: {Event.STARTED: Status.LOCATING, Event.NO_MATCH: Status.NO_MATCH},
    Status.NOT_ERASED: {Event.STARTED: Status.LOCATING},
    Status.INCONCLUSIVE: {Event.STARTED: Status.LOCATING},
}


def follow(status: Status | None, event: Event) -> Status:
    """The status after `event`.

    A failed step never changes the legal state. Raises `ValueError` for an event that may not come here.
    """
    if event is Event.STEP_FAILED and status is not None:
        return status
    try:
        return _NEXT[status][event]
    except KeyError:
        raise ValueError(
            f"{event.value} may not follow {status.value if status else 'nothing'}"
        ) from None


def status_of(events: Iterable[Event]) -> Status:
    """Fold the events of one request. Raises `ValueError` when there are none or one is out of place."""
    status: Status | None = None
    for event in events:
        status = follow(status, event)
    if status is None:
        raise ValueError("a request has at least one event")
    return status
