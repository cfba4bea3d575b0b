"""All sources of a recipe → `documents/SOURCE/{train,heldout}/NNNNN.parquet` and the funnel."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pellucid.core.processes import available_cores, run_tasks
from pellucid.core.progress import progress
from pellucid.core.seeds import heldout
from pellucid.documents.document import Dropped
from pellucid.documents.funnel import Funnel, SourceFunnel
from pellucid.documents.pieces import find_pieces
from pellucid.documents.reader import read_source
from pellucid.documents.store import DocumentWriter, iter_documents
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.documents import DocumentsConfig

__all__ = ["FUNNEL", "SPLITS", "prepare_documents"]

FUNNEL = "funnel.json"
SPLITS = ("train", "heldout")
DUPLICATE = "exact duplicate"

# Below this, starting processes takes longer than the work.
_PARALLEL_FROM_BYTES = 64 << 20


@dataclass(frozen=True)
class _Prepare:
    """One source to read, filter, dedup within itself, split and write."""

    source: SourceConfig
    config: DocumentsConfig
    base: Path
    folder: Path


@dataclass(frozen=True)
class _Thin:
    """One written source from which the documents that an earlier source has are to be taken out."""

    folder: Path
    funnel: SourceFunnel
    repeated: frozenset[bytes]


def prepare_documents(sources: Sequence[SourceConfig], base: Path, config: DocumentsConfig, out: Path) -> Funnel:
    """Write every source's documents below `out` as SOURCE/{train,heldout}/*.parquet, and the funnel as funnel.json.

    The bytes written do not depend on the number of workers: each source is a task of its own, and of equal texts the first in the
    order of recipe, files and records stays. `base` is the folder that the sources' paths are relative to. Memory is a few row
    groups per worker and some 100 bytes per document for digests and ids. What an earlier call left in `out` is replaced.

    Raises `DataError` as `read_source` does; `funnel.json` is written last.
    """
    assert len({source.name for source in sources}) == len(sources), "source names are folders and must differ"
    (out / FUNNEL).unlink(missing_ok=True)
    sizes = [sum(piece.bytes for piece in find_pieces(source, base, 2**62)) for source in sources]
    cores = config.workers or available_cores()
    workers = cores if sum(sizes) >= _PARALLEL_FROM_BYTES else 1
    tasks = [_Prepare(source, config, base, out / source.name) for source in sources]
    funnels: dict[int, SourceFunnel] = {}
    with progress("documents", sum(sizes), "B") as bar:
        for index, funnel in run_tasks(_prepare, tasks, workers):
            funnels[index] = funnel
            bar.advance(sizes[index])
    if config.exact_dedup:
        _dedup_across(tasks, funnels, workers)
    result = Funnel({task.source.name: funnels[index] for index, task in enumerate(tasks)})
    result.write(out / FUNNEL)
    return result


def _prepare(task: _Prepare) -> SourceFunnel:
    shutil.rmtree(task.folder, ignore_errors=True)
    funnel = SourceFunnel()
    seen: set[bytes] = set()
    config = task.config
    with (
        DocumentWriter(task.folder / "train/00000.parquet") as train,
        DocumentWriter(task.folder / "heldout/00000.parquet") as held,
    ):
        for item in read_source(task.source, task.base, config.max_bytes):
            if isinstance(item, Dropped):
                funnel.drop(item)
                continue
            size = len(item.text.encode())
            digest = bytes.fromhex(item.digest)
            if size < config.min_bytes:
                funnel.drop(Dropped("shorter than min_bytes", size, item.id))
            elif digest in seen:
                funnel.drop(Dropped(DUPLICATE, size, item.id))
            else:
                if config.exact_dedup:
                    seen.add(digest)
                split = "heldout" if heldout(item.digest, config.heldout_frac) else "train"
                (held if split == "heldout" else train).write(item)
                funnel.keep(item, size, split)
    return funnel


def _dedup_across(tasks: Sequence[_Prepare], funnels: dict[int, SourceFunnel], workers: int) -> None:
    """Take out of each source what an earlier source has. The digests are read back from what was written, a small column."""
    seen: set[bytes] = set()
    thin: dict[int, _Thin] = {}
    for index, task in enumerate(tasks):
        own = [digest for split in SPLITS for digest in _digests(task.folder / split / "00000.parquet")]
        repeated = frozenset(seen.intersection(own))
        if repeated:
            thin[index] = _Thin(task.folder, funnels[index], repeated)
        seen.update(own)
    indices = list(thin)
    for position, funnel in run_tasks(_thin, list(thin.values()), workers):
        funnels[indices[position]] = funnel


def _digests(path: Path) -> Iterable[bytes]:
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["digest"]):
            yield from map(bytes.fromhex, batch.column(0).to_pylist())


def _thin(task: _Thin) -> SourceFunnel:
    for split in SPLITS:
        path, part = task.folder / split / "00000.parquet", task.folder / f".{split}.parquet.part"
        with DocumentWriter(part) as writer:
            for document in iter_documents(path):
                if bytes.fromhex(document.digest) in task.repeated:
                    task.funnel.drop_kept(document.language, len(document.text.encode()), split, DUPLICATE)
                else:
                    writer.write(document)
        part.replace(path)
    return task.funnel
