"""Readers: files → raw records, one file format each. Memory stays at one record (txt, jsonl) or one small batch (parquet)."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import DataError
from pellucid.documents.document import Dropped
from pellucid.documents.files import file_format, not_utf8, open_bytes, reading_is_explained
from pellucid.recipe.data import SourceConfig

__all__ = ["METADATA", "Record", "read_records"]

# What a record may say of itself, and under which names.
METADATA = {"id": ("id",), "language": ("language",), "licence": ("licence", "license"), "origin": ("origin", "url")}

_BOM = b"\xef\xbb\xbf"
_BATCH_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """Fields as they stand in the file; `number` counts lines or rows from 1; `bytes` is the size of the raw record."""

    number: int
    fields: dict[str, Any]
    bytes: int


def read_records(source: SourceConfig, file: Path, max_bytes: int) -> Iterator[Record | Dropped]:
    """Yield the records of one file in order, `Dropped` where one cannot be parsed.

    Raises `DataError` when the file is damaged, is not UTF-8, or is a parquet without the text column.
    """
    readers = {"txt": _read_txt, "jsonl": _read_jsonl, "parquet": _read_parquet}
    with reading_is_explained(source, file):
        yield from readers[file_format(file) or ""](source, file, max_bytes)


def _read_txt(source: SourceConfig, file: Path, max_bytes: int) -> Iterator[Record | Dropped]:
    size = file.stat().st_size
    if size > max_bytes:  # not worth the memory, it would be dropped for its length anyway
        yield Dropped("longer than max_bytes", size, file.name)
        return
    data = file.read_bytes()
    try:
        text = data.removeprefix(_BOM).decode()
    except UnicodeDecodeError:
        raise _undecodable(source, file, data, 1, 0) from None
    yield Record(1, {source.text_column: text}, size)


def _read_jsonl(source: SourceConfig, file: Path, max_bytes: int) -> Iterator[Record | Dropped]:
    offset = 0
    with open_bytes(file) as lines:
        for number, line in enumerate(lines, start=1):
            content = line.removeprefix(_BOM) if number == 1 else line
            if content.strip():
                try:
                    value = _parse(content)
                except UnicodeDecodeError:
                    raise _undecodable(source, file, line, number, offset) from None
                except (ValueError, RecursionError):
                    yield Dropped("invalid json", len(line), f"{file.name}:{number}", "is not JSON")
                else:
                    if isinstance(value, dict):
                        yield Record(number, value, len(line))
                    else:
                        yield Dropped("invalid json", len(line), f"{file.name}:{number}", "is JSON but not an object")
            offset += len(line)


def _parse(line: bytes) -> Any:
    """Parse strictly and fast; then as Python's own parser would, which takes NaN and lone surrogates."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return json.loads(line.decode())


def _undecodable(source: SourceConfig, file: Path, data: bytes, line: int, offset: int) -> DataError:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        wide = offset == 0 and data[:2] in (b"\xff\xfe", b"\xfe\xff")
        inner = data.count(b"\n", 0, error.start)
        return not_utf8(source, file, line + inner, offset + error.start, data[error.start], wide=wide)
    raise AssertionError(f"{file}:{line} is UTF-8")


def _read_parquet(source: SourceConfig, file: Path, max_bytes: int) -> Iterator[Record | Dropped]:
    number = 0
    # A buffered stream without read-ahead holds pages, not whole row groups, which others write with a gigabyte each.
    with pq.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False) as table:
        columns = _columns(source, file, table.schema_arrow)
        for batch in table.iter_batches(_batch_rows(table.metadata), columns=columns, use_threads=False):
            for values in _rows(source, file, batch, number):
                number += 1
                text = values[0]
                yield Record(number, dict(zip(columns, values, strict=True)), len(text.encode()) if text else 0)


def _rows(source: SourceConfig, file: Path, batch: pa.RecordBatch, before: int) -> list[tuple[Any, ...]]:
    """Return the batch as Python rows, binary text decoded; `before` is the number of rows that came before it in the file."""
    try:
        text, *others = (column.to_pylist() for column in batch.columns)
        if pa.types.is_binary(batch.schema[0].type):
            text = [value if value is None else value.decode() for value in text]
        return list(zip(text, *others, strict=True))
    except UnicodeDecodeError as error:
        if batch.num_rows > 1:  # look again row by row, so that the message can name the row
            return [row for index in range(batch.num_rows) for row in _rows(source, file, batch.slice(index, 1), before + index)]
        raise DataError(
            f"source {source.name!r}: {file}, row {before + 1} is not UTF-8: byte offset {error.start} of the value "
            f"(byte 0x{error.object[error.start]:02x}). Write the file again with its strings in UTF-8"
        ) from None


def _columns(source: SourceConfig, file: Path, schema: pa.Schema) -> list[str]:
    """Return the columns to read, the text's first; raise `DataError` with what the file has when there is no text among them."""
    text_like = [field.name for field in schema if _is_text(field.type)]
    if source.text_column not in text_like:
        has = ", ".join(f"{field.name} ({field.type})" for field in schema)
        guess = next(iter(get_close_matches(source.text_column, text_like, 1) or text_like), None)
        wrong = "whose text column is no string" if source.text_column in schema.names else "which has no such column"
        fix = f"Set text_column: {guess}" if guess else "Choose files with a column of strings"
        raise DataError(
            f"source {source.name!r}: text_column is {source.text_column!r}, but {file}, {wrong}, has the columns {has}. {fix}"
        )
    known = [name for names in METADATA.values() for name in names]
    return [source.text_column, *(name for name in known if name in schema.names and name != source.text_column)]


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary))


def _batch_rows(metadata: pq.FileMetaData) -> int:
    """Return how many rows hold about `_BATCH_BYTES` in the file's heaviest row group."""
    groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
    row_bytes = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return int(min(4096, max(1, _BATCH_BYTES // max(1, row_bytes))))
