"""Finding equal keys among more rows than fit in memory: each part of the rows is sorted, then all parts are read bucket by bucket.

A bucket holds the keys with the same top bits. Keys are hashes, so buckets are about equally large, except that one key can be in
very many rows; whoever reads a bucket asks for its size first. Parts and buckets are independent tasks that write one file each,
whole or not at all, and are skipped when it is there: work that was cut off goes on where it stopped.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pellucid.core.files import read_json, write_json
from pellucid.core.processes import run_tasks
from pellucid.documents.dedup.arrays import save_array

__all__ = [
    "BucketTask",
    "Part",
    "PartTask",
    "Plan",
    "Run",
    "Slice",
    "bucket_rows",
    "clear",
    "follow",
    "here",
    "open_plan",
    "sort_keys",
]

Task = TypeVar("Task")
Run = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]

_PART_ROWS = 1 << 18
_MOST_BITS = 16
_ALL_BITS = 64


def here(function: Callable[[Task], Any], tasks: Sequence[Task]) -> Iterable[Any]:
    """Run the tasks in this process, in order. `functools.partial(run_tasks, workers=8)` runs them on eight."""
    return run_tasks(function, tasks, 1)


@dataclass(frozen=True)
class Part:
    """Rows `begin` to `end` of one file; `first` is the number of the first among all rows. `keys` and `rows` are what is written:
    keys sorted by band, (bands, n) uint64, and where each was in the part, (bands, n) uint32.
    """

    file: Path
    begin: int
    end: int
    first: int
    keys: Path
    rows: Path


@dataclass(frozen=True)
class Slice:
    """The sorted keys of one bucket in one part, and their rows among all rows, both on disk until they are read."""

    part: Part
    band: int
    begin: int
    end: int

    def keys(self, beside: int = 0) -> NDArray[np.uint64]:
        """Return the keys, ascending, or what was written so many lines beside them."""
        return np.array(np.load(self.part.keys, mmap_mode="r")[self.band + beside, self.begin : self.end])

    def rows(self) -> NDArray[np.int64]:
        """Return the rows of the keys; rows of equal keys ascend."""
        own = np.load(self.part.rows, mmap_mode="r")[self.band, self.begin : self.end]
        return np.asarray(own.astype(np.int64) + self.part.first)


@dataclass(frozen=True)
class Plan:
    """How the rows of some files are cut into parts and their keys into 2**bits buckets; all of it lies in the folder `work`."""

    work: Path
    files: tuple[Path, ...]
    lengths: tuple[int, ...]
    part_rows: int
    bits: int
    budget_bytes: int
    settings: dict[str, Any]

    @property
    def rows(self) -> int:
        """The number of rows of all files."""
        return sum(self.lengths)

    @property
    def result(self) -> Path:
        """Where the result goes: for each row the number of its cluster."""
        return self.work / "clusters.npy"

    def parts(self) -> list[Part]:
        """Return the parts in the order of the rows."""
        found: list[Part] = []
        first = 0
        for file, length in zip(self.files, self.lengths, strict=True):
            for begin in range(0, length, self.part_rows):
                end, name = min(begin + self.part_rows, length), f"{len(found):06d}.npy"
                found.append(Part(file, begin, end, first + begin, self.work / f"keys-{name}", self.work / f"rows-{name}"))
            first += length
        return found

    def slices(self, band: int, bucket: int) -> Iterator[Slice]:
        """Yield what each part has of a bucket, in the order of the rows."""
        for part in self.parts():
            keys = np.load(part.keys, mmap_mode="r")[band]
            begin = int(np.searchsorted(keys, np.uint64(bucket << (_ALL_BITS - self.bits)))) if bucket else 0
            last = bucket + 1 == 1 << self.bits
            end = len(keys) if last else int(np.searchsorted(keys, np.uint64((bucket + 1) << (_ALL_BITS - self.bits))))
            if end > begin:
                yield Slice(part, band, begin, end)

    def part_tasks(self) -> list["PartTask"]:
        """Return the tasks of all parts whose keys are not there yet."""
        return [PartTask(self.work, part) for part in self.parts() if not part.rows.exists()]

    def bucket_tasks(self, bands: int) -> list["BucketTask"]:
        """Return the tasks of all buckets of all bands."""
        return [BucketTask(self.work, band, bucket) for band in range(bands) for bucket in range(1 << self.bits)]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as it is kept in its folder."""
        return {
            "files": [str(file) for file in self.files],
            "lengths": list(self.lengths),
            "part_rows": self.part_rows,
            "bits": self.bits,
            "budget_bytes": self.budget_bytes,
            "settings": self.settings,
        }

    @classmethod
    def read(cls, work: Path) -> "Plan":
        """Return the plan of a folder."""
        value = read_json(work / "plan.json")
        value["files"] = tuple(map(Path, value["files"]))
        value["lengths"] = tuple(value["lengths"])
        return cls(work, **value)


