"""Merged spans cover the same characters, once, whatever their order; rates have exact intervals."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.intervals import fisher, rate
from domain.records import Owner, SensitiveSpan, SpanKind, merge_spans

SPANS = st.lists(
    st.builds(
        lambda document, start, width, kind, owner, detector, confidence: SensitiveSpan(
            document, start, start + width, kind, owner, detector, confidence
        ),
        st.sampled_from(["a#1", "b#2"]),
        st.integers(0, 30),
        st.integers(1, 12),
        st.sampled_from(list(SpanKind)),
        st.sampled_from(list(Owner)),
        st.sampled_from(["exact", "presidio"]),
        st.sampled_from([0.3, 0.5, 1.0]),
    ),
    max_size=12,
)


def covered(spans: list[SensitiveSpan], owner: Owner | None = None) -> set[tuple[str, int]]:
    return {
        (s.document, place)
        for s in spans
        if owner in (None, s.owner)
        for place in range(s.start, s.end)
    }


@given(SPANS)
def test_merged_spans_are_disjoint_sorted_and_cover_the_same_characters(
    spans: list[SensitiveSpan],
) -> None:
    merged = merge_spans(spans)
    assert covered(merged) == covered(spans)
    assert sum(s.end - s.start for s in merged) == len(covered(spans))
    assert merged == sorted(merged)


@given(SPANS, st.randoms())
def test_merging_does_not_depend_on_the_order(spans: list[SensitiveSpan], order: object) -> None:
    shuffled = list(spans)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge_spans(shuffled) == merge_spans(spans)


@given(SPANS)
def test_merging_twice_changes_nothing(spans: list[SensitiveSpan]) -> None:
    merged = merge_spans(spans)
    assert merge_spans(merged) == merged


@given(SPANS)
def test_no_character_of_the_subject_is_given_to_another(spans: list[SensitiveSpan]) -> None:
    assert covered(merge_spans(spans), Owner.SUBJECT) == covered(spans, Owner.SUBJECT)


@given(SPANS)
def test_a_secret_that_touches_a_name_stays_a_secret(spans: list[SensitiveSpan]) -> None:
    own = [s for s in spans if s.owner is Owner.SUBJECT]
    secret = covered([s for s in own if s.kind is not SpanKind.PERSON])
    kept = covered([s for s in merge_spans(own) if s.kind is not SpanKind.PERSON])
    assert secret <= kept


def test_touching_spans_stay_two() -> None:
    two = [
        SensitiveSpan("a#1", 0, 3, SpanKind.PHONE, Owner.SUBJECT, "exact", 1.0),
        SensitiveSpan("a#1", 3, 6, SpanKind.PHONE, Owner.SUBJECT, "exact", 1.0),
    ]
    assert merge_spans(two) == two


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (3, 3), (4, 2)])
def test_a_span_without_characters_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="start < end"):
        SensitiveSpan("a#1", start, end, SpanKind.PHONE, Owner.SUBJECT, "exact", 1.0)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 32, 0.0, 0.1089),
        (32, 32, 0.8911, 1.0),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (50, 100, 0.3983, 0.6017),
    ],
)
def test_rates_have_the_intervals_of_the_tables(
    hits: int, trials: int, low: float, high: float
) -> None:
    found = rate(hits, trials)
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))
    assert (found.value, found.hits, found.trials) == (hits / trials, hits, trials)


@given(st.integers(1, 2000))
def test_no_hit_and_all_hits_have_the_closed_form(trials: int) -> None:
    bound = 1 - 0.025 ** (1 / trials)
    assert rate(0, trials).high == pytest.approx(bound, abs=1e-9)
    assert rate(trials, trials).low == pytest.approx(1 - bound, abs=1e-9)


@given(st.integers(1, 150), st.data())
def test_the_ends_of_an_interval_leave_half_the_error_on_each_side(
    trials: int, data: st.DataObject
) -> None:
    hits = data.draw(st.integers(0, trials))
    found = rate(hits, trials)
    assert 0 <= found.low <= found.value <= found.high <= 1
    mirrored = rate(trials - hits, trials)
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-9)
    if hits > 0:
        tail = sum(
            math.comb(trials, k) * found.low**k * (1 - found.low) ** (trials - k)
            for k in range(hits, trials + 1)
        )
        assert tail == pytest.approx(0.025, abs=1e-7)


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (2, 1), (-1, 4)])
def test_a_rate_without_a_trial_is_refused(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="hits <= trials"):
        rate(hits, trials)


def test_fishers_exact_test_by_hand() -> None:
    """3 of 3 against 0 of 3: one way in C(6, 3) = 20; 1 of 2 against 0 of 2: 2 of C(4, 1) = 4; none: certain."""
    assert fisher(3, 3, 0, 3) == pytest.approx(1 / 20)
    assert fisher(1, 2, 0, 2) == pytest.approx(2 / 4)
    assert fisher(0, 5, 2, 30) == pytest.approx(1)
