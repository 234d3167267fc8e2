"""The legal month, against the values of the reference and by property."""

from datetime import UTC, date, datetime, timedelta

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from flows.deadlines import due_on, is_working_day, received_on, target_on
from flows.policy import Deadlines

GERMANY = Deadlines(country="DE", timezone="Europe/Berlin", target_days=21)


def noon(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


@pytest.mark.parametrize(
    ("received", "months", "due"),
    [
        ("2024-01-30", 1, "2024-02-29"),  # no 30 February: its last day, in a leap year
        ("2026-01-31", 1, "2026-03-02"),  # 28 February is a Saturday
        ("2026-03-03", 1, "2026-04-07"),  # 3 April is Good Friday, 6 April Easter Monday
        ("2026-08-31", 1, "2026-09-30"),
        ("2026-11-25", 1, "2026-12-28"),  # Christmas, then a weekend
        ("2026-01-31", 3, "2026-04-30"),
        ("2026-03-06", 3, "2026-06-08"),
    ],
)
def test_due_date_is_the_one_that_regulation_1182_71_gives(received, months, due):
    assert due_on(noon(received), GERMANY, months=months) == date.fromisoformat(due)


def test_the_day_of_receipt_is_the_day_where_the_controller_is():
    late_evening_in_utc = datetime(2026, 8, 31, 22, 30, tzinfo=UTC)
    assert received_on(late_evening_in_utc, GERMANY) == date(2026, 9, 1)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        due_on(datetime(2026, 8, 31), GERMANY)  # noqa: DTZ001


def test_our_own_goal_counts_plain_days():
    assert target_on(noon("2026-08-31"), GERMANY) == date(2026, 9, 21)


@given(st.datetimes(datetime(2024, 1, 1), datetime(2039, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_due_date_is_a_working_day_at_most_a_few_days_past_the_month(received):
    due = due_on(received, GERMANY)
    month = received_on(received, GERMANY) + relativedelta(months=1)
    assert is_working_day(due, GERMANY)
    assert month <= due <= month + timedelta(days=5)
    assert target_on(received, GERMANY) < due
