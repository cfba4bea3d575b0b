"""What a file holds: its bytes, and what is packed in them (archives, compressed text, PDF, parquet, PNG, data URIs)."""

import binascii
import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["contents_of"]

_CHUNK_BYTES = 8 << 20
_DEEPEST = 4
_TEXTS = (".html", ".svg", ".xml", ".md", ".json", ".jsonl", ".css", ".txt")
_DATA_URI = re.compile(rb"base64,([A-Za-z0-9+/=\s]{24,})")
_PDF_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\n?endstream", re.DOTALL)

Contents = Iterator[tuple[str, Iterator[bytes]]]


def contents_of(path: Path) -> Contents:
    """Yield (where, chunks of bytes): the file as it is, then everything that is packed in it, packed things in those as well.

    What is damaged inside is left at its bytes: it hides nothing that could be unpacked.
    """
    with path.open("rb") as file:
        yield "", _chunks(file)
        file.seek(0)
        yield from _inside(path.name, file, 1)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _inside(name: str, file: BinaryIO, depth: int) -> Contents:
    head = file.read(8)
    file.seek(0)
    if depth > _DEEPEST:
        return
    for magic, unpack in _UNPACK:
        if head.startswith(magic):
            yield from unpack(file, depth)
            return
    if name.endswith(_TEXTS):
        for number, found in enumerate(_DATA_URI.finditer(file.read())):
            yield from _member(f"data URI {number + 1}", _decoded(found.group(1)), depth)


def _member(name: str, data: bytes, depth: int) -> Contents:
    yield name, iter((data,))
    for inner, chunks in _inside(name, io.BytesIO(data), depth + 1):
        yield f"{name}, {inner}", chunks


def _decoded(text: bytes) -> bytes:
    try:
        return binascii.a2b_base64(text)
    except binascii.Error:
        return b""


def _zip(file: BinaryIO, depth: int) -> Contents:
    try:
        with zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                yield from _member(entry.filename, archive.read(entry), depth)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, OSError):
        return


def _whole(chunks: Iterator[bytes]) -> Iterator[bytes]:
    try:
        yield from chunks
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException):
        return


def _gzip(file: BinaryIO, depth: int) -> Contents:
    with gzip.open(file) as opened:
        yield "uncompressed", _whole(_chunks(opened))  # type: ignore[arg-type]


def _bzip(file: BinaryIO, depth: int) -> Contents:
    with bz2.open(file) as opened:
        yield "uncompressed", _whole(_chunks(opened))  # type: ignore[arg-type]


def _xz(file: BinaryIO, depth: int) -> Contents:
    with lzma.open(file) as opened:
        yield "uncompressed", _whole(_chunks(opened))  # type: ignore[arg-type]


def _zstd(file: BinaryIO, depth: int) -> Contents:
    yield "uncompressed", _whole(_chunks(pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd")))


def _pdf(file: BinaryIO, depth: int) -> Contents:
    for number, found in enumerate(_PDF_STREAM.finditer(file.read())):
        try:
            yield f"stream {number + 1}", iter((zlib.decompressobj().decompress(found.group(1)),))
        except zlib.error:
            continue  # not compressed: it stands in the file as it is


def _parquet(file: BinaryIO, depth: int) -> Contents:
    """The values of all columns as they lie in memory: text as UTF-8, one value after the other."""

    def values(column: str) -> Iterator[bytes]:
        for batch in opened.iter_batches(columns=[column], use_threads=False):
            for buffer in batch.column(0).buffers():
                if buffer is not None:
                    yield buffer.to_pybytes()
                    # Two buffers are no one text.
                    yield b"\0" * 8

    try:
        opened = pq.ParquetFile(file)
        for column in dict.fromkeys(opened.schema_arrow.names):
            yield f"column {column}", _whole(values(column))
    except (pa.ArrowException, OSError):
        return


def _png(file: BinaryIO, depth: int) -> Contents:
    """Compressed texts (zTXt, iTXt); pixels are none."""
    data = file.read()
    at = 8
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            for start in (place for place in range(len(body)) if body[place : place + 1] == b"\x78"):
                try:
                    yield kind.decode(), iter((zlib.decompressobj().decompress(body[start:]),))
                except zlib.error:
                    continue
        at += 12 + size


_UNPACK = (
    (b"PK\x03\x04", _zip),
    (b"\x1f\x8b", _gzip),
    (b"BZh", _bzip),
    (b"\xfd7zXZ", _xz),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"%PDF", _pdf),
    (b"PAR1", _parquet),
    (b"\x89PNG", _png),
)
