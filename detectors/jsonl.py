"""One line of JSON as it was written: which characters of its source are which code points of its
text.
"""

import json
import re
from typing import Any

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)
"""One code point inside a JSON string: a surrogate pair, one escape, or the character itself."""


class NotARowError(ValueError):
    """The line is no JSON object with one text in the field asked for. Carries no text."""


def read_text(line: str, field: str) -> str:
    """The text of a row; empty where it is null. Raises `NotARowError`."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if keys.count(field) > 1:  # the parser would show only the last one
            raise NotARowError
        return dict(pairs)

    try:
        row = json.loads(line, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise NotARowError from None
    if not isinstance(row, dict) or field not in row:
        raise NotARowError
    text = row[field]
    if text is None:
        return ""
    if not isinstance(text, str):
        raise NotARowError
    return text


def replace_spans(line: str, field: str, spans: list[tuple[int, int]], mark: str) -> str:
    """The line with `mark` in place of the given code points of its text; every other character
    stays as written.

    `spans` are disjoint and sorted. Raises `NotARowError` when a span is not inside the text.
    """
    start, end = _literal(line, field)
    units = [m.start() for m in _UNIT.finditer(line, start + 1, end - 1)]
    units.append(end - 1)
    escaped = json.dumps(mark)[1:-1]
    pieces, at = [], 0
    for first, last in spans:
        if last >= len(units):
            raise NotARowError
        pieces += [line[at : units[first]], escaped]
        at = units[last]
    return "".join(pieces) + line[at:]


def _literal(line: str, field: str) -> tuple[int, int]:
    """Where the literal of the field stands, quotes included. Raises `NotARowError`."""
    depth, key, value_follows = 0, "", False
    for match in _TOKEN.finditer(line):
        piece = match.group()
        if depth == 1 and value_follows and piece[0] == '"' and key == field:
            return match.span()
        if piece in "{[":
            depth += 1
        elif piece in "}]":
            depth -= 1
        if depth == 1:
            if piece[0] == '"' and not value_follows:
                key = json.loads(piece)
            value_follows = piece == ":" or (value_follows and piece not in ",}")
            if piece == ",":
                value_follows = False
    raise NotARowError
