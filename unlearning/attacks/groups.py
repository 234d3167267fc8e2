"""What all attacks share: refusing an empty group, and walking over its secrets."""

from collections.abc import Iterator, Sequence

from domain.errors import Code, RequestRejected
from unlearning.encoding import Encoded, TokenSpan


def require_groups(members: Sequence[Encoded], controls: Sequence[Encoded]) -> None:
    """Raise `RequestRejected` when there is nothing to attack or nothing to compare with."""
    if not any(True for _ in secrets(members)):
        raise RequestRejected(
            Code.NO_SPANS,
            place="the person's passages",
            remedy="no secret lies in them, so no attack can be run.",
        )
    if not any(True for _ in secrets(controls)):
        raise RequestRejected(
            Code.NO_CONTROLS,
            place="the control group",
            remedy="it is empty; without people the model never saw no number means anything.",
        )
    if {row.key for row in members if row.spans} & {row.key for row in controls if row.spans}:
        raise RequestRejected(
            Code.NO_CONTROLS,
            place="the control group",
            remedy="it overlaps the person's own passages; give passages of people the model never saw.",
        )


def require_floor(attack: object, **least: float) -> None:
    """Raise `ValueError` naming the first of these options that is below its floor."""
    for name, floor in least.items():
        if not getattr(attack, name) >= floor:
            raise ValueError(f"{name} must be at least {floor}")


def apart(
    members: Sequence[Encoded], controls: Sequence[Encoded]
) -> tuple[list[Encoded], list[Encoded]]:
    """Both groups without what they share: windows of a long text in which nothing of the person stands."""
    shared = {row.key for row in members} & {row.key for row in controls}
    return (
        [row for row in members if row.key not in shared],
        [row for row in controls if row.key not in shared],
    )


def secrets(rows: Sequence[Encoded]) -> Iterator[tuple[int, Encoded, TokenSpan]]:
    """(row number, row, span) of every secret that has text before it to ask with."""
    for number, row in enumerate(rows):
        for span in row.spans:
            if row.asks(span):
                yield number, row, span
