"""The ledger only grows, notices every change of its past, and lets one writer win."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from domain.errors import EvidenceInvalid, RequestRejected
from domain.lifecycle import Event, Status
from flows.ledger import GENESIS

REF, OTHER = "er-0000000000000001", "er-0000000000000002"


@pytest.fixture
def ledger(home):
    home.ledger.append(REF, Event.RECEIVED, {"ground": "b", "models": ["assistant"]})
    home.ledger.append(OTHER, Event.RECEIVED)
    home.ledger.append(REF, Event.STARTED)
    return home.ledger


def tamper(home, *statements):
    with home.engine.begin() as connection:
        for verb in ("update", "delete"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS ledger_no_{verb}"))
        for statement in statements:
            connection.execute(text(statement))


def test_status_is_a_fold_over_the_events(ledger):
    assert ledger.status(REF) is Status.LOCATING
    assert ledger.status(OTHER) is Status.RECEIVED
    assert ledger.requests() == [REF, OTHER]
    assert [entry.event for entry in ledger.events(REF)] == [Event.RECEIVED, Event.STARTED]


def test_an_event_out_of_place_is_refused_and_not_written(ledger):
    with pytest.raises(RequestRejected, match="request_state"):
        ledger.append(REF, Event.FULFILLED)
    assert ledger.count() == 3


def test_an_unknown_request_is_refused(ledger):
    with pytest.raises(RequestRejected, match="request_unknown"):
        ledger.status("er-00000000000000ff")


def test_text_has_no_way_into_a_payload(ledger):
    with pytest.raises(ValueError, match="enums, numbers and digests"):
        ledger.append(REF, Event.LOCATED, {"found": ["Wilhelmina Zauberlinde"]})


def test_a_caller_that_saw_an_older_state_is_refused(ledger):
    with pytest.raises(RequestRejected, match="request_state"):
        ledger.append(REF, Event.STARTED, after=1)
    ledger.append(REF, Event.STARTED, after=2)


@pytest.mark.parametrize(
    "verb", ["UPDATE ledger_events SET actor = 'x'", "DELETE FROM ledger_events"]
)
def test_the_database_refuses_to_change_the_past(ledger, home, verb):
    with pytest.raises(DatabaseError, match="append-only"), home.engine.begin() as connection:
        connection.execute(text(verb))


def test_an_untouched_chain_verifies_and_contains_its_earlier_heads(ledger):
    head = ledger.head()
    ledger.append(OTHER, Event.WITHDRAWN)
    assert ledger.verify_chain(head) == 4


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_events SET at = '2020-01-01T00:00:00+00:00' WHERE number = 1",
        "UPDATE ledger_events SET payload = '{}' WHERE number = 1",
        "UPDATE ledger_events SET event = 'withdrawn' WHERE number = 3",
        "UPDATE ledger_events SET request_ref = 'er-0000000000000003' WHERE number = 2",
        "DELETE FROM ledger_events WHERE number = 1",
        "DELETE FROM ledger_events WHERE number = 2",
    ],
)
def test_a_changed_past_breaks_the_chain(ledger, home, statement):
    tamper(home, statement)
    with pytest.raises(EvidenceInvalid, match="ledger_broken"):
        ledger.verify_chain()


def test_an_end_that_was_cut_off_is_missed_by_whoever_kept_the_head(ledger, home):
    head = ledger.head()
    tamper(home, "DELETE FROM ledger_events WHERE number = 3")
    assert ledger.verify_chain() == 2
    with pytest.raises(EvidenceInvalid, match="ledger_broken"):
        ledger.verify_chain(head)


def test_an_empty_ledger_verifies(home):
    assert home.ledger.verify_chain() == 0
    assert home.ledger.head() == GENESIS


def test_writers_at_the_same_time_lose_nothing(home):
    refs = [f"er-{number:016x}" for number in range(4)]
    threads = [threading.Thread(target=home.ledger.append, args=(r, Event.RECEIVED)) for r in refs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(home.ledger.requests()) == refs
    assert home.ledger.verify_chain() == 4


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.sampled_from(list(Event)), max_size=12), st.uuids())
def test_no_sequence_of_events_reaches_fulfilled_without_evidence(home, events, unique):
    ref = f"er-{unique.hex[:16]}"
    taken = []
    for event in events:
        try:
            status = home.ledger.append(ref, event)
        except RequestRejected:
            continue
        taken.append(event)
        if status is Status.FULFILLED:
            assert taken[-2:] == [Event.EVIDENCED, Event.FULFILLED]
            assert Event.CORPUS_ERASED in taken or Event.EVIDENCED in taken
