"""Rows of parquet files that stand in a row, by their number: only the row groups that hold them are read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import ArtifactError

__all__ = ["count_rows", "count_values", "iter_columns", "read_rows"]


def count_rows(files: Iterable[Path]) -> int:
    """Return the number of rows of all files together, from their footers."""
    rows = 0
    for path in files:
        with _opened(path) as file:
            rows += file.metadata.num_rows
    return rows


def read_rows(files: Iterable[Path], numbers: Sequence[int], columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows with these numbers, in the order asked for; all files together count from 0.

    One row group is in memory at a time. Raises `ArtifactError` when a file is missing or damaged, `IndexError` for a number
    that no row has.
    """
    wanted = np.unique(np.asarray(numbers, dtype=np.int64))
    found: dict[int, dict[str, Any]] = {}
    first = 0
    for path in files:
        with _opened(path) as file:
            for group in range(file.num_row_groups):
                end = first + file.metadata.row_group(group).num_rows
                here = wanted[np.searchsorted(wanted, first) : np.searchsorted(wanted, end)]
                if len(here):
                    table = file.read_row_group(group, columns=columns and list(columns), use_threads=False)
                    found |= zip(here.tolist(), table.take(pa.array(here - first)).to_pylist(), strict=True)
                first = end
    missing = [int(number) for number in numbers if int(number) not in found]
    if missing:
        raise IndexError(f"row {missing[0]} does not exist; there are {first}")
    return [found[int(number)] for number in numbers]


def count_values(files: Iterable[Path], column: str) -> Counter[str]:
    """Return how often each value stands in a column of text; the column is read in pieces of bounded size."""
    counts: Counter[str] = Counter()
    for path in files:
        with _opened(path) as file:
            for batch in file.iter_batches(columns=[column], use_threads=False):
                for pair in batch.column(0).value_counts().to_pylist():
                    counts[pair["values"] or ""] += pair["counts"]
    return counts


def iter_columns(files: Iterable[Path], columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Yield the values of these columns row by row; other columns are not read."""
    for path in files:
        with _opened(path) as file:
            for batch in file.iter_batches(columns=list(columns), use_threads=False):
                yield from zip(*(batch.column(name).to_pylist() for name in columns), strict=True)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); delete the folder that holds it and run again") from error
