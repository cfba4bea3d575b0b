"""Second pass, all documents together: duplicates, repeated ids, and the subset of a source that the recipe asks for.

Nothing here reads a text. Documents are numbered through all partitions, in the order of recipe, files and records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import mix
from pellucid.core.seeds import derive_seed
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

    Memory: some 25 bytes per document of a source, beside what the search for duplicates takes.
    """
    files = [CleanedFiles(work / "cleaned" / partition.name) for partition in partitions]
    sizes, dedup = [one.sizes for one in files], work / "dedup"
    repeated = find_repeats([one.ids for one in files], dedup / "ids", run=run)
    renamed = choose(repeated, sizes, "first", dedup / "ids").files
    exact: tuple[Path, ...] | None = None
    near: tuple[Path, ...] | None = None
    if config.exact_dedup:
        clusters = find_repeats([one.digests for one in files], dedup / "exact", run=run)
        exact = choose(clusters, sizes, "first", dedup / "exact").files
    if config.near_dedup is not None:
        clusters = find_clusters([one.signatures for one in files], config.near_dedup, dedup / "near", run=run)
        near = choose(clusters, sizes, config.keep_copy, dedup / "near", gone=[exact] if exact else []).files
    digests = _Digests(files)
    for source in dict.fromkeys(partition.source.name for partition in partitions):
        own = [partition for partition in partitions if partition.source.name == source]
        reasons, kept_instead = [], []
        for partition in own:
            size = len(np.load(files[partition.number].sizes, mmap_mode="r"))
            reason_N, instead_N = np.zeros(size, dtype=np.uint8), np.full(size, -1, dtype=np.int64)
            for code, rows in ((_NEAR, near), (_EXACT, exact)):
                if rows is not None:
                    found_N = np.load(rows[partition.number])
                    reason_N[found_N >= 0] = code
                    instead_N = np.where(found_N >= 0, found_N, instead_N)
            reasons.append(reason_N)
            kept_instead.append(digests.of(instead_N))
        if own[0].source.select is not None:
            _select(own[0].source, own[0].source.select, [files[partition.number] for partition in own], reasons, seed)
        for partition, reason_N, instead_N16 in zip(own, reasons, kept_instead, strict=True):
            path = Decisions.path(work, partition)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, reason_N=reason_N, instead_N16=instead_N16, renamed_N=np.load(renamed[partition.number]) >= 0)


def _select(
    source: SourceConfig, select: SelectConfig, files: Sequence[CleanedFiles], reasons: Sequence[NDArray[np.uint8]], seed: int
) -> None:
    """Mark what the source's subset leaves out: all from the first document on that no longer fits, lowest scores first.

    A random subset orders documents by a hash of their digest, so that more text in the source moves few of them in or out.
    """
    sizes_M = np.concatenate([np.load(one.sizes) for one in files])
    if select.by == "perplexity":
        rank_M = np.concatenate([np.load(one.scores) for one in files])
    else:
        first_M = np.concatenate([np.load(one.digests)[:, :8].copy().view("<u8")[:, 0] for one in files])
        rank_M = mix(first_M ^ np.uint64(derive_seed(seed, "select", source.name)))
    left_M = np.concatenate(reasons) == 0
    order = np.flatnonzero(left_M)[np.argsort(rank_M[left_M], kind="stable")]
    fits = np.ones(len(order), dtype=bool)
    if select.documents is not None:
        fits[select.documents :] = False
    if select.bytes is not None:
        fits &= np.cumsum(sizes_M[order]) <= select.bytes
    out_M = np.zeros(len(sizes_M), dtype=bool)
    out_M[order[~fits]] = True
    for reason_N, out_N in zip(reasons, np.split(out_M, np.cumsum([len(one) for one in reasons])[:-1]), strict=True):
        reason_N[out_N] = _NOT_SELECTED


class _Digests:
    """Digests of documents by their number over all partitions, from memory-mapped files."""

    def __init__(self, files: Sequence[CleanedFiles]) -> None:
        self._files = files
        counts = [len(np.load(one.digests, mmap_mode="r")) for one in files]
        self._starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))

    def of(self, row_N: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the digests (N, 16) of these documents, zeros where the number is -1."""
        out = np.zeros((len(row_N), 16), dtype=np.uint8)
        partition_N = np.where(row_N >= 0, np.searchsorted(self._starts, row_N, side="right") - 1, -1)
        for partition in np.unique(partition_N[partition_N >= 0]).tolist():
            mask_N = partition_N == partition
            out[mask_N] = np.load(self._files[partition].digests, mmap_mode="r")[row_N[mask_N] - self._starts[partition]]
        return out
