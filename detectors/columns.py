"""Parquet and Arrow files: one column of text read row by row, and rewritten with every other value
as it was.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Edit = Callable[[int, str], str]
"""Row from 1 and its text to the text that takes its place."""


class NoTextColumnError(ValueError):
    """The file has no column of text of that name. Carries no text."""


class NoColumnError(ValueError):
    """The file has no column of that name. Carries no text."""


class ArrowBrokenError(ValueError):
    """The file is no Parquet or Arrow file. Carries no text."""


def texts(path: Path, field: str) -> Iterator[tuple[int, str | None]]:
    """Row from 1 and text or None. Raises `NoTextColumnError`, `ArrowBrokenError`."""
    row = 0
    for batch in _batches(path, [field], _require_text):
        for value in batch.column(field).to_pylist():
            row += 1
            yield row, value


def values(path: Path, field: str) -> Iterator[tuple[int, object]]:
    """Row from 1 and whatever stands in a column. Raises `NoColumnError`, `ArrowBrokenError`."""
    row = 0
    for batch in _batches(path, [field], _require_column):
        for value in batch.column(field).to_pylist():
            row += 1
            yield row, value


def rewrite(source: Path, target: Path, field: str, edit: Edit) -> None:
    """Write the file again with the edited texts: same schema, metadata, compression and row groups
    or batches.
    """
    if source.suffix == ".parquet":
        _rewrite_parquet(source, target, field, edit)
    else:
        _rewrite_arrow(source, target, field, edit)


def _batches(path: Path, columns: list[str], require: Callable[[Any, str], None]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                require(file.schema_arrow, columns[0])
                yield from file.iter_batches(columns=columns)
        else:
            with pa.memory_map(str(path)) as source, _reader(source) as reader:
                require(reader.schema, columns[0])
                yield from _record_batches(reader)
    except pa.ArrowInvalid:  # its message may quote the data
        raise ArrowBrokenError from None


def _reader(source: Any) -> Any:
    """Hugging Face `datasets` writes the stream format; the file format is read as well."""
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source)


def _record_batches(reader: Any) -> Iterator[Any]:
    if hasattr(reader, "num_record_batches"):
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)
    else:
        yield from reader


def _require_column(schema: Any, field: str) -> None:
    if schema.get_field_index(field) < 0:
        raise NoColumnError


def _require_text(schema: Any, field: str) -> None:
    import pyarrow as pa

    index = schema.get_field_index(field)
    kind = schema.field(index).type if index >= 0 else None
    if kind is not None and pa.types.is_dictionary(kind):
        kind = kind.value_type
    views = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if kind is None or not any(check(kind) for check in views):
        raise NoTextColumnError


def _edited(table: Any, field: str, first: int, edit: Edit) -> Any:
    """The table or batch with the column replaced; `first` rows come before it."""
    import pyarrow as pa

    index = table.schema.get_field_index(field)
    values = [
        None if value is None else edit(first + row, value)
        for row, value in enumerate(table.column(field).to_pylist(), start=1)
    ]
    kind = table.schema.field(index)
    return table.set_column(index, kind, pa.array(values, type=kind.type))


def _rewrite_parquet(source: Path, target: Path, field: str, edit: Edit) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as file:
        schema, row = file.schema_arrow, 0
        with pq.ParquetWriter(target, schema, compression=_compression(file)) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                edited = _edited(table, field, row, edit)
                writer.write_table(edited, row_group_size=max(1, table.num_rows))
                row += table.num_rows


def _compression(file: Any) -> str | dict[str, str]:
    """The codec of each column, as the first row group has it."""
    metadata = file.metadata
    if not metadata.num_row_groups:
        return "snappy"
    group = metadata.row_group(0)
    columns = (group.column(i) for i in range(group.num_columns))
    return {c.path_in_schema: c.compression.replace("UNCOMPRESSED", "NONE") for c in columns}


def _rewrite_arrow(source: Path, target: Path, field: str, edit: Edit) -> None:
    import pyarrow as pa

    with pa.memory_map(str(source)) as mapped, _reader(mapped) as reader:
        is_file, row = hasattr(reader, "num_record_batches"), 0
        create = pa.ipc.new_file if is_file else pa.ipc.new_stream
        with pa.OSFile(str(target), "wb") as sink, create(sink, reader.schema) as writer:
            for batch in _record_batches(reader):
                writer.write_batch(_edited(batch, field, row, edit))
                row += batch.num_rows
