"""Documents and tokenizer → `shards/`: token files with a document index, specials counted, for each source and split.

Each file of documents is a task of its own, for any number of processes. What a killed build finished stays: a task is done when
its account is there, a split when its index is.
"""

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.processes import available_cores
from pellucid.core.units import format_count
from pellucid.documents.store import split_files
from pellucid.stages.encode import Encoding, SplitTask, encode_splits
from pellucid.stages.stage import Context, Stage

__all__ = ["SHARDS"]

SPLITS = ("train", "heldout")


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
    encoding = Encoding(folder, fingerprint(folder), recipe.shards, recipe.seed)
    splits = [
        SplitTask(
            source=source.name,
            split=split,
            files=tuple(split_files(documents, source.name, split)),
            out=build.path / source.name / split,
            how=encoding,
            # Held-out text is scored as it is.
            fim=source.fim if split == "train" else None,
        )
        for source in recipe.sources
        for split in SPLITS
    ]
    tokens = dict.fromkeys(SPLITS, 0)
    engine, workers = recipe.documents.engine, recipe.documents.workers
    indexes = encode_splits(splits, workers or (0 if engine == "ray" else available_cores()), engine)
    for split, index in zip(splits, indexes, strict=True):
        tokens[split.split] += index.tokens
    build.summary.update(train_tokens=tokens["train"], heldout_tokens=tokens["heldout"])
    return f"{format_count(tokens['train'])} tokens to train on, {format_count(tokens['heldout'])} held out"


SHARDS = Stage("shards", "shards", _key, _build)
