"""Rows of parquet and Arrow files, a small batch at a time; damaged groups are counted row by row."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import DataError
from pellucid.documents.document import RAW_BYTES, Dropped
from pellucid.documents.reading import Reading, Record
from pellucid.documents.streams import is_corruption, is_url, open_raw, unreachable

__all__ = ["columns_of", "read_arrow", "read_parquet"]

_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 4096
_UNREADABLE = (ValueError, OverflowError)  # what times far from ours and decimals out of range raise


def read_parquet(reading: Reading) -> Iterator[Record | Dropped]:
    """Yield the rows of the piece's row groups; numbers count the file's rows from 1.

    Raises `DataError` when the file has not the wanted columns.
    """
    piece = reading.piece
    try:
        with _open_table(piece.file) as table:
            metadata = table.metadata
            columns = columns_of(reading, table.schema_arrow)
            groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
            number = sum(group.num_rows for group in groups[: piece.start])
            for index in range(piece.start, len(groups) if piece.stop is None else piece.stop):
                yield from _group(reading, table, index, columns, number)
                number += groups[index].num_rows
    except (OSError, pa.ArrowException) as error:
        yield _unreadable(reading, error)


@contextmanager
def _open_table(file: str) -> Iterator[pq.ParquetFile]:
    # A buffered stream without read-ahead holds pages, not whole row groups, which others write with a gigabyte each.
    options = {"buffer_size": 1 << 20, "pre_buffer": False, "page_checksum_verification": True}
    with open_raw(file) as raw, pq.ParquetFile(file if _by_path(file) else raw, **options) as table:
        yield table


def _by_path(file: str) -> bool:
    """Tell whether Arrow can open the file itself: its paths are UTF-8."""
    return not is_url(file) and os.fsencode(file).decode(errors="replace") == file


def _unreadable(reading: Reading, error: BaseException) -> Dropped:
    """Return the drop for a whole file, or raise when it is not the file's content that is wrong."""
    piece = reading.piece
    if not is_corruption(error):
        raise unreachable(piece.file, error) from error
    detail = f"cannot be read; it is cut short, damaged or not what its name says ({error})"
    return Dropped("unreadable file", piece.bytes, piece.name, detail)


