"""What was dropped, kept to be read: one parquet file a partition, with the reason beside the text."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.files import fsync_file
from pellucid.documents.document import Document, Dropped
from pellucid.documents.store import split_files

__all__ = ["DROPPED_SCHEMA", "DroppedWriter", "iter_dropped"]

_NAMES = ("source", "reason", "detail", "where", "id", "text")
DROPPED_SCHEMA = pa.schema([*(pa.field(name, pa.string()) for name in _NAMES), pa.field("bytes", pa.int64())])
_GROUP_BYTES = 8 << 20


class DroppedWriter:
    """Writes to one file, which is made when the first row comes, or nowhere when `path` is None: the recipe's choice."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def write_record(self, source: str, dropped: Dropped) -> None:
        """Keep a record that became no document: what is known of its raw bytes, shown as text."""
        self._write(source, dropped, "", dropped.raw.decode(errors="replace"))

    def write_document(self, document: Document, dropped: Dropped) -> None:
        """Keep a document that a step or a later pass dropped."""
        self._write(document.source, dropped, document.id, document.text)

    def copy(self, path: Path) -> None:
        """Take over what an earlier pass dropped, when it kept that."""
        if self._path is not None and path.is_file():
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    self._put(file.read_row_group(group))

    def _write(self, source: str, dropped: Dropped, id_: str, text: str) -> None:
        if self._path is None:
            return
        values = (source, dropped.reason, dropped.detail, dropped.where, id_, text)
        self._rows.append({**dict(zip(_NAMES, values, strict=True)), "bytes": dropped.bytes})
        self._bytes += len(text) + 1000
        if self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._put(pa.Table.from_pylist(self._rows, DROPPED_SCHEMA))
        self._rows, self._bytes = [], 0

    def _put(self, table: pa.Table) -> None:
        assert self._path is not None
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._path, DROPPED_SCHEMA, compression="zstd", write_statistics=False)
        self._writer.write_table(table)

    def __enter__(self) -> "DroppedWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            assert self._path is not None
            fsync_file(self._path)


def iter_dropped(documents: Path, source: str) -> Iterator[dict[str, Any]]:
    """Yield what was dropped of a source, in order, with the names of `DROPPED_SCHEMA`; nothing when it was not kept."""
    for path in split_files(documents, source, "dropped"):
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                yield from file.read_row_group(group).to_pylist()
