"""Documents and tokenizer → `shards/`: token files with a document index, specials counted, for each source and split.

Each file of documents is a task of its own, for any number of processes. What a killed build finished stays: a task is done when
its account is there, a split when its index is.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.processes import available_cores, run_tasks
from pellucid.core.progress import progress
from pellucid.core.units import format_count
from pellucid.documents.store import iter_documents, split_files
from pellucid.recipe.data import FimConfig, ShardsConfig
from pellucid.shards.coding import Coding
from pellucid.shards.fim import cutter_for
from pellucid.shards.index import ShardIndex, choose_dtype
from pellucid.shards.join import is_joined, join_parts
from pellucid.shards.parts import finished_part
from pellucid.shards.writer import write_part
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import Tokenizer, load_tokenizer

__all__ = ["SHARDS"]

SPLITS = ("train", "heldout")

# Compressed documents: below this, starting processes takes longer than the work.
_PARALLEL_FROM_BYTES = 24 << 20


@dataclass(frozen=True)
class _Split:
    """One split of one source: the files of its documents, and the folder of its shards."""

    source: str
    split: str
    files: tuple[Path, ...]
    out: Path
    how: "_How"
    fim: FimConfig | None


@dataclass(frozen=True)
class _How:
    """What all tasks share. The fingerprint tells a worker that outlives a run from reading one folder's old contents."""

    tokenizer: Path
    fingerprint: str
    config: ShardsConfig
    seed: int


@dataclass(frozen=True)
class _Encode:
    """One file of documents to encode."""

    split: _Split
    file: Path


def _key(context: Context) -> Key:
    recipe = context.recipe
    inputs = {name: fingerprint(context.folder(name)) for name in ("documents", "tokenizer")}
    config = {**recipe.shards.model_dump(mode="json"), "sources": [source.name for source in recipe.sources]}
    fim = {source.name: source.fim.model_dump(mode="json") for source in recipe.sources if source.fim is not None}
    if fim:
        return Key("shards", 2, recipe.seed, {**config, "fim": fim}, inputs)
    return Key("shards", 2, 0, config, inputs)


def _build(context: Context, build: Build) -> str:
    recipe = context.recipe
    documents, folder = context.folder("documents"), context.folder("tokenizer")
    how = _How(folder, fingerprint(folder), recipe.shards, recipe.seed)
    splits = [
        _Split(
            source=source.name,
            split=split,
            files=tuple(split_files(documents, source.name, split)),
            out=build.path / source.name / split,
            how=how,
            # Held-out text is scored as it is.
            fim=source.fim if split == "train" else None,
        )
        for source in recipe.sources
        for split in SPLITS
    ]
    # Tokens that fill-in-the-middle needs are missed before anything is encoded.
    vocab_tokens = max(_coding(split).vocab_tokens for split in splits)
    dtype = choose_dtype(vocab_tokens)
    todo = [_Encode(split, file) for split in splits if not is_joined(split.out) for file in split.files]
    wanted = [task for task in todo if finished_part(task.split.out, task.file.stem, dtype) is None]
    # Large ones first, so that no process is left alone with one at the end.
    wanted.sort(key=lambda task: -task.file.stat().st_size)
    sizes = [task.file.stat().st_size for task in wanted]
    total = sum(file.stat().st_size for split in splits for file in split.files)
    workers = (recipe.documents.workers or available_cores()) if sum(sizes) >= _PARALLEL_FROM_BYTES else 1
    tokens = dict.fromkeys(SPLITS, 0)
    with progress("shards", total, "B") as bar:
        bar.resume_at(total - sum(sizes))
        for number, _ in run_tasks(_encode, wanted, workers):
            bar.advance(sizes[number])
        for number, index in run_tasks(_join, splits, workers):
            tokens[splits[number].split] += index.tokens
    build.summary.update(train_tokens=tokens["train"], heldout_tokens=tokens["heldout"])
    return f"{format_count(tokens['train'])} tokens to train on, {format_count(tokens['heldout'])} held out"


def _encode(task: _Encode) -> int:
    """Write one file's part; return its tokens."""
    split = task.split
    return write_part(iter_documents(task.file), _coding(split), split.how.config, split.out, task.file.stem).tokens


def _join(split: _Split) -> ShardIndex:
    return join_parts(split.out, [file.stem for file in split.files], _coding(split), split.how.config)


def _coding(split: _Split) -> Coding:
    tokenizer = _tokenizer(split.how.tokenizer, split.how.fingerprint)
    cutter = cutter_for(split.fim, split.how.seed, split.source, tokenizer.special) if split.fim is not None else None
    return Coding(tokenizer.encode_batch, tokenizer.eos_id, tokenizer.vocab_tokens, tokenizer.special, cutter)


@cache
def _tokenizer(folder: Path, fingerprint: str) -> Tokenizer:
    return load_tokenizer(folder)


SHARDS = Stage("shards", "shards", _key, _build)
