"""Second pass, all documents together: duplicates, repeated ids, and the subset of a source that the recipe asks for.

Nothing here reads a text. Documents are numbered through all partitions, in the order of recipe, files and records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import mix
from pellucid.core.seeds import derive_seed
from pellucid.documents.dedup.arrays import array_shape
from pellucid.documents.dedup.buckets import Run
from pellucid.documents.dedup.choose import choose
from pellucid.documents.dedup.clusters import find_clusters
from pellucid.documents.dedup.exact import find_repeats
from pellucid.documents.pipeline.clean import CleanedFiles
from pellucid.documents.pipeline.partition import Partition
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.documents import DocumentsConfig, SelectConfig

__all__ = ["REASONS", "Decisions", "decide"]

REASONS = ("", "exact duplicate", "near-duplicate", "not selected")
_EXACT, _NEAR, _NOT_SELECTED = 1, 2, 3
Paths: TypeAlias = tuple[Path, ...]


@dataclass(frozen=True, eq=False)
class Decisions:
    """What becomes of the N documents of a partition.

    `reason_N` numbers REASONS, 0 for those that stay; `instead_N16` is the first half of the sha256 of the text that is kept in a
    duplicate's place, zeros for others; `renamed_N` says whose id an earlier document of the source has.
    """

    reason_N: NDArray[np.uint8]
    instead_N16: NDArray[np.uint8]
    renamed_N: NDArray[np.bool_]

    @staticmethod
    def path(work: Path, partition: Partition) -> Path:
        """Where a partition's decisions lie."""
        return work / "decided" / f"{partition.name}.npz"

    @staticmethod
    def load(work: Path, partition: Partition) -> "Decisions":
        """Read what `decide` wrote."""
        with np.load(Decisions.path(work, partition)) as arrays:
            return Decisions(arrays["reason_N"], arrays["instead_N16"], arrays["renamed_N"])


