"""One byte form for JSON: RFC 8785 out, and a strict reader that accepts nothing ambiguous."""

import json
from collections.abc import Mapping, Sequence
from typing import NoReturn, TypeAlias

import rfc8785

from domain.errors import Code, EvidenceInvalid

Json: TypeAlias = "str | int | bool | Sequence[Json] | Mapping[str, Json] | None"
"""JSON without floats: a rate is a decimal string, so that all languages print it alike."""


def dumps(value: Json) -> bytes:
    """The RFC 8785 bytes of `value`. Raises `TypeError` for a float, wherever it is."""
    _refuse_floats(value)
    return rfc8785.dumps(value)


def loads(data: bytes, *, place: str) -> dict[str, object]:
    """Read one JSON object.

    Raises `EvidenceInvalid` for bytes that are not UTF-8 JSON, for a duplicate key (two readers
    would see two statements), for NaN and Infinity, for floats, for nesting too deep to read, and
    for anything but an object.
    """
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_number,
            parse_float=_refuse_number,
        )
    except (ValueError, RecursionError):
        raise EvidenceInvalid(
            Code.BUNDLE_UNREADABLE, place=place, remedy="this is not strict JSON"
        ) from None
    if not isinstance(value, dict):
        raise EvidenceInvalid(
            Code.BUNDLE_UNREADABLE, place=place, remedy="this is not a JSON object"
        )
    return value


def _refuse_floats(value: Json) -> None:
    if isinstance(value, float):
        raise TypeError("evidence holds integers and decimal strings, never floats")
    if isinstance(value, Mapping):
        for inner in value.values():
            _refuse_floats(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            _refuse_floats(inner)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _refuse_number(_: str) -> NoReturn:
    raise ValueError("not an integer")
