"""Documents on disk: parquet written and read in row groups of bounded size."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import ArtifactError
from pellucid.core.files import fsync_directory, fsync_file
from pellucid.documents.document import SCHEMA, Document

__all__ = ["DocumentWriter", "iter_documents", "iter_split", "split_files"]

CLEANED_SCHEMA = SCHEMA.append(pa.field("where", pa.string()))
_GROUP_BYTES = 8 << 20
_GROUP_ROWS = 1 << 16


class DocumentWriter:
    """Write documents to one parquet file. The same documents in the same order give the same bytes; none give no file.

    The file appears under its name when all of it is written.
    """

    def __init__(self, path: Path, schema: pa.Schema = SCHEMA, compression: str = "zstd") -> None:
        self._path, self._schema, self._compression = path, schema, compression
        self._part = path.with_name(f".{path.name}.{uuid4().hex}.part")
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[Document] = []
        self._pending_chars = 0

    def write(self, document: Document) -> None:
        """Add one document; a row group goes to the disk each time about 8 MB of text have come together."""
        self._pending.append(document)
        self._pending_chars += len(document.text)
        if self._pending_chars >= _GROUP_BYTES or len(self._pending) >= _GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._writer is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            repeated = ["language", "source", "licence"]
            self._writer = pq.ParquetWriter(
                self._part, self._schema, compression=self._compression, use_dictionary=repeated, write_statistics=False
            )
        columns = {name: [getattr(document, name) for document in self._pending] for name in self._schema.names}
        self._writer.write_table(pa.table(columns, schema=self._schema))
        self._pending, self._pending_chars = [], 0

    def __enter__(self) -> "DocumentWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None and self._pending:
            self._flush()
        if self._writer is not None:
            self._writer.close()
        if kind is None and self._writer is not None:
            fsync_file(self._part)
            self._part.replace(self._path)
            fsync_directory(self._path.parent)
        else:
            self._part.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)


def iter_documents(path: Path, columns: Sequence[str] = tuple(SCHEMA.names)) -> Iterator[Document]:
    """Yield the documents of a parquet file in order, one row group in memory at a time.

    Only `columns` are read (`("text",)` is enough to train a tokenizer); the other fields of the documents are empty strings.
    Raises `ArtifactError` when the file is missing, damaged or has not the columns.
    """
    empty = dict.fromkeys(SCHEMA.names, "")
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=list(columns), use_threads=False)
                lists = [table.column(name).to_pylist() for name in columns]
                for values in zip(*lists, strict=True):
                    yield Document(**(empty | dict(zip(columns, values, strict=True))))
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ArtifactError(
            f"{path} cannot be read as documents ({error}); delete the folder that holds it and run again"
        ) from error


def split_files(documents: Path, source: str, split: str) -> list[Path]:
    """Return the files of one split of one source, in order. There may be none: a source can lose all its documents."""
    return sorted((documents / source / split).glob("*.parquet"), key=lambda file: (len(file.name), file.name))


def iter_split(documents: Path, source: str, split: str, columns: Sequence[str] = tuple(SCHEMA.names)) -> Iterator[Document]:
    """Yield one split's documents in order, as `iter_documents` does."""
    for path in split_files(documents, source, split):
        yield from iter_documents(path, columns)
