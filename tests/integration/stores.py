"""Search every file under a folder for a text, in all the clothes it may wear."""

import base64
import gzip
import io
import os
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus


def forms(text: str) -> set[bytes]:
    """The text raw, casefolded, as base64 at any alignment, hex, percent-encoded, escaped and in UTF-16."""
    found: set[bytes] = set()
    for written in {text, text.casefold(), text.upper()}:
        raw = written.encode()
        found |= {raw, raw.hex().encode(), raw.hex().upper().encode()}
        found |= {quote(written, safe="").encode(), quote_plus(written, safe="").encode()}
        found |= {written.encode("utf-16-le"), written.encode("utf-16-be")}
        for shift in range(3):
            coded = base64.b64encode(bytes(shift) + raw)
            core = coded[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6]
            found |= {core, core.replace(b"+", b"-").replace(b"/", b"_")}
    return found


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file; rows of SQLite databases and members of archives as well."""
    for path in _files(folder):
        try:
            raw = path.read_bytes()
        except FileNotFoundError:  # a server's working file, gone since it was listed
            continue
        name = str(path.relative_to(folder))
        yield f"{name} (its name)", name.encode()
        yield name, raw
        if raw.startswith(b"SQLite format 3"):
            yield f"{name} (rows)", _rows(path)
        if zipfile.is_zipfile(io.BytesIO(raw)):
            with zipfile.ZipFile(io.BytesIO(raw)) as archive:
                yield from ((f"{name}:{n}", archive.read(n)) for n in archive.namelist())
        if raw.startswith(b"\x1f\x8b"):
            yield f"{name} (unpacked)", gzip.decompress(raw)


def _files(folder: Path) -> list[Path]:
    """Every file under the folder; one that disappears meanwhile is no error, one that cannot be read is."""

    def unreadable(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    walked = os.walk(folder, onerror=unreadable)
    files = (Path(under, name) for under, _, names in walked for name in names)
    return sorted(path for path in files if path.is_file())


def _rows(path: Path) -> bytes:
    """All rows as text: a long value lies in pieces on overflow pages of the file."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        parts = []
        for (table,) in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                parts += [v if isinstance(v, bytes) else str(v).encode() for v in row]
    connection.close()
    return b"\n".join(parts)


def hits(folder: Path, texts: list[str], leave_out: tuple[str, ...]) -> list[str]:
    """`file: text` for every text found, `leave_out` naming the first folders that may hold it."""
    looked_for = {text: forms(text) for text in texts}
    return [
        f"{name}: {text}"
        for name, content in contents(folder)
        if not name.startswith(leave_out)
        for text, written in looked_for.items()
        if any(form in content for form in written)
    ]
