"""No path leads to an end without what must have come before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.lifecycle import ENDED, Event, Status, follow, status_of

HAPPY = [
    Event.RECEIVED,
    Event.STARTED,
    Event.LOCATED,
    Event.CORPUS_ERASED,
    Event.POLICY_COMMITTED,
    Event.ATTEMPTED,
    Event.PROMOTED,
    Event.EVIDENCED,
    Event.FULFILLED,
]


def walked(wishes: list[Event]) -> list[Event]:
    """A life: of the events wished for, those that may come where they stand."""
    life: list[Event] = []
    status: Status | None = None
    for event in wishes:
        try:
            status = follow(status, event)
        except ValueError:
            continue
        life.append(event)
    return life


LIVES = st.lists(st.sampled_from(list(Event)), max_size=80).map(
    lambda wishes: walked([Event.RECEIVED, Event.STARTED, *wishes])
)


def test_the_whole_way_is_open() -> None:
    assert status_of(HAPPY) is Status.FULFILLED


@given(LIVES)
def test_a_request_ends_only_after_it_was_located_and_evidenced_in_the_same_run(
    life: list[Event],
) -> None:
    for place, event in enumerate(life):
        if event not in (Event.FULFILLED, Event.NOT_ERASED, Event.INCONCLUSIVE, Event.NO_MATCH):
            continue
        started = max(n for n, e in enumerate(life[:place]) if e is Event.STARTED)
        run = life[started:place]
        assert Event.LOCATED in run
        assert Event.EVIDENCED in run
        assert run.index(Event.LOCATED) < run.index(Event.EVIDENCED)


@given(LIVES)
def test_nothing_follows_an_end_but_the_note_of_a_failed_step(life: list[Event]) -> None:
    status: Status | None = None
    for event in life:
        if status in ENDED:
            assert event is Event.STEP_FAILED
        status = follow(status, event)


@given(LIVES)
def test_a_request_is_received_once_and_withdrawn_only_before_anything_was_erased(
    life: list[Event],
) -> None:
    assert life.count(Event.RECEIVED) == 1
    if Event.WITHDRAWN in life and Event.CORPUS_ERASED in life:
        last_start = max(n for n, e in enumerate(life) if e is Event.STARTED)
        assert Event.CORPUS_ERASED not in life[last_start:]


@pytest.mark.parametrize("status", list(Status))
def test_a_failed_step_never_changes_where_a_request_stands(status: Status) -> None:
    assert follow(status, Event.STEP_FAILED) is status


@pytest.mark.parametrize(
    "missing",
    [
        e
        for e in HAPPY
        if e not in (Event.POLICY_COMMITTED, Event.ATTEMPTED, Event.PROMOTED, Event.CORPUS_ERASED)
    ],
)
def test_the_way_to_fulfilled_has_no_gap(missing: Event) -> None:
    life = [e for e in HAPPY if e is not missing]
    if missing is Event.FULFILLED:
        assert status_of(life) is Status.PROVING
        return
    with pytest.raises(ValueError, match="may not follow"):
        status_of(life)


def test_no_events_have_no_status() -> None:
    with pytest.raises(ValueError, match="at least one"):
        status_of([])
    with pytest.raises(ValueError, match="may not follow nothing"):
        status_of([Event.STEP_FAILED])
