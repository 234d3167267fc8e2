"""One file of a corpus, plain or compressed, read part by part with constant memory."""

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from detectors import columns
from detectors.jsonl import Lines, LongLineError, blocks, cut

JSONL = frozenset({".jsonl", ".ndjson"})
ARROW = frozenset({".arrow"})
TABLES = ARROW | {".parquet"}
_PACKED = {".gz": "gzip", ".zst": "zstd"}
_ROWS = 4096  # of a table, in one part
LONGEST = (
    1 << 26
)  # bytes of a line or text file, characters of a table's text: no document is longer
PART = 1 << 23  # bytes of lines whose digest is remembered as one
_BLOCK = 1 << 19  # bytes of lines that are parsed at once: what the processor's cache holds
_LOOK = 1 << 16  # bytes in which the end of a line is looked for at once


class Rows(NamedTuple):
    """Rows of one file: their numbers from 1, and their texts; None for one that cannot be read."""

    numbers: Sequence[int]
    texts: Sequence[str | None]


class Part(Protocol):
    """Some rows of one file that follow each other, parsed when they are asked for."""

    @property
    def last(self) -> int:
        """The number of the last of them."""
        ...

    def rows(self) -> Iterator[Rows]:
        """All of them, some at a time."""
        ...

    def some(self, places: Collection[int]) -> Iterator[tuple[int, int, str | None]]:
        """Of the rows that hold something, those at these places from 0, with place and number."""
        ...

    def digest(self) -> bytes:
        """SHA-256 of what they are parsed from; with the same digest, the same texts."""
        ...


class Stretch(NamedTuple):
    """One part of a file of plain lines: its first byte, its bytes, and the rows before it (0 where nobody counted)."""

    start: int
    size: int
    before: int = 0


class BrokenFileError(ValueError):
    """A compressed file breaks off or is damaged. Carries the last row that was read, no text."""

    def __init__(self, row: int) -> None:
        super().__init__(f"broken after row {row}")
        self.row = row


class TooLongError(ValueError):
    """A row is longer than what is read at once. Carries its number, no text."""

    def __init__(self, row: int) -> None:
        super().__init__(f"row {row}")
        self.row = row


def kind(file: Path) -> str:
    """The suffix that says how the file is read, without that of its compression; empty for kinds
    that are not read.
    """
    suffix = file.with_suffix("").suffix if file.suffix in _PACKED else file.suffix
    readable = JSONL | {".txt"} if file.suffix in _PACKED else JSONL | TABLES | {".txt"}
    return suffix if suffix in readable else ""


def opened(file: Path) -> IO[bytes]:
    """The bytes of the file, uncompressed, as a stream."""
    if file.suffix not in _PACKED:
        return file.open("rb")
    import pyarrow as pa

    stream: IO[bytes] = pa.input_stream(str(file), compression=_PACKED[file.suffix])
    return stream


def created(file: Path) -> IO[bytes]:
    """A stream into a new file, compressed as its name says."""
    if file.suffix not in _PACKED:
        return file.open("wb")
    import pyarrow as pa

    stream: IO[bytes] = pa.output_stream(str(file), compression=_PACKED[file.suffix])
    return stream


def read(file: Path, field: str, stretch: Stretch | None = None) -> Iterator[Part]:
    """All rows of one file, or those of one stretch. A null text is an empty one.

    Raises `BrokenFileError`, `TooLongError`, `columns.NoTextColumnError`, `OSError`.
    """
    if kind(file) in TABLES:
        try:
            yield from _table(file, field)
        except columns.ArrowBrokenError:
            yield _Text(b"\xff")  # nobody can read it
        return
    if file.suffix in _PACKED and not file.stat().st_size:
        raise BrokenFileError(0)
    row = 0
    with opened(file) as stream:
        if stretch is not None:
            yield _stretch(stream, field, stretch)
            return
        try:
            for part in _text(stream) if kind(file) == ".txt" else _lines(stream, field):
                yield part
                row = part.last  # once it was parsed, nobody has to count
        except OSError:
            if file.suffix in _PACKED:
                raise BrokenFileError(row) from None
            raise


def stretches(file: Path) -> Iterator[Stretch]:
    """The parts of a file of plain lines where `read` cuts them, found by a look at each cut. Raises `OSError`."""
    with file.open("rb") as stream:
        start, size = 0, os.fstat(stream.fileno()).st_size
        for low in range(0, size, PART):
            high = min(low + PART, size)
            cut = _last_line_end(stream, low, high)
            if cut:
                yield Stretch(start, cut - start)
                start = cut
            elif high - start > LONGEST:
                break  # `read` will say that a row is too long
        if start < size:
            yield Stretch(start, size - start)


def _last_line_end(stream: IO[bytes], low: int, high: int) -> int:
    """Behind the last line break between two bytes; 0 for none."""
    while low < high:
        first = max(low, high - _LOOK)
        stream.seek(first)
        found = stream.read(high - first).rfind(b"\n") + 1
        if found:
            return first + found
        high = first
    return 0


