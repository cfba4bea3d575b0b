"""The tasks of the shards stage: one file of documents to encode, one split to join. They are sent to other processes.

Apart from the stage itself, so that those processes need not import what only training needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

from pellucid.core.processes import Engine, run_tasks
from pellucid.core.progress import progress
from pellucid.documents.store import iter_documents
from pellucid.recipe.data import FimConfig, ShardsConfig
from pellucid.shards.coding import Coding
from pellucid.shards.fim import check_parts, cutter_for
from pellucid.shards.index import ShardIndex, choose_dtype
from pellucid.shards.join import is_joined, join_parts
from pellucid.shards.parts import finished_part
from pellucid.shards.writer import write_part
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["Encoding", "FileTask", "SplitTask", "encode_file", "encode_splits", "join_split"]

# Compressed documents: below this, starting processes takes longer than the work.
_PARALLEL_FROM_BYTES = 24 << 20


@dataclass(frozen=True)
class Encoding:
    """What all tasks share. The fingerprint tells a worker that outlives a run from reading one folder's old contents."""

    tokenizer: Path
    fingerprint: str
    config: ShardsConfig
    seed: int


@dataclass(frozen=True)
class SplitTask:
    """One split of one source: the files of its documents, and the folder of its shards."""

    source: str
    split: str
    files: tuple[Path, ...]
    out: Path
    how: Encoding
    fim: FimConfig | None


@dataclass(frozen=True)
class FileTask:
    """One file of documents to encode, on so many threads."""

    split: SplitTask
    file: Path
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.split.source}/{self.split.split}/{self.file.name}"


def encode_splits(splits: Sequence[SplitTask], workers: int, engine: Engine = "local") -> list[ShardIndex]:
    """Write what is missing of the splits and return their indexes, in order; the bytes do not depend on `workers`.

    Raises `UsageError` where a source is cut for fill-in-the-middle and the vocabulary is not fit for it, before anything is
    written; `DataError` for tokens that cannot be right.
    """
    for split in splits:
        if split.fim is not None:
            tokenizer = _tokenizer(split.how.tokenizer, split.how.fingerprint)
            cutter_for(split.fim, split.how.seed, split.source, tokenizer.special)
            check_parts(split.source, tokenizer.encode_batch, tokenizer.decode_bytes)
    dtype = choose_dtype(max((coding_of(split).vocab_tokens for split in splits), default=0))
    todo = [FileTask(split, file) for split in splits if not is_joined(split.out) for file in split.files]
    wanted = [task for task in todo if finished_part(task.split.out, task.file.stem, dtype) is None]
    # Large ones first, so that no process is left alone with one at the end.
    wanted.sort(key=lambda task: -task.file.stat().st_size)
    sizes = [task.file.stat().st_size for task in wanted]
    total = sum(file.stat().st_size for split in splits for file in split.files)
    if engine == "local" and sum(sizes) < _PARALLEL_FROM_BYTES:
        wanted = [replace(task, threads=workers) for task in wanted]
        workers = 1
    with progress("shards", total, "B") as bar:
        bar.resume_at(total - sum(sizes))
        for number, _ in run_tasks(encode_file, wanted, workers, engine=engine):
            bar.advance(sizes[number])
        indexes = dict(run_tasks(join_split, splits, workers, engine=engine))
    return [indexes[number] for number in range(len(splits))]


def encode_file(task: FileTask) -> int:
    """Write one file's part; return its tokens."""
    split = task.split
    return write_part(iter_documents(task.file), coding_of(split, task.threads), split.how.config, split.out, task.file.stem).tokens


def join_split(split: SplitTask) -> ShardIndex:
    """Make one split of its finished parts; return its index."""
    return join_parts(split.out, [file.stem for file in split.files], coding_of(split), split.how.config)


def coding_of(split: SplitTask, threads: int = 1) -> Coding:
    """Return how a split's documents become tokens; the tokenizer is read once per process."""
    tokenizer = _tokenizer(split.how.tokenizer, split.how.fingerprint)
    cutter = cutter_for(split.fim, split.how.seed, split.source, tokenizer.special) if split.fim is not None else None
    return Coding(
        partial(tokenizer.encode_batch, threads=threads), tokenizer.eos_id, tokenizer.vocab_tokens, tokenizer.special, cutter
    )


@cache
def _tokenizer(folder: Path, fingerprint: str) -> Tokenizer:
    return load_tokenizer(folder)
