"""One byte form for a zip: members stored, sorted, dated 1980-01-01; a reader that accepts that
form only.

The headers are written here and not by `zipfile`, because the form must not change with the version
of Python: the reader rebuilds the whole file and compares. Layout: APPNOTE 6.3.10, sections 4.3.7,
4.3.12, 4.3.16.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from domain.errors import Code, EvidenceInvalid

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION, _UNIX_VERSION, _DATE = 20, 3 << 8 | 20, 0x0021  # 2.0; made on Unix; 1980-01-01
_MODE = 0o100644 << 16
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    crc: int
    size: int
    offset: int  # of the local header

    def local(self) -> bytes:
        name = self.name.encode()
        return (
            _LOCAL.pack(
                b"PK\3\4", _VERSION, 0, 0, 0, _DATE, self.crc, self.size, self.size, len(name), 0
            )
            + name
        )

    def central(self) -> bytes:
        name = self.name.encode()
        head = (b"PK\1\2", _UNIX_VERSION, _VERSION, 0, 0, 0, _DATE, self.crc, self.size, self.size)
        return _CENTRAL.pack(*head, len(name), 0, 0, 0, 0, _MODE, self.offset) + name

    def content(self, data: bytes) -> bytes:
        start = self.offset + _LOCAL.size + len(self.name.encode())
        return data[start : start + self.size]


def pack(files: Mapping[str, bytes]) -> bytes:
    """The zip of `files`: the same mapping gives the same bytes, everywhere and at any time.

    Raises `ValueError` for a name that is not a plain file name.
    """
    body, directory, offset = [], [], 0
    for name in sorted(files):
        if not _NAME.fullmatch(name):
            raise ValueError("a member's name is letters, digits, dot, dash and underscore")
        entry = _Entry(name, crc32(files[name]), len(files[name]), offset)
        body += [entry.local(), files[name]]
        directory.append(entry.central())
        offset += len(entry.local()) + entry.size
    central = b"".join(directory)
    end = _END.pack(b"PK\5\6", 0, 0, len(files), len(files), len(central), offset, 0)
    return b"".join(body) + central + end


def unpack(data: bytes, *, place: str) -> dict[str, bytes]:
    """The members of a zip made by `pack`.

    Raises `EvidenceInvalid` (BUNDLE_UNREADABLE) for every other file, and for this one with any
    byte changed, added or missing. The error names the member to which the first wrong byte
    belongs, or `place` when that is no member's.
    """
    directory = _directory(data)
    if directory is None:
        walked = _walk(data)
        if not walked:
            raise _invalid(place, "this is not a zip file, or its beginning is missing")
        files = {e.name: e.content(data) for e in walked}
        raise _invalid(_owner(_difference(pack(files), data), walked, place), _CHANGED)
    for entry in directory:
        found = data[entry.offset : entry.offset + len(entry.local())]
        if found != entry.local():
            raise _invalid(_both_names(entry, data), _CHANGED)
        if crc32(entry.content(data)) != entry.crc:
            raise _invalid(entry.name, "its bytes are not those that were packed")
    files = {e.name: e.content(data) for e in directory}
    if len(files) != len(directory):
        twice = next(e.name for e in directory if [d.name for d in directory].count(e.name) > 1)
        raise _invalid(twice, "this member is in the zip twice")
    if (rebuilt := pack(files)) != data:
        raise _invalid(_owner(_difference(rebuilt, data), directory, place), _CHANGED)
    return files


_CHANGED = "the zip is not in its one exact form here; it was changed after it was written"


def _directory(data: bytes) -> list[_Entry] | None:
    """The central directory, or None when it is not whole and in its place."""
    if len(data) < _END.size:
        return None
    mark, _, _, _, count, size, start, _ = _END.unpack(data[-_END.size :])
    if mark != b"PK\5\6" or start + size + _END.size != len(data):
        return None
    entries: list[_Entry] = []
    at = start
    while at < start + size:
        head = data[at : at + _CENTRAL.size]
        if len(head) < _CENTRAL.size or head[:4] != b"PK\1\2":
            return None
        fields = _CENTRAL.unpack(head)
        length = fields[10]
        name = _readable(data[at + _CENTRAL.size : at + _CENTRAL.size + length], len(entries))
        entries.append(_Entry(name, fields[7], fields[8], fields[16]))
        at += _CENTRAL.size + length
    return entries if at == start + size and len(entries) == count and entries else None


def _walk(data: bytes) -> list[_Entry]:
    """The members that can be read from the local headers, from the beginning on."""
    entries: list[_Entry] = []
    at = 0
    while data[at : at + 4] == b"PK\3\4" and at + _LOCAL.size <= len(data):
        fields = _LOCAL.unpack(data[at : at + _LOCAL.size])
        crc, size, length = fields[6], fields[8], fields[9]
        name = _readable(data[at + _LOCAL.size : at + _LOCAL.size + length], len(entries))
        if any(e.name == name for e in entries):
            break
        entries.append(_Entry(name, crc, size, at))
        at += _LOCAL.size + length + size
    return entries


def _readable(raw: bytes, index: int) -> str:
    """A name fit to be shown; one that is not is replaced by its place in the zip."""
    name = raw.decode("ascii", "replace")
    return name if _NAME.fullmatch(name) else f"member-{index + 1}"


def _both_names(entry: _Entry, data: bytes) -> str:
    """The member's name; both of them where its header and the directory disagree."""
    fields = data[entry.offset : entry.offset + _LOCAL.size]
    if len(fields) < _LOCAL.size or fields[:4] != b"PK\3\4":
        return entry.name
    length = _LOCAL.unpack(fields)[9]
    raw = data[entry.offset + _LOCAL.size : entry.offset + _LOCAL.size + length]
    other = raw.decode("ascii", "replace")
    if other == entry.name or not _NAME.fullmatch(other):
        return entry.name
    return f"{entry.name} (in its own header: {other})"


def _difference(one: bytes, other: bytes) -> int:
    """The first offset at which two byte strings differ."""
    same, more = 0, min(len(one), len(other)) + 1  # halve the range in which they begin to differ
    while more - same > 1:
        middle = (same + more) // 2
        if one[:middle] == other[:middle]:
            same = middle
        else:
            more = middle
    return same


def _owner(offset: int, entries: list[_Entry], place: str) -> str:
    """The member whose header, content or directory entry holds that offset of the zip in its right
    form.
    """
    at = 0
    for part in (_Entry.local, _Entry.central):
        for entry in sorted(entries, key=lambda e: e.name):
            at += len(part(entry)) + (entry.size if part is _Entry.local else 0)
            if offset < at:
                return entry.name
    return place


def _invalid(place: str, remedy: str) -> EvidenceInvalid:
    return EvidenceInvalid(Code.BUNDLE_UNREADABLE, place=place, remedy=remedy)
