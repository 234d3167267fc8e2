"""When a request must be answered: one calendar month, counted as Regulation (EEC, Euratom) 1182/71 counts.

The day of receipt is not counted (Article 3(1)); the month ends on the day of the same number, or on the month's last
day where there is none (3(2)(c)); a Saturday, Sunday or public holiday rolls to the end of the next working day (3(4)).
The month is that of GDPR Article 12(3).
"""

from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays
from dateutil.relativedelta import relativedelta

from flows.policy import Deadlines


def received_on(received_at: datetime, deadlines: Deadlines) -> date:
    """The day of receipt where the controller is. Raises `ValueError` for a time without a zone."""
    if received_at.tzinfo is None:
        raise ValueError("a time of receipt needs a time zone")
    return received_at.astimezone(ZoneInfo(deadlines.timezone)).date()


def due_on(received_at: datetime, deadlines: Deadlines, *, months: int = 1) -> date:
    """The last day on which an answer is in time; `months=3` after an extension (Article 12(3), second sentence)."""
    day = received_on(received_at, deadlines) + relativedelta(months=months)
    while not is_working_day(day, deadlines):
        day += timedelta(days=1)
    return day


def target_on(received_at: datetime, deadlines: Deadlines) -> date:
    """The day by which the policy wants the request done, earlier than the law does."""
    return received_on(received_at, deadlines) + timedelta(days=deadlines.target_days)


def is_working_day(day: date, deadlines: Deadlines) -> bool:
    """Neither a weekend nor a public holiday of the policy's country."""
    return day.weekday() < 5 and day not in _holidays(
        deadlines.country, deadlines.subdivision, day.year
    )


@cache
def _holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    found = frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
    if not found:
        raise ValueError(f"no public holidays are known for {country} in {year}")
    return found
