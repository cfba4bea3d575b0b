"""A source's files: found by name or glob, opened plain or decompressed, and a helpful word when a file is not UTF-8."""

import glob
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO

import pyarrow as pa

from pellucid.core.errors import DataError
from pellucid.recipe.data import SourceConfig

__all__ = ["FORMATS", "find_files", "not_utf8", "open_bytes", "reading_is_explained", "shown_name"]

FORMATS = {".txt": "txt", ".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".jsonl.zst": "jsonl", ".parquet": "parquet"}
_COMPRESSION = {".gz": ("gzip", "gzip -dc {} |", "| gzip"), ".zst": ("zstd", "zstd -dc {} |", "| zstd")}
_BUFFER_BYTES = 1 << 20


def find_files(source: SourceConfig, base: Path) -> list[Path]:
    """Return the files of a source in the order of their names; `source.path` is relative to `base`, the recipe's folder.

    Raises `DataError` when the source has no path, when nothing matches, or when a file is of a kind that has no reader.
    """
    if source.path is None:
        where = f"on the hub as {source.hub}" if source.hub else "nowhere"
        raise DataError(
            f"source {source.name!r} has no files: it is {where}. "
            f"Download it, then give the place of the files as path (a file or glob, relative to {base})"
        )
    named = base / source.path
    matches = [named] if named.is_file() else [base / match for match in glob.glob(source.path, root_dir=base, recursive=True)]  # noqa: PTH207
    files = sorted({file for file in matches if file.is_file()})
    if not files:
        hint = f"it is a folder: give path as {source.path.rstrip('/')}/*.parquet, or as the glob that fits its files"
        raise DataError(
            f"source {source.name!r} is empty: no file matches {source.path!r} in {base}; "
            + (hint if named.is_dir() else "correct its path (a file or glob, relative to the recipe's folder)")
        )
    for file in files:
        if file_format(file) is None:
            raise DataError(f"source {source.name!r}: no reader for {file}; known are {', '.join(FORMATS)}. Narrow path to these")
    return files


def file_format(file: Path) -> str | None:
    """Return 'txt', 'jsonl' or 'parquet', or None when the name has another ending."""
    return next((kind for ending, kind in FORMATS.items() if file.name.lower().endswith(ending)), None)


def shown_name(file: Path, base: Path) -> str:
    """Return the file's name as ids and origins carry it: relative to the recipe's folder, so that no machine's path gets in."""
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else file.name


@contextmanager
def open_bytes(file: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading lines of bytes, unpacking .gz and .zst as it goes; a stream that was cut short raises `OSError`."""
    kind = _COMPRESSION.get(file.suffix.lower())
    if kind is None:
        with file.open("rb", buffering=_BUFFER_BYTES) as plain:
            yield plain
    else:
        # pyarrow, because it notices a zstd stream that ends early, where python-zstandard returns what there is.
        with pa.OSFile(str(file)) as raw, BufferedReader(pa.CompressedInputStream(raw, kind[0]), _BUFFER_BYTES) as unpacked:
            yield unpacked


@contextmanager
def reading_is_explained(source: SourceConfig, file: Path) -> Iterator[None]:
    """Turn what the system or pyarrow says about an unreadable file into a `DataError` that names the file and the source."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"source {source.name!r}: {file} cannot be read; it is cut short, damaged, locked away or not what its name says "
            f"({error}). Fetch or make it again, or leave it out of path"
        ) from error


def not_utf8(source: SourceConfig, file: Path, line: int, offset: int, value: int, *, wide: bool) -> DataError:
    """Return the error for a file that is not UTF-8: line (from 1), offset (from 0) and value of the byte, and what to do.

    `wide` says that the file begins with a UTF-16 byte order mark; otherwise the most frequent other encoding is named.
    """
    kind = _COMPRESSION.get(file.suffix.lower())
    encoding = "UTF-16" if wide else "WINDOWS-1252"
    name, mended = shlex.quote(str(file)), shlex.quote(str(file.with_name(f"utf8.{file.name}")))
    if kind is None:
        command = f"iconv -f {encoding} -t UTF-8 {name} > {mended}"
    else:
        command = f"{kind[1].format(name)} iconv -f {encoding} -t UTF-8 {kind[2]} > {mended}"
    unpacked = " of the unpacked file" if kind else ""
    return DataError(
        f"source {source.name!r}: {file} is not UTF-8: line {line}, byte offset {offset}{unpacked} (byte 0x{value:02x}). "
        f"Convert it (with its real encoding if it is another): {command}"
    )