def _group(reading: Reading, table: pq.ParquetFile, index: int, columns: list[str], before: int) -> Iterator[Record | Dropped]:
    """Yield the rows of one row group; those that cannot be decoded are dropped one by one, so that all are counted."""
    group = table.metadata.row_group(index)
    row_bytes = group.total_byte_size / max(1, group.num_rows)
    batch_rows = int(min(_BATCH_ROWS, max(1, _BATCH_BYTES // max(1, row_bytes))))
    number = before
    try:
        for batch in table.iter_batches(batch_rows, row_groups=[index], columns=columns, use_threads=False):
            yield from _rows(reading, batch, number)
            number += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        if not is_corruption(error):
            raise
        detail = f"lies in row group {index}, which cannot be read ({error})"
        while number < before + group.num_rows:
            number += 1
            yield Dropped("unreadable row group", int(row_bytes), reading.where(number), detail)


def read_arrow(reading: Reading) -> Iterator[Record | Dropped]:
    """Yield the rows of an Arrow file or stream (.arrow as `datasets` writes it, Feather version 2); numbers count from 1.

    Raises `DataError` when the file has not the wanted columns.
    """
    try:
        with open_raw(reading.piece.file) as raw:
            magic = raw.read(6)
            raw.seek(0)
            if magic == b"ARROW1":
                yield from _arrow_file(reading, pa.ipc.open_file(pa.PythonFile(raw, mode="r")))
            else:
                yield from _arrow_stream(reading, pa.ipc.open_stream(pa.PythonFile(raw, mode="r")))
    except (OSError, pa.ArrowException) as error:
        yield _unreadable(reading, error)


def _arrow_file(reading: Reading, table: Any) -> Iterator[Record | Dropped]:
    columns, number = columns_of(reading, table.schema), 0
    for index in range(table.num_record_batches):
        try:
            batch = table.get_batch(index)
        except (OSError, pa.ArrowException) as error:
            if not is_corruption(error):
                raise
            where = f"{reading.piece.name}, batch {index}"
            yield Dropped("unreadable row group", 0, where, f"cannot be read ({error}); how many rows it has is not known")
        else:
            yield from _arrow_rows(reading, batch.select(columns), number)
            number += batch.num_rows


def _arrow_stream(reading: Reading, table: Any) -> Iterator[Record | Dropped]:
    columns, number = columns_of(reading, table.schema), 0
    while True:
        try:
            batch = table.read_next_batch()
        except StopIteration:
            return
        except (OSError, pa.ArrowException) as error:
            if not is_corruption(error):
                raise
            detail = f"is where the file is cut short or damaged ({error}); more may be lost"
            yield Dropped("file cut short", 0, reading.where(number + 1), detail)
            return
        yield from _arrow_rows(reading, batch.select(columns), number)
        number += batch.num_rows


def _arrow_rows(reading: Reading, batch: pa.RecordBatch, before: int) -> Iterator[Record | Dropped]:
    """Yield a batch's rows in slices, because others write batches of any size."""
    rows = int(min(_BATCH_ROWS, max(1, _BATCH_BYTES * max(1, batch.num_rows) // max(1, batch.nbytes))))
    for start in range(0, batch.num_rows, rows):
        yield from _rows(reading, batch.slice(start, rows), before + start)


def _rows(reading: Reading, batch: pa.RecordBatch, before: int) -> Iterator[Record | Dropped]:
    """Yield a batch as records, binary text decoded; `before` is the number of rows that came before it in the file."""
    names = batch.schema.names
    try:
        lists = [_values(column, binary=name == reading.wanted.text) for name, column in zip(names, batch.columns, strict=True)]
    except (UnicodeDecodeError, *_UNREADABLE) as error:
        if batch.num_rows > 1:  # look again row by row: only those with a value that cannot be read are dropped
            for index in range(batch.num_rows):
                yield from _rows(reading, batch.slice(index, 1), before + index)
            return
        yield _bad_value(reading.where(before + 1), error)
        return
    rows = zip(*lists, strict=True) if names else repeat((), batch.num_rows)  # a template's fields may all be optional
    for number, values in enumerate(rows, start=before + 1):
        yield Record(reading.where(number), dict(zip(names, values, strict=True)))


def _bad_value(where: str, error: Exception) -> Dropped:
    if isinstance(error, UnicodeDecodeError):
        value = error.object
        detail = f"is not UTF-8: byte offset {error.start} of the value (byte 0x{value[error.start]:02x})"
        return Dropped("not utf-8", len(value), where, detail, value[:RAW_BYTES])
    return Dropped("unreadable value", 0, where, f"has a value that Python cannot hold ({error})")


def _values(column: pa.Array, *, binary: bool) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if binary and _is_binary(column.type):
        return [value if value is None else value.decode() for value in values]
    return values


def columns_of(reading: Reading, schema: pa.Schema) -> list[str]:
    """Return the columns to read, the text's first; raise `DataError` with what the file has when a wanted one is not there."""
    types = {field.name: field.type for field in schema}
    columns = reading.wanted.columns(list(types), [name for name, kind in types.items() if _is_plain(kind)])
    for path in reading.wanted.required:
        found = [name for name in columns if path == name or path.startswith(f"{name}.")]
        is_text = path != reading.wanted.text or path not in types or _is_text(types[path])
        if not found or not is_text:
            shown = {name: str(kind) for name, kind in types.items()}
            raise DataError(reading.wanted.missing(reading.source, reading.piece.file, path, shown))
    return columns


def _is_binary(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _is_plain(kind.value_type)
    return pa.types.is_integer(kind) or (_is_text(kind) and not _is_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return _is_binary(kind) or any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))