@dataclass(frozen=True)
class PartTask:
    """Sort the keys of one part."""

    work: Path
    part: Part


@dataclass(frozen=True)
class BucketTask:
    """Find the pairs of rows of one bucket of one band; they go to the file `pairs`."""

    work: Path
    band: int
    bucket: int

    @property
    def pairs(self) -> Path:
        """Pairs of rows, int64, one after the other."""
        return self.work / f"pairs-{self.band:04d}-{self.bucket:05d}.bin"


def open_plan(
    work: Path, files: Sequence[Path], lengths: Sequence[int], settings: dict[str, Any], row_bytes: int, budget_bytes: int
) -> Plan:
    """Return the plan for these files, and keep it in `work`; what is there of another plan is deleted.

    `row_bytes` is the memory that sorting takes for each row of a part. Contents of the files are not looked at: a folder serves
    one set of inputs.
    """
    part_rows = min(_PART_ROWS, max(1, budget_bytes // (2 * row_bytes)))
    bits = 0
    while bits < _MOST_BITS and sum(lengths) >> bits > bucket_rows(budget_bytes) // 2:
        bits += 1
    plan = Plan(work, tuple(files), tuple(lengths), part_rows, bits, budget_bytes, settings)
    kept = work / "plan.json"
    earlier = read_json(kept) if kept.exists() else {}
    if earlier != plan.as_json():
        clear(work)
        # The budget changes the way to the result, never the result.
        if any(earlier.get(name) != plan.as_json()[name] for name in ("files", "lengths", "settings")):
            plan.result.unlink(missing_ok=True)
        write_json(kept, plan.as_json())
    return plan


def follow(
    plan: Plan, sort: Callable[[PartTask], Any], find: Callable[[BucketTask], Any], bands: int, run: Run
) -> list[BucketTask]:
    """Run what is missing of the parts, then of the buckets, and return all buckets' tasks, whose pairs are there now."""
    for _ in run(sort, plan.part_tasks()):
        pass
    buckets = plan.bucket_tasks(bands)
    for _ in run(find, [task for task in buckets if not task.pairs.exists()]):
        pass
    return buckets


def bucket_rows(budget_bytes: int) -> int:
    """Return how many rows of a bucket are brought together in memory: half the budget, at about 64 bytes while they are sorted."""
    return max(1, budget_bytes // 128)


def sort_keys(part: Part, keys_BM: NDArray[np.uint64], rows_M: NDArray[np.uint32]) -> None:
    """Write the keys of a part sorted band by band, with their places in the part, which must ascend."""
    order_BM = np.argsort(keys_BM, axis=1, kind="stable")
    save_array(part.keys, np.take_along_axis(keys_BM, order_BM, axis=1))
    # Last, because this file says that the part is done.
    save_array(part.rows, rows_M[order_BM])


def clear(work: Path) -> None:
    """Delete what is only needed on the way to the result."""
    for pattern in ("keys-*.npy", "rows-*.npy", "pairs-*.bin", ".*.part"):
        for file in work.glob(pattern):
            file.unlink(missing_ok=True)
