"""Write a copy of a corpus without the subject's spans, every other byte as it was, and the digests
that prove it.
"""

import hashlib
import hmac
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors import columns, reading
from detectors.corpus import MANIFEST, Batch, CorpusFiles, open_corpus
from detectors.jsonl import NotARowError, decode, read_text, replace_spans
from detectors.locate import search
from detectors.protocol import Detector
from domain.errors import Code, EvidenceInvalid, RequestRejected, Unavailable
from domain.outcomes import FileDigest
from domain.records import Owner, SensitiveSpan, Subject, merge_spans

_TAG = b"lethe/corpus-before/v1"
_CHUNK = 1 << 20

Spans = dict[int, list[tuple[int, int]]]
"""Row from 1 to disjoint, sorted code points."""


@dataclass(frozen=True, slots=True)
class RedactedCopy:
    """The copy that was written.

    Attributes:
        files: path, size and SHA-256 of each file of the copy, sorted.
        after_sha256: SHA-256 of `manifest.txt`, which lists them.
        before_hmac: HMAC-SHA256 of the original files under the request's key.
        spans: how many spans were taken out.

    """

    files: tuple[FileDigest, ...]
    after_sha256: str
    before_hmac: str
    spans: int


def redact(
    files: CorpusFiles, spans: Iterable[SensitiveSpan], out: Path, mark: str, hmac_key: bytes
) -> RedactedCopy:
    """Copy the corpus to `out` with `mark` in place of each span. The original is only read.

    1. Commit to the original. 2. Write beside `out` and flush to the disk. 3. Write the manifest.
    4. Rename at once.

    Args:
        files: the original.
        spans: the subject's; overlapping ones are merged.
        out: a folder that must not exist yet.
        mark: what stands where a span was.
        hmac_key: the request's own key.

    Raises:
        RequestRejected: `out` exists, or the corpus is not the one that was searched.
        Unavailable: the disk is full or does not answer; nothing is left behind.

    """
    merged = _by_file(spans)
    count = sum(len(cuts) for rows in merged.values() for cuts in rows.values())
    partial_out = out.with_name(out.name + ".partial")
    _require_free(files, out)
    try:
        before = commitment(files, hmac_key)  # 1
        shutil.rmtree(partial_out, ignore_errors=True)
        for file in (*files.files, *files.companions):  # 2
            target = partial_out / files.name(file)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(file, target, files.text_field, merged.pop(files.name(file), {}), mark)
            _flush(target)
        _require_all_cut(merged)
        digests = digest_files(partial_out)  # 3
        manifest = manifest_of(digests)
        (partial_out / MANIFEST).write_bytes(manifest)
        _flush(partial_out / MANIFEST)
        for folder in [partial_out, *(p for p in partial_out.rglob("*") if p.is_dir())]:
            _flush(folder)
        partial_out.rename(out)  # 4
        _flush(out.parent)
    except BaseException as error:
        shutil.rmtree(partial_out, ignore_errors=True)
        if isinstance(error, OSError):
            raise Unavailable(
                Code.DISK,
                place="the folder of the redacted copy",
                remedy="it could not be written completely and was removed; "
                "free space there and run again",
            ) from None
        raise
    return RedactedCopy(digests, hashlib.sha256(manifest).hexdigest(), before, count)


def verify_redaction(
    out: Path,
    text_field: str,
    subject: Subject,
    detectors: Mapping[str, Detector],
    batches: Iterable[Batch] | None = None,
) -> int:
    """Check the copy against its manifest and search it again; the number of the subject's spans
    left, which must be 0.

    `batches` are those of the copy where workers have looked at them.

    Raises `EvidenceInvalid` when a file is not the one in the manifest.
    """
    digests = digest_files(out)
    manifest = out / MANIFEST
    if not manifest.is_file() or manifest.read_bytes() != manifest_of(digests):
        raise EvidenceInvalid(
            Code.DIGEST_MISMATCH,
            place="manifest.txt of the redacted copy",
            remedy="the files are not the ones it lists; write the copy again",
            request_ref=subject.request_ref,
        )
    read = open_corpus(str(out), text_field).batches() if batches is None else batches
    [left] = search(read, [subject], detectors)
    return len(left.spans)


