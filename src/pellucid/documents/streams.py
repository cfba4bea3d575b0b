"""Bytes of a source's files: local or behind a URL, plain or packed, in chunks, with what is whole of a damaged stream."""

import io
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from pellucid.core.errors import DataError, MissingExtraError

__all__ = ["CHUNK_BYTES", "CutShortError", "chunks", "filesystem", "is_corruption", "is_url", "open_raw", "packing"]

CHUNK_BYTES = 1 << 20
_READ_AHEAD_BYTES = 1 << 17  # decoders read less than this at once
_PACKINGS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}


class CutShortError(Exception):
    """A stream ends before its end or is damaged; what came before it was delivered.

    `rest` is the beginning of the record in which it ends, `size` that part's whole size, `offset` where it begins.
    """

    rest: bytes = b""
    size: int = 0
    offset: int = 0


def is_url(path: str) -> bool:
    """Tell whether a path is to be opened by fsspec: s3://…, hf://…, https://…, memory://…"""
    return "://" in path


def packing(path: str) -> str | None:
    """Return 'gzip', 'zstd', 'bz2' or 'xz' by the ending of the name, or None."""
    return next((kind for ending, kind in _PACKINGS.items() if path.lower().endswith(ending)), None)


def is_corruption(error: BaseException) -> bool:
    """Tell damaged content from a system, disk or network that failed: their errors carry an errno, or are no decoder's."""
    if isinstance(error, MemoryError):
        return False
    if isinstance(error, OSError):
        return type(error) is OSError and error.errno is None
    return isinstance(error, pa.ArrowException | lzma.LZMAError | EOFError | UnicodeDecodeError)


def filesystem(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in it.

    Raises `MissingExtraError` without fsspec, `DataError` when the protocol is unknown or needs a package that is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingExtraError("fsspec", "remote", f"reading {url}") from error
    try:
        system, path = url_to_fs(url)
    except ImportError as error:
        raise DataError(f"{url} cannot be reached: {error}. Install that package beside pellucid") from error
    except ValueError as error:
        raise DataError(
            f"{url} cannot be reached: {error}. Known are s3://, gs://, hf://, https:// and what fsspec lists"
        ) from error
    return system, str(path)


@contextmanager
def open_raw(path: str) -> Iterator[Any]:
    """Open a local file or a URL for reading its bytes as they are stored. A system or network that fails raises `DataError`."""
    try:
        if is_url(path):
            system, inner = filesystem(path)
            stream = system.open(inner, "rb", block_size=8 * CHUNK_BYTES)
        else:
            stream = Path(path).open("rb", buffering=0)  # noqa: SIM115 (closed below)
    except (DataError, MissingExtraError):
        raise
    except Exception as error:
        raise unreachable(path, error) from error
    with stream:
        yield _Explained(stream, path)


def unreachable(path: str, error: BaseException) -> DataError:
    """Return the error for a file that the system or the network does not hand out."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    again = "Look at the address, the network and your credentials, then run again" if is_url(path) else "Make it readable"
    return DataError(f"{path} cannot be read ({said}). {again}, or leave it out of path")


class _Explained(io.RawIOBase):
    """A stream whose failures are `DataError`s, so that a decoder above it cannot take a lost connection for damaged content."""

    def __init__(self, stream: Any, path: str) -> None:
        self._stream, self._path = stream, path
        self.given = 0  # bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return int(self._stream.seek(offset, whence))
        except Exception as error:  # a server that does not give ranges
            raise unreachable(self._path, error) from error

    def tell(self) -> int:
        return int(self._stream.tell())

    def read(self, size: int = -1) -> bytes:
        try:
            data = bytes(self._stream.read(size))
        except Exception as error:
            raise unreachable(self._path, error) from error
        self.given += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Sip(io.RawIOBase):
    """A stream that from a position on gives one byte at a time, so that a decoder gives out all that stands before damage."""

    def __init__(self, stream: Any, position: int) -> None:
        self._stream, self._left = stream, position

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(min(size, self._left) if self._left > 0 and size > 0 else 1)
        self._left -= len(data)
        return data


@contextmanager
def _unpacked(path: str, raw: Any) -> Iterator[Any]:
    kind = packing(path)
    if kind is None:
        yield raw
    elif kind == "xz":
        with lzma.LZMAFile(raw) as unpacked:
            yield unpacked
    else:
        # pyarrow, because it notices a stream that ends early, where others return what there is.
        with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), kind) as unpacked:
            yield unpacked


def chunks(path: str, start: int = 0, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield a file's bytes from `start` on, unpacked; `start` is 0 where the file is packed.

    Raises `CutShortError` after the last byte that a damaged packed stream gives, and `DataError` as `open_raw` does. Where the
    damage shows depends on the decoder alone, not on `size`; a checksum that is wrong shows after all bytes that it is about, but
    for .bz2, whose blocks are whole or not there.
    """
    delivered = position = 0
    failure: BaseException
    try:
        with open_raw(path) as raw, _unpacked(path, raw) as stream:
            if start:
                stream.seek(start)
            try:
                while chunk := stream.read(size):
                    delivered += len(chunk)
                    yield chunk
            finally:
                position = raw.given
        return
    except Exception as error:
        if packing(path) is None or not is_corruption(error):
            raise
        failure = error
    yield from _rest(path, delivered, position)
    raise CutShortError(str(failure)) from failure


def _rest(path: str, delivered: int, position: int) -> Iterator[bytes]:
    """Yield what a damaged stream still gives after `delivered` bytes; it failed when `position` of its packed bytes were read.

    A read that fails loses what it had, and a decoder what it made of the same input, so both go byte by byte.
    """
    rest = bytearray()
    with open_raw(path) as raw, _unpacked(path, _Sip(raw, position - _READ_AHEAD_BYTES)) as stream:
        while delivered > 0:
            delivered -= len(stream.read(min(delivered, CHUNK_BYTES)))
        try:
            while byte := stream.read(1):
                rest += byte
                if len(rest) == CHUNK_BYTES:
                    yield bytes(rest)
                    rest.clear()
        except Exception as error:
            if not is_corruption(error):
                raise
    yield bytes(rest)
