"""One file of a corpus, plain or compressed, read part by part with constant memory."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
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
    texts: Sequence[str | None]


@dataclass(frozen=True, repr=False)
class Part:
    """Some rows of one file that follow each other, parsed when they are asked for.

    Attributes:
        last: the number of the last of them.
        rows: parses them.
        content: what they are parsed from, in pieces; with the same content, the same texts.

    """

    last: int
    rows: Callable[[], Rows]
    content: Callable[[], Iterable[bytes]]

    def digest(self) -> bytes:
        """SHA-256 of the content, each piece behind its length in eight bytes."""
        digest = hashlib.sha256()
        for piece in self.content():
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
        return digest.digest()


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


def read(file: Path, field: str) -> Iterator[Part]:
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
            for part in _text(stream) if kind(file) == ".txt" else _lines(stream, field):
                row = part.last
                yield part
    except OSError:
        if file.suffix in _PACKED and file.is_file():
            raise BrokenFileError(row) from None
        raise


def unreadable() -> Part:
    """A file of which no row can be read."""
    return Part(1, lambda: Rows([1], [None]), lambda: [b"unreadable"])


def _lines(stream: IO[bytes], field: str) -> Iterator[Part]:
    reader, row = Lines(field), 0
    for block in blocks(stream):
        last = row + block.count(b"\n") + (not block.endswith(b"\n"))
        yield Part(last, partial(_parsed, reader, block, row), partial(_of, b"lines", block))
        row = last


def _parsed(reader: Lines, block: bytes, row: int) -> Rows:
    """The rows of a block of whole lines, with `row` rows before it."""
    texts = reader.texts(block)
    if texts is not None:
        return Rows(range(row + 1, row + len(texts) + 1), texts)
    lines = enumerate(block.removesuffix(b"\n").split(b"\n"), start=row + 1)
    full = [(number, line) for number, line in lines if line.strip()]
    return Rows([number for number, _ in full], [reader.text(line) for _, line in full])


def _text(stream: IO[bytes]) -> Iterator[Part]:
    content = stream.read()
    yield Part(1, partial(_decoded, content), partial(_of, b"text", content))


def _decoded(content: bytes) -> Rows:
    try:
        return Rows([1], [content.decode("utf-8")])
    except UnicodeDecodeError:
        return Rows([1], [None])


def _table(file: Path, field: str) -> Iterator[Part]:
    row = 0
    rows = columns.texts(file, field)
    while texts := [text or "" for _, text in islice(rows, _ROWS)]:
        numbers = range(row + 1, row + len(texts) + 1)
        row += len(texts)
        yield Part(row, partial(Rows, numbers, texts), partial(_cells, texts))


def _of(*content: bytes) -> Iterable[bytes]:
    return content


def _cells(texts: list[str]) -> Iterator[bytes]:
    yield b"cells"
    for text in texts:
        yield text.encode("utf-8", "surrogatepass")


def whole_lines(file: Path) -> Iterator[bytes]:
    """The lines of a file as they are, with their ends. Raises `OSError`."""
    with opened(file) as stream:
        for block in blocks(stream):
            lines = block.split(b"\n")
            last = lines.pop()
            yield from (line + b"\n" for line in lines)
            if last:
                yield last
