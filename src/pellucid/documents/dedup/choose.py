"""Which member of each cluster stays, and for whose sake the others go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError
from pellucid.documents.dedup.arrays import array_shape, save_array, scratch_array

__all__ = ["Drops", "choose"]


@dataclass(frozen=True)
class Drops:
    """What `choose` decided: a file per file of sizes, and how many rows are dropped.

    A file is .npy, (N_i,) int64: -1 for a row that is not dropped here, else the row, of all rows, that is kept instead.
    """

    files: tuple[Path, ...]
    dropped: int


def choose(
    clusters: Path,
    size_files: Sequence[Path],
    keep: Literal["first", "longest"],
    folder: Path,
    gone: Sequence[Sequence[Path]] = (),
) -> Drops:
    """Keep one row of each cluster and drop the others; write who goes as `drops-NNNNN.npy` in `folder`.

    `clusters` gives for each row the number of its cluster, which is a row of it (`find_clusters`, `find_repeats`). `size_files`
    are .npy, (N_i,) int64, the bytes of each text, in the order of the rows. `first` keeps the first row, `longest` the one with
    the most bytes, of equals the first. `gone` are files of earlier drops: what was dropped there is neither kept nor dropped
    again, so a cluster always keeps a member that is really there. On disk, 16 bytes per row while it works; memory: a file at a
    time.
    Raises `ArtifactError` where the numbers of rows differ.
    """
    lengths = [array_shape(file)[0] for file in size_files]
    cluster_N = np.load(clusters, mmap_mode="r")
    if len(cluster_N) != sum(lengths):
        raise ArtifactError(f"{clusters} has {len(cluster_N)} rows; the files of sizes have {sum(lengths)}")
    files = tuple(folder / f"drops-{index:05d}.npy" for index in range(len(lengths)))
    dropped = 0
    with scratch_array(folder / "best-size", len(cluster_N)) as size_N, scratch_array(folder / "best-row", len(cluster_N)) as row_N:
        size_N[:] = -1
        row_N[:] = -1
        end = 0
        for index, length in enumerate(lengths):
            begin, end = end, end + length
            sizes = _sizes(index, size_files, gone)
            _improve(size_N, row_N, cluster_N[begin:end], np.where(sizes < 0, -1, 0) if keep == "first" else sizes, begin)
        end = 0
        for index, length in enumerate(lengths):
            begin, end = end, end + length
            kept = row_N[cluster_N[begin:end]]
            stays = (kept == np.arange(begin, end)) | (_sizes(index, size_files, gone) < 0)
            save_array(files[index], np.where(stays, -1, kept))
            dropped += length - int(stays.sum())
    return Drops(files, dropped)


def _sizes(index: int, size_files: Sequence[Path], gone: Sequence[Sequence[Path]]) -> NDArray[np.int64]:
    """Return the sizes of one file's texts, -1 where a row is gone already."""
    sizes: NDArray[np.int64] = np.load(size_files[index]).astype(np.int64)
    for files in gone:
        earlier = np.load(files[index])
        if earlier.shape != sizes.shape:
            raise ArtifactError(f"{files[index]} has {len(earlier)} rows; {size_files[index]} has {len(sizes)}")
        sizes[earlier >= 0] = -1
    return sizes


def _improve(
    size_N: NDArray[np.int64], row_N: NDArray[np.int64], cluster_M: NDArray[np.int64], size_M: NDArray[np.int64], begin: int
) -> None:
    """Take the largest of a file's rows in each cluster where it is larger than the best so far; of equals the first."""
    order = np.lexsort((-size_M, cluster_M))
    cluster, size = cluster_M[order], size_M[order]
    best = np.flatnonzero(np.append(True, cluster[1:] != cluster[:-1])[: len(cluster)])
    cluster, size, row = cluster[best], size[best], order[best] + begin
    better = size > size_N[cluster]
    size_N[cluster[better]] = size[better]
    row_N[cluster[better]] = row[better]
