"""The labels in each row of a corpus: what a field says beside the text, one value or a list of them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from detectors import columns, reading
from detectors.corpus import CorpusFiles
from domain.errors import Code, RequestRejected

Labels = tuple[str, ...]


def labels(corpus: CorpusFiles, field: str) -> Iterator[tuple[str, Labels]]:
    """The reference of every row that has the field, and the labels in it: text or whole numbers;
    null and empty are none. A text file has no fields.

    The texts are to be read first: that says which rows cannot be. Raises `RequestRejected`
    (CORPUS_CORRUPT) naming the first row whose field holds anything else, CORPUS_UNREADABLE for a
    table without such a column, and when no row has the field.
    """
    named = False
    for file in corpus.files:
        name = corpus.name(file)
        for row, value in _values(file, name, field):
            named = True
            values = value if isinstance(value, list) else [value]
            known = [v for v in values if v is not None and v != ""]
            if not all(isinstance(v, str | int) and not isinstance(v, bool) for v in known):
                raise RequestRejected(
                    Code.CORPUS_CORRUPT,
                    place=f"{name}#{row}",
                    remedy=f"the field {field} must hold a label, or a list of labels",
                )
            yield f"{name}#{row}", tuple(map(str, known))
    if not named:
        raise RequestRejected(
            Code.CORPUS_UNREADABLE,
            place=f"the field {field}",
            remedy="no document has it; correct its name",
        )


def _values(file: Path, name: str, field: str) -> Iterable[tuple[int, object]]:
    kind = reading.kind(file)
    if kind in reading.TABLES:
        try:
            yield from columns.values(file, field)
        except columns.NoColumnError:
            raise RequestRejected(
                Code.CORPUS_UNREADABLE,
                place=f"corpus file {name}",
                remedy=f"it has no column named {field}; name the one with the people",
            ) from None
    elif kind in reading.JSONL:
        for row, line in enumerate(reading.whole_lines(file), start=1):
            if line.strip() and field in (fields := _fields(line, f"{name}#{row}")):
                yield row, fields[field]


def _fields(line: bytes, place: str) -> dict[str, object]:
    try:
        fields: dict[str, object] = json.loads(line)
    except RecursionError:  # the texts are read by a parser that goes deeper
        raise RequestRejected(
            Code.CORPUS_CORRUPT, place=place, remedy="its fields are nested too deep; flatten them"
        ) from None
    return fields
