"""The files of shards as they are written: tokens, document starts, what is known of each document."""

import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.units import utf8_bytes
from pellucid.shards.coding import TextDocument
from pellucid.shards.index import ShardFile

__all__ = ["METADATA_SCHEMA", "MetadataFile", "StartsFile", "TokenFiles"]

_NAMES = ("id", "language", "source", "licence", "origin", "digest")
METADATA_SCHEMA = pa.schema([*(pa.field(name, pa.string()) for name in _NAMES), pa.field("text_bytes", pa.int64())])

_GROUP_ROWS = 1 << 14


class TokenFiles:
    """NAME.bin, NAME_00001.bin, …: each closed at the first document end after `limit` tokens."""

    def __init__(self, folder: Path, name: str, dtype: np.dtype[Any], limit: int) -> None:
        self.files: list[ShardFile] = []
        self.written = 0
        self._folder, self._name, self._dtype, self._limit = folder, name, dtype, limit
        self._file: IO[bytes] | None = None
        self._in_file = 0

    def write(self, ids: np.ndarray, ends: np.ndarray) -> None:
        """Write whole documents; `ends` says where each ends in `ids`."""
        begin = 0
        while begin < len(ids):
            closing = int(np.searchsorted(ends, begin + self._limit - self._in_file, side="left"))
            end = int(ends[min(closing, len(ends) - 1)])
            if self._file is None:
                self._file = (self._folder / self._file_name).open("wb")
            self._file.write(ids[begin:end].data)
            self._in_file += end - begin
            self.written += end - begin
            if self._in_file >= self._limit:
                self._close()
            begin = end

    @property
    def _file_name(self) -> str:
        return f"{self._name}_{len(self.files):05d}.bin" if self.files else f"{self._name}.bin"

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with file:
                _to_disk(file)
            self.files.append(ShardFile(self._file_name, self._in_file))
            self._in_file = 0

    def __enter__(self) -> "TokenFiles":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._close()
        elif self._file is not None:
            # What could not be written then cannot be written now, and is not what has to be told.
            with suppress(OSError):
                self._file.close()


class StartsFile:
    """A one-dimensional int64 .npy file that is written piece by piece; its length is filled in at the end."""

    def __init__(self, path: Path) -> None:
        self.entries = 0
        self._file = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        # numpy leaves room in the header for the first axis to grow, so that writing it again takes the same place.
        header = {"descr": "<i8", "fortran_order": False, "shape": (self.entries,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def write(self, values: np.ndarray) -> None:
        """Append values."""
        self._file.write(values.astype("<i8").tobytes())
        self.entries += len(values)

    def __enter__(self) -> "StartsFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None:
                self._file.seek(0)
                self._write_header()
                _to_disk(self._file)
        finally:
            self._file.close()


class MetadataFile:
    """documents.parquet: one row per document, in groups small enough to read one and large enough to be few."""

    def __init__(self, path: Path) -> None:
        self.text_bytes = 0
        self._rows: list[dict[str, Any]] = []
        self._path = path
        self._writer = pq.ParquetWriter(path, METADATA_SCHEMA, compression="zstd")

    def write(self, documents: list[TextDocument]) -> None:
        """Add the documents' rows."""
        for document in documents:
            size = utf8_bytes(document.text)
            self.text_bytes += size
            self._rows.append({**{name: getattr(document, name) for name in _NAMES}, "text_bytes": size})
            if len(self._rows) == _GROUP_ROWS:
                self._flush()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._rows, METADATA_SCHEMA))
        self._rows = []

    def __enter__(self) -> "MetadataFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        try:
            if kind is None and self._rows:
                self._flush()
        finally:
            self._writer.close()
            if kind is None:
                with self._path.open("rb") as file:
                    os.fsync(file.fileno())


def _to_disk(file: IO[bytes]) -> None:
    """The account that comes after must never be on the disk before what it is the account of."""
    file.flush()
    os.fsync(file.fileno())
