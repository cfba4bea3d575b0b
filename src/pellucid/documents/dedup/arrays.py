"""Arrays on disk: written whole or not at all, and read by row without bringing a whole file into memory."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained, fsync_directory, writing

__all__ = ["Rows", "array_shape", "iter_pairs", "save_array", "scratch_array", "whole_array"]

_WINDOW_BYTES = 16 << 20


@contextmanager
def scratch_array(path: Path, rows: int) -> Iterator[NDArray[np.int64]]:
    """Give a new int64 array of so many rows that lies on disk beside `path`, not in memory, and is gone after the block."""
    with _on_disk(path, rows) as (array, _):
        yield array


@contextmanager
def whole_array(path: Path, rows: int) -> Iterator[NDArray[np.int64]]:
    """Give a new int64 array of so many rows that lies on disk, not in memory, and is a .npy file when the block ends well."""
    with _on_disk(path, rows) as (array, part):
        yield array
        array.flush()
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    fsync_directory(path.parent)


@contextmanager
def _on_disk(path: Path, rows: int) -> Iterator[tuple[Any, Path]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_full_is_explained(path):
        try:
            array = np.lib.format.open_memmap(part, mode="w+", dtype=np.dtype("<i8"), shape=(rows,))
            # Room is taken now: a mapped file that finds the disk full later ends the process by a signal.
            if hasattr(os, "posix_fallocate"):
                with part.open("rb+") as file:
                    os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
            yield array, part
        finally:
            part.unlink(missing_ok=True)


def save_array(path: Path, array: NDArray[Any]) -> None:
    """Write a .npy file atomically."""
    with writing(path) as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)


def array_shape(path: Path) -> tuple[int, ...]:
    """Return the shape of a .npy file. Raises `ArtifactError` when the file is missing or cut short."""
    shape: tuple[int, ...] = _mapped(path).shape
    return shape


def iter_pairs(path: Path, rows: int = 1 << 20) -> Iterator[NDArray[np.int64]]:
    """Yield the pairs of int64 of a file, (≤ rows, 2) at a time."""
    with path.open("rb") as file:
        while len(pairs := np.fromfile(file, dtype="<i8", count=2 * rows)):
            yield pairs.reshape(-1, 2).astype(np.int64, copy=False)


class Rows:
    """The rows of several .npy files of equal width as one array that stays on disk. Row numbers run on from file to file.

    Raises `ArtifactError` when a file is missing, cut short or of another type or width than `dtype` and the first file's.
    """

    def __init__(self, files: Sequence[Path], dtype: Any) -> None:
        self.files = tuple(files)
        self.dtype = np.dtype(dtype)
        shapes = [_mapped(file, self.dtype).shape for file in self.files]
        self.width = shapes[0][1] if shapes and len(shapes[0]) == 2 else 0
        for file, shape in zip(self.files, shapes, strict=True):
            if len(shape) != 2 or shape[1] != self.width:
                raise ArtifactError(f"{file} has the shape {shape}; must be (rows, {self.width}) as in {self.files[0]}")
        self.offsets_N1 = np.concatenate((np.zeros(1, np.int64), np.cumsum([shape[0] for shape in shapes], dtype=np.int64)))

    def take(self, rows_M: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of these numbers, which must ascend, (M, width). Only a few megabytes of a file are mapped at a time."""
        found = np.empty((len(rows_M), self.width), dtype=self.dtype)
        step = max(1, _WINDOW_BYTES // max(1, self.width * self.dtype.itemsize))
        places = np.searchsorted(rows_M, self.offsets_N1)
        for index in np.flatnonzero(np.diff(places)):
            local_M = rows_M[places[index] : places[index + 1]] - self.offsets_N1[index]
            offset = _mapped(self.files[index], self.dtype).offset
            begin = 0
            while begin < len(local_M):
                low = int(local_M[begin])
                end = int(np.searchsorted(local_M, low + step))
                high = int(local_M[end - 1]) + 1
                window = np.memmap(
                    self.files[index], self.dtype, "r", offset + low * self.width * self.dtype.itemsize, (high - low, self.width)
                )
                found[places[index] + begin : places[index] + end] = window[local_M[begin:end] - low]
                begin = end
        return found


def _mapped(path: Path, dtype: Any = None) -> Any:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtifactError(f"{path} cannot be read as an array ({error}); delete it and run again") from error
    if dtype is not None and array.dtype != dtype:
        raise ArtifactError(f"{path} holds {array.dtype}; must be {dtype}")
    return array
