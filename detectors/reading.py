"""One file of a corpus, plain or compressed, read as batches of rows with constant memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from detectors import columns
from detectors.jsonl import Lines, blocks

JSONL = frozenset({".jsonl", ".ndjson"})
ARROW = frozenset({".arrow"})
TABLES = ARROW | {".parquet"}
_PACKED = {".gz": "gzip", ".zst": "zstd"}
_ROWS = 4096  # of a table, in one batch


class Rows(NamedTuple):
    """Rows of one file: their numbers from 1, and their texts; None for one that cannot be read."""

    numbers: Sequence[int]
    texts: list[str | None]


class BrokenFileError(ValueError):
    """A compressed file breaks off or is damaged. Carries the last row that was read, no text."""

    def __init__(self, row: int) -> None:
        super().__init__(f"broken after row {row}")
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


def read(file: Path, field: str) -> Iterator[Rows]:
    """All rows of one file. A null text is an empty one.

    Raises `BrokenFileError`, `columns.NoTextColumnError`, `columns.ArrowBrokenError`, `OSError`.
    """
    if kind(file) in TABLES:
        yield from _table(file, field)
        return
    if file.suffix in _PACKED and not file.stat().st_size:
        raise BrokenFileError(0)
    row = 0
    try:
        with opened(file) as stream:
            for rows in _text(stream) if kind(file) == ".txt" else _lines(stream, field):
                row = rows.numbers[-1] if rows.numbers else row
                yield rows
    except OSError:
        if file.suffix in _PACKED and file.is_file():
            raise BrokenFileError(row) from None
        raise


def _lines(stream: IO[bytes], field: str) -> Iterator[Rows]:
    reader, row = Lines(field), 0
    for block in blocks(stream):
        lines = block.removesuffix(b"\n").split(b"\n")
        texts = reader.texts(block, lines)
        numbers: Sequence[int] = range(row + 1, row + len(lines) + 1)
        if texts is None:
            numbers = [n for n, line in zip(numbers, lines, strict=True) if line.strip()]
            texts = [reader.text(line) for line in lines if line.strip()]
        row += len(lines)
        yield Rows(numbers, texts)


def _text(stream: IO[bytes]) -> Iterator[Rows]:
    try:
        yield Rows([1], [stream.read().decode("utf-8")])
    except UnicodeDecodeError:
        yield Rows([1], [None])


def _table(file: Path, field: str) -> Iterator[Rows]:
    numbers: list[int] = []
    texts: list[str | None] = []
    for number, text in columns.texts(file, field):
        numbers.append(number)
        texts.append(text or "")
        if len(numbers) == _ROWS:
            yield Rows(numbers, texts)
            numbers, texts = [], []
    if numbers:
        yield Rows(numbers, texts)


def whole_lines(file: Path) -> Iterator[bytes]:
    """The lines of a file as they are, with their ends. Raises `OSError`."""
    with opened(file) as stream:
        for block in blocks(stream):
            lines = block.split(b"\n")
            last = lines.pop()
            yield from (line + b"\n" for line in lines)
            if last:
                yield last
