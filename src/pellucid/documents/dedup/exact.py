"""Rows whose key was seen before: equal texts by their digest, or the same id twice, over all sources, in bounded memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError
from pellucid.core.files import writing
from pellucid.documents.dedup.arrays import Rows, iter_pairs, save_array, whole_array
from pellucid.documents.dedup.buckets import BucketTask, PartTask, Plan, Run, bucket_rows, clear, follow, here, open_plan

__all__ = ["find_repeats"]

_KEY_BYTES = 16
_ROW_BYTES = 120
_ALL = np.dtype([("high", np.uint64), ("low", np.uint64), ("row", np.int64)])


def find_repeats(digest_files: Sequence[Path], work: Path, budget_bytes: int = 1 << 30, run: Run = here) -> Path:
    """Return a .npy file in `work` that gives for every row the first row with the same digest, (N,) int64.

    Files are .npy, (N_i, 16 or more) uint8, the digests of a cryptographic hash: the first 16 bytes count, and are taken to be
    evenly spread. Rows count the files in their order, then the rows of each. `budget_bytes`, `run`, `work` and restarts are as in
    `find_clusters`; on disk, `work` takes 20 bytes per row. Raises `ArtifactError` for files that are no such digests.
    """
    digests = Rows(digest_files, np.uint8)
    if digests.files and digests.width < _KEY_BYTES:
        raise ArtifactError(f"{digests.files[0]} has digests of {digests.width} bytes; must be at least {_KEY_BYTES}")
    plan = open_plan(work, digest_files, np.diff(digests.offsets_N1).tolist(), {"key_bytes": _KEY_BYTES}, _ROW_BYTES, budget_bytes)
    if not plan.result.exists():
        _assign(plan, follow(plan, _sort_part, _find_repeats, 1, run))
    clear(work)
    return plan.result


def _sort_part(task: PartTask) -> int:
    part = task.part
    digests = np.load(part.file, mmap_mode="r")[part.begin : part.end, :_KEY_BYTES]
    # Big-endian, so that numbers sort as the bytes do, on every machine.
    keys_M2 = np.ascontiguousarray(digests).view(">u8").astype(np.uint64)
    order = np.lexsort((keys_M2[:, 1], keys_M2[:, 0]))
    save_array(part.keys, keys_M2[order].T)
    save_array(part.rows, order.astype(np.uint32)[None])
    return len(order)


def _find_repeats(task: BucketTask) -> int:
    """Write (row, first row with this digest) of a bucket. Parts come in the order of the rows, some of them at a time."""
    plan = Plan.read(task.work)
    seen = np.zeros(0, dtype=_ALL)
    waiting: list[NDArray[Any]] = []
    with writing(task.pairs) as out:
        for piece in plan.slices(0, task.bucket):
            own = np.empty(piece.end - piece.begin, dtype=_ALL)
            own["high"], own["low"], own["row"] = piece.keys(), piece.keys(1), piece.rows()
            waiting.append(own)
            if sum(map(len, waiting)) > bucket_rows(plan.budget_bytes) // 2:
                seen, waiting = _first_of_each(seen, waiting, out), []
        _first_of_each(seen, waiting, out)
        return out.tell() // 16


def _first_of_each(seen: NDArray[Any], new: list[NDArray[Any]], out: BinaryIO) -> NDArray[Any]:
    """Write the pairs of the new rows, and return the first row of every digest so far."""
    rows = np.concatenate([seen, *new])
    # Rows of one digest keep their order, and those seen come first.
    rows = rows[np.lexsort((rows["low"], rows["high"]))]
    begins = np.ones(len(rows), dtype=np.bool_)
    begins[1:] = (rows["high"][1:] != rows["high"][:-1]) | (rows["low"][1:] != rows["low"][:-1])
    first = rows["row"][begins][np.cumsum(begins) - 1]
    out.write(np.stack((rows["row"], first), axis=1)[~begins].astype("<i8").tobytes())
    return np.asarray(rows[begins])


def _assign(plan: Plan, buckets: Sequence[BucketTask]) -> None:
    with whole_array(plan.result, plan.rows) as first_N:
        first_N[:] = np.arange(plan.rows)
        for task in buckets:
            for pairs_E2 in iter_pairs(task.pairs):
                first_N[pairs_E2[:, 0]] = pairs_E2[:, 1]
