"""Reading shards: one split of one source as a single long array of tokens, memory-mapped, however many files hold it."""

import mmap
import resource
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import ArtifactError
from pellucid.shards.index import DOCUMENTS, STARTS, ShardIndex

__all__ = ["TokenStream"]

# Files that this process has mapped, the longest ago first. Each holds a file descriptor, and a system may give out few.
_mapped: "deque[tuple[weakref.ref[TokenStream], int]]" = deque()


class TokenStream:
    """One split's tokens. Opening looks at names and sizes only: its cost grows with the files, not with the tokens.

    Raises `ArtifactError` when a file is missing or has not the size that the index says; `pellucid verify` checks contents.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = ShardIndex.read(path)
        self._dtype = np.dtype(self.index.dtype).newbyteorder("<")
        self._file_starts = np.cumsum([0, *(file.tokens for file in self.index.files)], dtype=np.int64)
        self._file_starts_list = self._file_starts.tolist()
        self._maps: list[np.ndarray | None] = [None] * len(self.index.files)
        self._mmaps: dict[int, mmap.mmap] = {}
        for file in self.index.files:
            self._check_size(file.name, file.tokens * self._dtype.itemsize)

    @property
    def tokens(self) -> int:
        """Tokens, EOS included."""
        return self.index.tokens

    @property
    def documents(self) -> int:
        """Documents."""
        return self.index.documents

    def read(self, start: int, count: int) -> np.ndarray:
        """Return tokens start … start + count: a read-only view of the file where one file holds them, else a copy."""
        assert start >= 0 <= count and start + count <= self.tokens, f"{start} + {count} is outside {self.tokens} tokens"
        if count == 0:
            return np.empty(0, dtype=self._dtype)
        first = self._file_of(start)
        last = self._file_of(start + count - 1)
        pieces: list[np.ndarray] = []
        for file in range(first, last + 1):
            begin = self._file_starts_list[file]
            pieces.append(self._map(file)[max(0, start - begin) : start + count - begin])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def read_many(self, starts: np.ndarray, count: int) -> np.ndarray:
        """Return the windows of `count` tokens at `starts` (int64, N) as a new array [N, count] of the stored type.

        Where one file holds all, they are gathered in one call without a loop; else one by one, a microsecond or two each.
        """
        if len(starts) == 0:
            return np.empty((0, count), dtype=self._dtype)
        assert starts.min() >= 0 < count and starts.max() + count <= self.tokens, f"a window is outside {self.tokens} tokens"
        if len(self.index.files) == 1:
            windows: np.ndarray = self._windows(count)[starts]
            return windows
        files = np.searchsorted(self._file_starts, starts, side="right") - 1
        inside = starts - self._file_starts[files]
        out = np.empty((len(starts), count), dtype=self._dtype)
        for row, (file, begin) in enumerate(zip(files.tolist(), inside.tolist(), strict=True)):
            tokens = self._map(file)[begin : begin + count]
            out[row] = tokens if len(tokens) == count else self.read(int(starts[row]), count)
        return out

    def will_read(self, start: int, count: int) -> None:
        """Ask the system to have these tokens in memory soon. It reads them while this process does something else."""
        file = self._file_of(start)
        begin = (start - self._file_starts_list[file]) * self._dtype.itemsize
        self._map(file)
        mapped = self._mmaps.get(file)
        if mapped is None:  # let go of by another thread, to make room
            return
        end = min(begin + count * self._dtype.itemsize, len(mapped))  # the rest, in the next file, is read when it is wanted
        page = begin - begin % mmap.PAGESIZE
        if hasattr(mmap, "MADV_WILLNEED"):
            mapped.madvise(mmap.MADV_WILLNEED, page, end - page)

    @cached_property
    def document_starts(self) -> np.ndarray:
        """First token of each document, and the end of the last (int64, documents + 1), memory-mapped."""
        path = self.path / STARTS
        try:
            starts: np.ndarray = np.asarray(np.load(path, mmap_mode="r"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} cannot be read ({error}); {self._fix}") from error
        if starts.shape != (self.documents + 1,) or starts[0] != 0 or starts[-1] != self.tokens:
            raise ArtifactError(
                f"{path} holds {len(starts)} entries that end at {starts[-1] if len(starts) else None}; "
                f"expected {self.documents + 1} that end at {self.tokens}; {self._fix}"
            )
        return starts

    @cached_property
    def document_languages(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """Number of each document's language (int16, documents), and the languages by number; "" is for those that name none."""
        path = self.path / DOCUMENTS
        numbers: dict[str, int] = {}
        codes = np.empty(self.documents, dtype=np.int16)
        at = 0
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    column = file.read_row_group(group, columns=["language"]).column(0).combine_chunks().dictionary_encode()
                    named = column.dictionary.to_pylist() + [""] * (column.null_count > 0)
                    names = [numbers.setdefault(name, len(numbers)) for name in named]
                    indices = column.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
                    codes[at : at + len(indices)] = np.array(names, dtype=np.int16)[indices]
                    at += len(indices)
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(f"{path} cannot be read ({error}); {self._fix}") from error
        if at != self.documents:
            raise ArtifactError(f"{path} has {at} documents; expected {self.documents}; {self._fix}")
        return codes, tuple(numbers)

    def document_at(self, token: int | np.ndarray) -> Any:
        """Return the number of the document that holds the token at this position (its EOS is part of it); arrays give arrays."""
        return np.searchsorted(self.document_starts, token, side="right") - 1

    def metadata(self, documents: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """Return id, language, source, licence, origin, digest and text_bytes of the documents with these numbers, in this order.

        Only the row groups that hold them are read.
        """
        wanted = np.asarray(documents, dtype=np.int64)
        path = self.path / DOCUMENTS
        found: dict[int, dict[str, Any]] = {}
        try:
            with pq.ParquetFile(path) as file:
                rows = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                ends = np.cumsum(rows, dtype=np.int64)
                groups = np.searchsorted(ends, wanted, side="right")
                for group in np.unique(groups).tolist():
                    numbers = np.unique(wanted[groups == group])
                    table = file.read_row_group(group).take(pa.array(numbers - (ends[group] - rows[group])))
                    found |= zip(numbers.tolist(), table.to_pylist(), strict=True)
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(f"{path} cannot be read ({error}); {self._fix}") from error
        return [found[number] for number in wanted.tolist()]

    @property
    def _fix(self) -> str:
        return f"delete {self.path.parent.parent} and run again"

    def _check_size(self, name: str, expected: int) -> None:
        path = self.path / name
        found = path.stat().st_size if path.is_file() else None
        if found != expected:
            what = "is missing" if found is None else f"has {found} bytes"
            raise ArtifactError(f"{path} {what}; its index says {expected} bytes; {self._fix}")

    def _file_of(self, token: int) -> int:
        # Bisecting a list: numpy's search costs more for one number than reading the window that it is for.
        return bisect_right(self._file_starts_list, token) - 1

    def _map(self, file: int) -> np.ndarray:
        """Map a file on first use; a plain array, because slices of `np.memmap` cost several times as much."""
        mapped = self._maps[file]
        if mapped is None:
            _make_room()
            _mapped.append((weakref.ref(self), file))
            memory = np.memmap(self.path / self.index.files[file].name, dtype=self._dtype, mode="r")
            self._mmaps[file] = memory._mmap  # type: ignore[attr-defined]
            mapped = self._maps[file] = np.asarray(memory)
        return mapped

    def _unmap(self, file: int) -> None:
        """Let a file go; views of it that are still in use keep it mapped until they are dropped."""
        self._maps[file] = None
        self._mmaps.pop(file, None)

    def _windows(self, count: int) -> np.ndarray:
        """Return all windows of the only file as overlapping rows of a view, so that indexing rows copies whole windows."""
        tokens = self._map(0)
        step = tokens.itemsize
        return np.ndarray((len(tokens) - count + 1, count), tokens.dtype, tokens, 0, (step, step))


def _make_room() -> None:
    """Let go of the files that were mapped first, when half of the descriptors that this process may hold are taken by maps."""
    while len(_mapped) >= max(1, _descriptors() // 2):
        stream, file = _mapped.popleft()
        if (alive := stream()) is not None:
            alive._unmap(file)


def _descriptors() -> int:
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft
