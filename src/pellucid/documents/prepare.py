"""All sources of a recipe → `documents/SOURCE/{train,heldout}/NNNNN.parquet` and the funnel."""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import orjson

from pellucid.core.files import read_json, writing
from pellucid.core.processes import available_cores, run_tasks
from pellucid.core.progress import progress
from pellucid.documents.decontamination.files import read_benchmarks
from pellucid.documents.decontamination.index import build_index
from pellucid.documents.dedup.buckets import here
from pellucid.documents.document import Dropped
from pellucid.documents.funnel import Funnel, SourceFunnel
from pellucid.documents.pipeline.clean import CleanTask, clean_partition
from pellucid.documents.pipeline.decide import decide
from pellucid.documents.pipeline.finish import FinishTask, finish_partition
from pellucid.documents.pipeline.partition import Partition, find_partitions
from pellucid.documents.reader import check_usable
from pellucid.recipe.data import SourceConfig
from pellucid.recipe.documents import DecontaminateConfig, DocumentsConfig

__all__ = ["CONTAMINATION", "FUNNEL", "SPLITS", "prepare_documents"]

FUNNEL = "funnel.json"
CONTAMINATION = "contamination.json"
SPLITS = ("train", "heldout")
_WORK, _DONE = ".work.part", ".work-done.part"

# Below this, starting processes takes longer than the work; cleaning is some twenty times the work of reading and writing.
_PARALLEL_FROM_BYTES = 64 << 20
_PARALLEL_CLEANING_FROM_BYTES = 4 << 20
_PARALLEL_FROM_DOCUMENTS = 1 << 19


class _PartitionTask(Protocol):
    @property
    def partition(self) -> Partition:
        """What the task works on."""


Task = TypeVar("Task", bound=_PartitionTask)


def prepare_documents(sources: Sequence[SourceConfig], base: Path, config: DocumentsConfig, out: Path, seed: int = 0) -> Funnel:
    """Write every source's documents below `out` as SOURCE/{train,heldout}/*.parquet, and the funnel as funnel.json.

    `out` is empty, or holds what a killed call with the same arguments left: the bytes written do not depend on the engine or the
    number of workers, nor on how often the work was killed. Every pass leaves its partitions' results whole in a hidden folder of
    `out` and does only what is missing; the end takes that folder away. `base` is the folder that the sources' paths are relative
    to. Memory is what one batch and one partition's numbers take, for each worker.

    Raises `DataError` as reading does, and `PellucidError` naming the partitions over which workers died; `funnel.json` is
    written last.
    """
    assert len({source.name for source in sources}) == len(sources), "source names are folders and must differ"
    # Absolute, because other nodes have other working folders.
    base, out = base.absolute(), out.absolute()
    (out / FUNNEL).unlink(missing_ok=True)
    work = out / _WORK  # no source can have this name
    shutil.rmtree(work.with_name(_DONE), ignore_errors=True)
    work.mkdir(parents=True, exist_ok=True)
    partitions = find_partitions(sources, base, config.partition_bytes)
    shared = _Shared(config, sources, sum(partition.bytes for partition in partitions))
    index = _index_benchmarks(config.decontaminate, base, work / "benchmarks") if config.decontaminate else None
    cleaning = [CleanTask(partition, config, base, work, seed, index) for partition in partitions]
    shared.run("documents: reading and cleaning", clean_partition, cleaning, lambda task: task.files.folder)
    accounts = [read_json(task.files.account) for task in cleaning]
    _check_usable(sources, accounts)
    documents = sum(account["funnel"]["read"] for account in accounts)
    decide(partitions, config, work, seed, shared.run_tasks if documents >= _PARALLEL_FROM_DOCUMENTS else here)
    finishing = [FinishTask(partition, config, work, out) for partition in partitions]
    shared.run("documents: writing", finish_partition, finishing, lambda task: task.account)
    funnel = _add_up(sources, accounts, finishing)
    if config.decontaminate is not None:
        _list_hits(cleaning, out / CONTAMINATION)
    funnel.write(out / FUNNEL)
    # In one step, so that a kill leaves either all of it or what nobody will take for results.
    work.rename(work.with_name(_DONE))
    shutil.rmtree(work.with_name(_DONE))
    return funnel


def _list_hits(cleaned: Sequence[CleanTask], path: Path) -> None:
    """Write all partitions' hits as one JSON file, one partition in memory at a time."""
    with writing(path) as file:
        file.write(b'{"hits": [')
        before = b"\n"
        for task in cleaned:
            for hit in read_json(task.files.hits):
                file.write(before + orjson.dumps({"source": task.partition.source.name, **hit}))
                before = b",\n"
        file.write(b"\n]}\n")


def _index_benchmarks(config: DecontaminateConfig, base: Path, folder: Path) -> Path:
    """Make the index of the benchmarks' n-grams once, for all partitions."""
    if not folder.exists():
        items = read_benchmarks(config.benchmarks, base, config.ngram_words)
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        build_index(items, config).save(part)
        part.rename(folder)
    return folder


@dataclass(frozen=True)
class _Shared:
    """How the passes are shared out."""

    config: DocumentsConfig
    sources: Sequence[SourceConfig]
    total_bytes: int

    @property
    def workers(self) -> int:
        cleaned = self.config.clean or self.config.near_dedup or self.config.decontaminate or any(one.clean for one in self.sources)
        least = _PARALLEL_CLEANING_FROM_BYTES if cleaned else _PARALLEL_FROM_BYTES
        if self.config.engine == "local" and self.total_bytes < least:
            return 1
        return self.config.workers or (0 if self.config.engine == "ray" else available_cores())

    def run_tasks(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterable[Any]:
        """Run tasks of any kind as the recipe says."""
        return run_tasks(function, tasks, self.workers, engine=self.config.engine)

    def run(self, title: str, function: Callable[[Task], None], tasks: Sequence[Task], result: Callable[[Task], Path]) -> None:
        """Do the tasks whose results are not there."""
        missing = [task for task in tasks if not result(task).exists()]
        sizes = [task.partition.bytes for task in missing]
        with progress(title, self.total_bytes, "B") as bar:
            if len(missing) < len(tasks):
                bar.resume_at(self.total_bytes - sum(sizes))
            for index, _ in self.run_tasks(function, missing):
                bar.advance(sizes[index])


def _check_usable(sources: Sequence[SourceConfig], accounts: Sequence[dict[str, Any]]) -> None:
    """Refuse a source most of whose records cannot be used: it is not what the recipe says."""
    for source in sources:
        own = [account for account in accounts if account["source"] == source.name]
        first = next((account["first_unusable"] for account in own if account["first_unusable"]), None)
        dropped: dict[str, int] = {}
        for account in own:
            for reason, amount in account["funnel"]["dropped"].items():
                dropped[reason] = dropped.get(reason, 0) + amount["documents"]
        check_usable(source, sum(account["funnel"]["read"] for account in own), dropped, first and Dropped(**first))


def _add_up(sources: Sequence[SourceConfig], accounts: Sequence[dict[str, Any]], finished: Sequence[FinishTask]) -> Funnel:
    funnel = Funnel({source.name: SourceFunnel() for source in sources})
    for account in accounts:
        funnel.sources[account["source"]].add(account["funnel"])
    for task in finished:
        funnel.sources[task.partition.source.name].add(read_json(task.account))
    return funnel
