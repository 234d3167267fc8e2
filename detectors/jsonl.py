"""Lines of JSON: their texts, quickly where every line is plain; and one line as it was written:
which characters of its source are which code points of its text.
"""

import json
import re
from collections.abc import Iterator
from secrets import token_hex
from typing import IO, Any

import orjson

from detectors.patterns import Patterns

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_UNIT = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL
)
"""One code point inside a JSON string: a surrogate pair, one escape, or the character itself."""


class NotARowError(ValueError):
    """The line is no JSON object with one text in the field asked for. Carries no text."""


class LongLineError(ValueError):
    """A line is longer than anybody asked for. Carries no text."""


def blocks(stream: IO[bytes], size: int = 1 << 19, longest: int | None = None) -> Iterator[bytes]:
    """Whole lines, about `size` bytes at a time; a longer line comes in one piece.

    Raises `LongLineError` behind the lines before one of more than `longest` bytes, which are no
    fewer than `size`.
    """
    pieces: list[bytes] = []
    held = 0
    while block := stream.read(size):
        cut = block.rfind(b"\n") + 1
        held += block.find(b"\n") if cut else len(block)
        if longest is not None and held > longest:
            raise LongLineError
        if cut:
            yield b"".join([*pieces, block[:cut]]) if pieces else block[:cut]
            pieces = [block[cut:]] if cut < len(block) else []
            held = len(block) - cut
        else:
            pieces.append(block)
    if pieces:
        yield b"".join(pieces)


def cut(content: bytes, size: int) -> Iterator[bytes]:
    """The same for lines at hand."""
    start = 0
    while start < len(content):
        end = content.rfind(b"\n", start, start + size) + 1
        end = end or content.find(b"\n", start) + 1 or len(content)
        yield content[start:end]
        start = end


class Lines:
    """Reads the texts of one field.

    A block is parsed at once by orjson, which is stricter than the parser of `read_text`. Where that
    refuses anything, each line goes to `read_text`, which has the last word; so does a single line in
    which the key does not stand exactly once as it is usually written: it may be there twice, of which
    a parser shows the last, or with escapes.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._key = json.dumps(field, ensure_ascii=False).encode("utf-8", "replace")
        escapes = "|".join(f"{ord(c):02x}" for c in set(field) if c.isascii())
        self._plain = field.isascii() and field.isalnum()
        self._escaped = Patterns([rf"\\u00(?i:{escapes})"] if self._plain else [])
        self._mark = token_hex(8)
        self._border = f',"{self._mark}",'.encode()

    def texts(self, block: bytes) -> list[str | None] | None:
        """The texts of whole lines, in order; None when there is one that only `text` can read, and
        a text that is None for a line that cannot be read.

        The lines become the elements of one array. Between two of them stands a word that nobody
        could foresee: where it is found again at every second place, each line was one value, and
        none reached into the next.
        """
        if not self._plain:
            return None
        lines = block.removesuffix(b"\n")
        array = lines.replace(b"\n", self._border)
        count = 1 + (len(array) - len(lines)) // (len(self._border) - 1)
        try:
            values = orjson.loads(b"[" + array + b"]")
            if len(values) != 2 * count - 1 or values[1::2].count(self._mark) != count - 1:
                return None
            texts = [row[self._field] for row in values[::2]]
        except (ValueError, KeyError, TypeError, IndexError):
            return None
        kinds = set(map(type, texts))
        if not kinds <= {str, type(None)}:
            return None
        if type(None) in kinds:
            texts = [text or "" for text in texts]
        if lines.count(self._key) != count or self._has_escapes(lines):
            for place, line in enumerate(lines.split(b"\n")):
                if line.count(self._key) != 1 or self._has_escapes(line):
                    texts[place] = self.text(line)
        return texts

    def _has_escapes(self, lines: bytes) -> bool:
        """Whether a letter of the key is somewhere written as an escape."""
        return any(True for _ in self._escaped.hits(lines))

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