def commitment(files: CorpusFiles, hmac_key: bytes) -> str:
    """HMAC-SHA256 over tag, names and bytes of all files, each behind its length in eight bytes,
    sorted by name.
    """
    digest = hmac.new(hmac_key, _prefixed(_TAG), hashlib.sha256)
    for file in sorted((*files.files, *files.companions), key=lambda f: os.fsencode(files.name(f))):
        digest.update(_prefixed(files.name(file).encode("utf-8", "surrogateescape")))
        with file.open("rb") as source:
            digest.update(os.fstat(source.fileno()).st_size.to_bytes(8, "big"))
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _prefixed(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def digest_files(folder: Path) -> tuple[FileDigest, ...]:
    """Path, size and SHA-256 of every file of a folder except its manifest, sorted by path."""
    digests = []
    for file in folder.rglob("*"):
        if file.is_file() and file != folder / MANIFEST:
            with file.open("rb") as source:
                sha256 = hashlib.file_digest(source, "sha256").hexdigest()
            digests.append(
                FileDigest(file.relative_to(folder).as_posix(), file.stat().st_size, sha256)
            )
    return tuple(sorted(digests, key=lambda d: d.path.encode("utf-8", "surrogateescape")))


def manifest_of(digests: Iterable[FileDigest]) -> bytes:
    """Lines "sha256 size path", sorted as bytes."""
    lines = (f"{d.sha256} {d.size} {d.path}\n".encode("utf-8", "surrogateescape") for d in digests)
    return b"".join(sorted(lines))


def _by_file(spans: Iterable[SensitiveSpan]) -> dict[str, Spans]:
    """Spans by file and row. `ValueError` for a span that is not the subject's: nobody asked to
    redact it.
    """
    grouped: dict[str, Spans] = {}
    for span in merge_spans(spans):
        if span.owner is not Owner.SUBJECT:
            raise ValueError("only the subject's spans are redacted")
        name, _, row = span.document.rpartition("#")
        grouped.setdefault(name, {}).setdefault(int(row), []).append((span.start, span.end))
    return grouped


def _copy(source: Path, target: Path, field: str, spans: Spans, mark: str) -> None:
    """One file. Without a span it is the same bytes. Raises `RequestRejected` when a span is in no
    text of it.
    """
    if not spans:
        shutil.copyfile(source, target)
        return
    left = dict(spans)
    try:
        if reading.kind(source) in reading.JSONL:
            _copy_lines(source, target, field, left, mark)
        elif reading.kind(source) == ".txt":
            with reading.opened(source) as stream, reading.created(target) as copy:
                text = splice(stream.read().decode("utf-8"), left.pop(1, []), mark)
                copy.write(text.encode("utf-8"))
        else:
            columns.rewrite(
                source, target, field, lambda row, text: splice(text, left.pop(row, []), mark)
            )
    except (UnicodeDecodeError, NotARowError, columns.ArrowBrokenError):
        raise _changed() from None
    _require_all_cut(left)


def _copy_lines(source: Path, target: Path, field: str, left: Spans, mark: str) -> None:
    with reading.created(target) as copy:
        for number, line in enumerate(reading.whole_lines(source), start=1):
            cuts = left.pop(number, [])
            copy.write(_edit_line(line, field, cuts, mark) if cuts else line)


def _edit_line(line: bytes, field: str, cuts: list[tuple[int, int]], mark: str) -> bytes:
    """The raw line with the cuts made in its string literal, read back to see that it says what it
    should.
    """
    written = decode(line)
    edited = replace_spans(written, field, cuts, mark)
    expected = splice(read_text(written.removeprefix("\ufeff"), field), cuts, mark)
    if read_text(edited.removeprefix("\ufeff"), field) != expected:
        raise NotARowError
    return edited.encode("utf-8")


def splice(text: str, cuts: list[tuple[int, int]], mark: str) -> str:
    """The text with `mark` in place of each of the disjoint, sorted cuts. Raises
    `NotARowError` for one outside of it.
    """
    pieces, at = [], 0
    for start, end in cuts:
        if end > len(text):
            raise NotARowError
        pieces += [text[at:start], mark]
        at = end
    return "".join(pieces) + text[at:]


def _require_all_cut(left: Mapping[Any, object]) -> None:
    """Every span had its place."""
    if left:
        raise _changed()


def _require_free(files: CorpusFiles, out: Path) -> None:
    """The copy takes the place of nothing, and its manifest the name of no document."""
    if out.exists():
        raise RequestRejected(
            Code.SETTING_INVALID,
            place="the folder of the redacted copy",
            remedy="it exists already; remove it or name another",
        )
    if any(files.name(file) == MANIFEST for file in files.files):
        raise RequestRejected(
            Code.CORPUS_UNREADABLE,
            place=f"corpus file {MANIFEST}",
            remedy="the redacted copy needs this name for its list of digests; rename the file",
        )


def _changed() -> RequestRejected:
    return RequestRejected(
        Code.CORPUS_CORRUPT,
        place="the corpus",
        remedy="it is not the one that was searched; search it again",
    )


def _flush(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