def decide(partitions: Sequence[Partition], config: DocumentsConfig, work: Path, seed: int, run: Run) -> None:
    """Write the decisions about every partition that the first pass has cleaned; `run` runs independent tasks.

    What a source's subset leaves out keeps no copy in another source from staying. Memory: some 25 bytes per document of a source
    that is selected from, beside what the search for duplicates takes.
    """
    files = [CleanedFiles(work / "cleaned" / partition.name) for partition in partitions]
    search = _Search(files, config, work / "dedup", run)
    renamed = search.repeated_ids()
    exact, near = search.duplicates("all", None)
    left_out = _leave_out(partitions, files, exact, near, work / "dedup", seed)
    if left_out is not None:
        within, near_within = exact, near
        exact, near = search.duplicates("selected", left_out)
    digests = _Column([one.digests for one in files])
    stays = None if left_out is None else _Column(left_out)
    for partition in partitions:
        number = partition.number
        reason_N, instead_N = _reasons(number, files, exact, near)
        if left_out is not None and stays is not None:
            out_N = np.load(left_out[number]) >= 0
            earlier_N, copy_N = _reasons(number, files, within, near_within)
            # A copy of what stays is a duplicate; a copy of what is left out, or that itself, was not selected.
            known_N = out_N & (copy_N >= 0) & (stays.of(copy_N) < 0)
            reason_N = np.where(out_N, np.where(known_N, earlier_N, _NOT_SELECTED), reason_N).astype(np.uint8)
            instead_N = np.where(out_N, np.where(known_N, copy_N, -1), instead_N)
        path = Decisions.path(work, partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        repeated_N = np.load(renamed[number]) >= 0
        np.savez(path, reason_N=reason_N, instead_N16=digests.of(instead_N), renamed_N=repeated_N)


@dataclass(frozen=True)
class _Search:
    """The search for duplicates over all partitions: groups are found once, who stays is chosen as often as it is asked."""

    files: Sequence[CleanedFiles]
    config: DocumentsConfig
    folder: Path
    run: Run

    @property
    def sizes(self) -> list[Path]:
        return [one.sizes for one in self.files]

    def repeated_ids(self) -> Paths:
        """Find the documents whose id an earlier document of their source has."""
        repeated = find_repeats([one.ids for one in self.files], self.folder / "ids", run=self.run)
        return choose(repeated, self.sizes, "first", self.folder / "ids").files

    def duplicates(self, name: str, left_out: Paths | None) -> tuple[Paths | None, Paths | None]:
        """Return who goes as an exact and as a near duplicate, as `choose` does; what is left out counts for nothing."""
        gone = [] if left_out is None else [left_out]
        exact: Paths | None = None
        near: Paths | None = None
        if self.config.exact_dedup:
            folder = self.folder / "exact"
            found = find_repeats([one.digests for one in self.files], folder, run=self.run)
            exact = choose(found, self.sizes, "first", _made(folder / name), gone=gone).files
            gone = [*gone, exact]
        if self.config.near_dedup is not None:
            folder = self.folder / "near"
            found = find_clusters([one.signatures for one in self.files], self.config.near_dedup, folder, run=self.run)
            near = choose(found, self.sizes, self.config.keep_copy, _made(folder / name), gone=gone).files
        return exact, near


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _reasons(
    number: int, files: Sequence[CleanedFiles], exact: Paths | None, near: Paths | None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return a partition's reasons (N) and the documents kept instead (N, -1 for none)."""
    size = array_shape(files[number].sizes)[0]
    reason_N, instead_N = np.zeros(size, dtype=np.uint8), np.full(size, -1, dtype=np.int64)
    for code, rows in ((_NEAR, near), (_EXACT, exact)):
        if rows is not None:
            found_N = np.load(rows[number])
            reason_N[found_N >= 0] = code
            instead_N = np.where(found_N >= 0, found_N, instead_N)
    return reason_N, instead_N


def _leave_out(
    partitions: Sequence[Partition],
    files: Sequence[CleanedFiles],
    exact: Paths | None,
    near: Paths | None,
    folder: Path,
    seed: int,
) -> Paths | None:
    """Write which documents the subset of their source leaves out, its duplicates too (N; -1: stays); None without subsets."""
    if all(partition.source.select is None for partition in partitions):
        return None
    paths = tuple(folder / f"left-out-{partition.name}.npy" for partition in partitions)
    by_source: dict[str, list[Partition]] = {}
    for partition in partitions:
        by_source.setdefault(partition.source.name, []).append(partition)
    for own in by_source.values():
        select = own[0].source.select
        duplicates = [_reasons(partition.number, files, exact, near)[0] for partition in own]
        out = [np.zeros(len(one), dtype=bool) for one in duplicates]
        if select is not None:
            selected = _select(own[0].source, select, [files[partition.number] for partition in own], duplicates, seed)
            out = [~one for one in selected]
        for partition, out_N in zip(own, out, strict=True):
            np.save(paths[partition.number], np.where(out_N, 0, -1).astype(np.int64))
    return paths


def _select(
    source: SourceConfig, select: SelectConfig, files: Sequence[CleanedFiles], duplicates: Sequence[NDArray[np.uint8]], seed: int
) -> list[NDArray[np.bool_]]:
    """Return which documents of each partition are in the source's subset: lowest scores first, until the next no longer fits.

    A random subset orders documents by a hash of their digest, so that more text in the source moves few of them in or out.
    """
    sizes_M = np.concatenate([np.load(one.sizes) for one in files])
    if select.by == "perplexity":
        rank_M = np.concatenate([np.load(one.scores) for one in files])
    else:
        first_M = np.concatenate([np.load(one.digests)[:, :8].copy().view("<u8")[:, 0] for one in files])
        rank_M = mix(first_M ^ np.uint64(derive_seed(seed, "select", source.name)))
    left_M = np.concatenate(duplicates) == 0
    order = np.flatnonzero(left_M)[np.argsort(rank_M[left_M], kind="stable")]
    fits = np.ones(len(order), dtype=bool)
    if select.documents is not None:
        fits[select.documents :] = False
    if select.bytes is not None:
        fits &= np.cumsum(sizes_M[order]) <= select.bytes
    selected_M = np.zeros(len(sizes_M), dtype=bool)
    selected_M[order[fits]] = True
    return np.split(selected_M, np.cumsum([len(one) for one in duplicates])[:-1])


class _Column:
    """What each document has, by its number over all partitions, from memory-mapped files of a row per document."""

    def __init__(self, files: Sequence[Path]) -> None:
        counts = [array_shape(file)[0] for file in files]
        self._starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))
        # Copies of a partition's documents can be anywhere, so files are opened again and again.
        self._open = lru_cache(maxsize=256)(lambda number: np.load(files[number], mmap_mode="r"))
        self._like = np.load(files[0], mmap_mode="r")[:0] if files else np.zeros(0)

    def of(self, row_N: NDArray[np.int64]) -> NDArray[Any]:
        """Return the rows of these documents, zeros where the number is -1."""
        out = np.zeros((len(row_N), *self._like.shape[1:]), dtype=self._like.dtype)
        partition_N = np.where(row_N >= 0, np.searchsorted(self._starts, row_N, side="right") - 1, -1)
        for partition in np.unique(partition_N[partition_N >= 0]).tolist():
            mask_N = partition_N == partition
            out[mask_N] = self._open(partition)[row_N[mask_N] - self._starts[partition]]
        return out
