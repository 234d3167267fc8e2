"""Read what shards are trained on: JSON lines, with the people of each document where a field names them.

For a machine with nothing but this room; `lethe train` reads corpora as the search does, and hands the documents in.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from domain.errors import Code, RequestRejected
from unlearning.assignment import Source

SUFFIXES = (".jsonl", ".ndjson")


def read_sources(
    path: Path, text_field: str = "text", person_field: str = "", label_field: str = ""
) -> list[Source]:
    """Every document of a file, or of all JSON lines files in a folder, referred to as `<relative file>#<row>`.

    Args:
        path: a file or a folder, the same that the catalog names as the corpus.
        text_field: holds the text.
        person_field: holds a label of the person the document is about, or a list of several; any label will do, it is
            only ever hashed under a key. A document without one is its own "person".
        label_field: for a classifier, holds the name or number of the text's class.

    Raises `RequestRejected` (EXAMPLES_INVALID) with the file and row of whatever is wrong, and for a person field that
    no row has.
    """
    root = path if path.is_dir() else path.parent
    files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    found = [
        one
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(root).parts)
        for one in _read(
            file, file.relative_to(root).as_posix(), text_field, person_field, label_field
        )
    ]
    if not found:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=path.name,
            remedy="it holds no document; name a file of JSON lines or a folder of them.",
        )
    if person_field and not any(named for _, named in found):
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=f"the field {person_field}",
            remedy="no document has it; correct its name.",
        )
    return [source for source, _ in found]


def _read(file: Path, name: str, *fields: str) -> Iterator[tuple[Source, bool]]:
    if file.suffix not in SUFFIXES:
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=name,
            remedy="shards are trained on .jsonl files only; write the corpus as one.",
        )
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError:
        raise RequestRejected(
            Code.EXAMPLES_INVALID, place=name, remedy="it cannot be read; check that it is there."
        ) from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _source(line, f"{name}#{number}", *fields)


def _source(
    line: bytes, reference: str, text_field: str, person_field: str, label_field: str
) -> tuple[Source, bool]:
    """The document of a line, and whether the line has the field with its people."""
    try:
        row = json.loads(line.decode("utf-8-sig"))
        text = row[text_field]
        people = row.get(person_field) if person_field else None
        labels = tuple(people) if isinstance(people, list) else (people,)
        own = row[label_field] if label_field else ""
        if not isinstance(text, str) or not all(
            x is None or type(x) in {str, int} for x in (own, *labels)
        ):
            raise TypeError("no text or no label")  # noqa: TRY301  joins the other faults of a line
        known = [str(x) for x in labels if x not in (None, "")]
        return Source(reference, text, known, str(own)), person_field in row
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RequestRejected(
            Code.EXAMPLES_INVALID,
            place=reference,
            remedy=f"the line must be a JSON object with a text in {text_field}"
            + (f", a label or a list of labels in {person_field}" if person_field else "")
            + (f", a class in {label_field}." if label_field else "."),
        ) from None
