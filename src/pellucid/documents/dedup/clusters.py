"""Clusters of near-duplicates over all sources, from signatures on disk, in memory that does not grow with the documents.

1. Each part of the signatures gives a key per band and document, sorted (`buckets.py`).
2. Each bucket of each band gives the pairs that agree there and are near enough by their whole signatures (`pairs.py`).
3. All pairs are united (`forest.py`), in a file of 8 bytes per document.

Clusters are transitive: A and C may be in one through B although they have less in common. Each member is near enough to some other
member, and one member of the cluster is kept, so a long chain of versions leaves one version. This is the usual reading
(Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better", section 4.2).
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pellucid.core.errors import ArtifactError
from pellucid.core.files import writing
from pellucid.core.hashing import GOLDEN, mix
from pellucid.documents.dedup.arrays import Rows, iter_pairs, whole_array
from pellucid.documents.dedup.buckets import BucketTask, PartTask, Plan, Run, clear, follow, here, open_plan, sort_keys
from pellucid.documents.dedup.forest import flatten, join
from pellucid.documents.dedup.minhash import has_words, least_equal
from pellucid.documents.dedup.pairs import Verifier, centre_pairs, group_pairs, read_bucket
from pellucid.recipe.documents import NearDedupConfig

__all__ = ["find_clusters"]


def find_clusters(
    signature_files: Sequence[Path], config: NearDedupConfig, work: Path, budget_bytes: int = 1 << 30, run: Run = here
) -> Path:
    """Return a .npy file in `work` that gives for every document the smallest row of its cluster, (N,) int64.

    A document's row counts the files in their order, then the rows of each. Files are what `signatures` returns, (N_i, P) uint32.
    The result depends on nothing else: not on the budget, the processes, or on how documents are cut into files.

    `budget_bytes` is about the memory of one task beside the interpreter's 60 MB; `run` runs independent tasks, for example
    `functools.partial(run_tasks, workers=8)`. On disk, `work` takes 12 bytes per band and document until the result is there. What
    was cut off goes on at the next call with the same arguments. Raises `ArtifactError` for files that are no such signatures.
    """
    signatures = Rows(signature_files, np.uint32)
    if signatures.files and signatures.width != config.permutations:
        raise ArtifactError(
            f"{signatures.files[0]} has signatures of {signatures.width} minima; must be permutations = {config.permutations}: "
            "delete it and run again"
        )
    lengths = np.diff(signatures.offsets_N1).tolist()
    row_bytes = 8 * config.permutations + 40 * config.bands
    plan = open_plan(work, signature_files, lengths, config.model_dump(mode="json"), row_bytes, budget_bytes)
    if not plan.result.exists():
        _unite(plan, follow(plan, _sort_part, _find_pairs, config.bands, run))
    clear(work)
    return plan.result


def _sort_part(task: PartTask) -> int:
    part, config = task.part, NearDedupConfig.model_validate(Plan.read(task.work).settings)
    minima_MP = np.load(part.file, mmap_mode="r")[part.begin : part.end]
    rows_M = np.flatnonzero(has_words(minima_MP)).astype(np.uint32)
    keys_BM = np.zeros((config.bands, len(rows_M)), dtype=np.uint64)
    for column in range(config.bands * config.band_minima):
        band = column // config.band_minima
        keys_BM[band] = keys_BM[band] * GOLDEN + minima_MP[rows_M, column]
    sort_keys(part, mix(keys_BM), rows_M)
    return len(rows_M)


def _find_pairs(task: BucketTask) -> int:
    plan = Plan.read(task.work)
    least = least_equal(NearDedupConfig.model_validate(plan.settings))
    with writing(task.pairs) as out:
        verifier = Verifier(Rows(plan.files, np.uint32), least, plan.budget_bytes, out)
        keys, rows, large = read_bucket(plan, task.band, task.bucket)
        group_pairs(keys, rows, verifier)
        for pieces in large:
            centre_pairs(pieces, verifier)
        return out.tell() // 16


def _unite(plan: Plan, buckets: Sequence[BucketTask]) -> None:
    with whole_array(plan.result, plan.rows) as parent_N:
        parent_N[:] = np.arange(plan.rows)
        for task in buckets:
            for pairs_E2 in iter_pairs(task.pairs):
                join(parent_N, pairs_E2)
        flatten(parent_N)
