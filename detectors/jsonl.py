"""Lines of JSON: their texts, quickly where every line is plain; and one line as it was written:
which characters of its source are which code points of its text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, Any

import orjson

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)
"""One code point inside a JSON string: a surrogate pair, one escape, or the character itself."""


class NotARowError(ValueError):
    """The line is no JSON object with one text in the field asked for. Carries no text."""


def blocks(stream: IO[bytes], size: int = 1 << 19) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time; a longer line comes in one piece."""
    pieces: list[bytes] = []
    while block := stream.read(size):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join(pieces) + block[:cut]
            pieces = [block[cut:]] if cut < len(block) else []
        else:
            pieces.append(block)
    if pieces:
        yield b"".join(pieces)


class Lines:
    """Reads the texts of one field.

    A block is read quickly when orjson, which is stricter than the parser of `read_text`, takes
    every line of it and the key stands there once a line; else each line goes to `read_text`, which
    has the last word.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._key = json.dumps(field, ensure_ascii=False).encode("utf-8", "replace")
        escapes = "|".join(f"{ord(c):02x}" for c in set(field) if c.isascii())
        self._escaped = re.compile(rf"\\u00(?:{escapes})".encode(), re.IGNORECASE)
        self._plain = field.isascii() and field.isalnum()

    def texts(self, block: bytes, lines: Sequence[bytes]) -> list[str | None] | None:
        """The texts of a block that consists of these lines; None when it has to be read with care.

        A key may be written with escapes, so a block with escaped letters of the key is not plain.
        """
        if not self._plain or block.count(self._key) != len(lines):
            return None
        if block.find(b"\\u00") >= 0 and self._escaped.search(block):
            return None
        try:
            texts = [orjson.loads(line)[self._field] for line in lines]
        except (ValueError, KeyError, TypeError, IndexError):
            return None
        kinds = set(map(type, texts))
        if kinds <= {str}:
            return texts
        return [text or "" for text in texts] if kinds <= {str, type(None)} else None

    def text(self, line: bytes) -> str | None:
        """The text of one line, with a byte order mark before it or not; None for no row."""
        try:
            return read_text(decode(line).removeprefix("\ufeff"), self._field)
        except (UnicodeDecodeError, NotARowError):
            return None


def decode(line: bytes) -> str:
    """A line as text; a byte order mark before the first one stays with it and does not disturb the
    parser.
    """
    return line.decode("utf-8")


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