def _stretch(stream: IO[bytes], field: str, stretch: Stretch) -> Part:
    """Raises `TooLongError`, and `OSError` where the file was cut short since."""
    stream.seek(stretch.start)
    content = stream.read(min(stretch.size, LONGEST + PART + 1))
    line = content.find(b"\n")
    if (len(content) if line < 0 else line) > LONGEST:
        raise TooLongError(stretch.before + 1)
    if len(content) < stretch.size:
        raise OSError("the file is shorter than it was")
    return _Lines(Lines(field), content, stretch.before)


def _lines(stream: IO[bytes], field: str) -> Iterator[Part]:
    reader, row = Lines(field), 0
    try:
        for content in blocks(stream, PART, LONGEST):
            part = _Lines(reader, content, row)
            yield part
            row = part.last
    except LongLineError:
        raise TooLongError(row + 1) from None


def _text(stream: IO[bytes]) -> Iterator[Part]:
    content = stream.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise TooLongError(1)
    yield _Text(content)


@dataclass(repr=False)
class _Lines:
    """Whole lines, with some rows before them."""

    reader: Lines
    content: bytes
    before: int
    _count: int | None = None

    @property
    def last(self) -> int:
        if self._count is None:
            self._count = self.content.count(b"\n") + (not self.content.endswith(b"\n"))
        return self.before + self._count

    def rows(self) -> Iterator[Rows]:
        count = 0
        for block in cut(self.content, _BLOCK):
            lines, rows = self._parsed(block, self.before + count)
            count += lines
            yield rows
        self._count = count

    def some(self, places: Collection[int]) -> Iterator[tuple[int, int, str | None]]:
        numbers, lines = _full_lines(self.content, self.before)[1:]
        for place in sorted(places):
            text = self.reader.texts(lines[place]) or [self.reader.text(lines[place])]
            yield place, numbers[place], text[0]

    def _parsed(self, block: bytes, before: int) -> tuple[int, Rows]:
        """How many lines a block has, and the rows among them."""
        texts = self.reader.texts(block)
        if texts is not None:
            return len(texts), Rows(range(before + 1, before + len(texts) + 1), texts)
        count, numbers, full = _full_lines(block, before)
        return count, Rows(numbers, list(map(self.reader.text, full)))

    def digest(self) -> bytes:
        return _digest(b"lines", self.content)


def _full_lines(content: bytes, before: int) -> tuple[int, Sequence[int], list[bytes]]:
    """How many lines there are; of those that hold something the numbers, and themselves."""
    lines = content.removesuffix(b"\n").split(b"\n")
    numbers: Sequence[int] = range(before + 1, before + len(lines) + 1)
    full = list(filter(bytes.strip, lines))
    if len(full) < len(lines):
        numbers = [n for n, line in zip(numbers, lines, strict=True) if line.strip()]
    return len(lines), numbers, full


def _some(rows: Rows, places: Collection[int]) -> Iterator[tuple[int, int, str | None]]:
    return ((place, rows.numbers[place], rows.texts[place]) for place in sorted(places))


@dataclass(repr=False)
class _Text:
    """A text file, which is one row."""

    content: bytes
    last: int = 1

    def rows(self) -> Iterator[Rows]:
        try:
            text = self.content.decode("utf-8")
        except UnicodeDecodeError:
            yield Rows([1], [None])
        else:
            yield Rows([1], [text])

    def some(self, places: Collection[int]) -> Iterator[tuple[int, int, str | None]]:
        return _some(next(self.rows()), places)

    def digest(self) -> bytes:
        return _digest(b"text", self.content)


def _table(file: Path, field: str) -> Iterator[Part]:
    row, rows = 0, columns.texts(file, field)
    while texts := [text or "" for _, text in islice(rows, _ROWS)]:
        for number, text in enumerate(texts, start=row + 1):
            if len(text) > LONGEST:
                raise TooLongError(number)
        part = _Cells(texts, row)
        yield part
        row = part.last


@dataclass(repr=False)
class _Cells:
    """Texts of a table, with some rows before them."""

    texts: list[str]
    before: int

    @property
    def last(self) -> int:
        return self.before + len(self.texts)

    def rows(self) -> Iterator[Rows]:
        yield Rows(range(self.before + 1, self.last + 1), self.texts)

    def some(self, places: Collection[int]) -> Iterator[tuple[int, int, str | None]]:
        return _some(next(self.rows()), places)

    def digest(self) -> bytes:
        return _digest(b"cells", *(t.encode("utf-8", "surrogatepass") for t in self.texts))


def _digest(*parts: bytes) -> bytes:
    """SHA-256 of parts, each behind its length in eight bytes."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def whole_lines(file: Path) -> Iterator[bytes]:
    """The lines of a file as they are, with their ends. Raises `OSError`."""
    with opened(file) as stream:
        for block in blocks(stream):
            lines = block.split(b"\n")
            last = lines.pop()
            yield from (line + b"\n" for line in lines)
            if last:
                yield last
