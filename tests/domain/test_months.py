"""Months stay in their language, and in order."""

import pytest

from domain.months import NAMES, others


def test_each_language_has_twelve_in_the_order_of_the_year() -> None:
    assert {len(row) for row in NAMES} == {12}
    assert {len(set(row)) for row in NAMES} == {12}
    assert {row[10][:3] for row in NAMES} == {"nov"}
    assert all(name == name.casefold() for row in NAMES for name in row)


@pytest.mark.parametrize(
    ("month", "nearby", "has", "lacks"),
    [
        ("March", (), "may", "mai"),
        ("Août", (), "février", "april"),
        ("agosto", ("giugno", "carta"), "gennaio", "enero"),
        ("agosto", (), "enero", "gennaio"),
        ("Dec", (), "jan", "january"),
    ],
)
def test_others_are_of_the_same_language(
    month: str, nearby: tuple[str, ...], has: str, lacks: str
) -> None:
    found = others(month, nearby)
    assert len(found) == 11
    assert has in found
    assert not {lacks, month.casefold()}.intersection(found)


def test_what_is_no_month_has_no_others() -> None:
    assert others("Meadow", ("january",)) == []
