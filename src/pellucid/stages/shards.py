"""Documents and tokenizer → `shards/`: token files with a document index, specials counted, for each source and split."""

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.progress import progress
from pellucid.core.units import format_count
from pellucid.documents.store import iter_split, split_files
from pellucid.shards.writer import write_shards
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.tokenizer import load_tokenizer

__all__ = ["SHARDS"]


def _key(context: Context) -> Key:
    inputs = {name: fingerprint(context.folder(name)) for name in ("documents", "tokenizer")}
    names = [source.name for source in context.recipe.sources]
    return Key("shards", 1, 0, {**context.recipe.shards.model_dump(mode="json"), "sources": names}, inputs)


def _build(context: Context, build: Build) -> str:
    documents = context.folder("documents")
    tokenizer = load_tokenizer(context.folder("tokenizer"))
    splits = [(source.name, split) for source in context.recipe.sources for split in ("train", "heldout")]
    sizes = {(n, s): sum(file.stat().st_size for file in split_files(documents, n, s)) for n, s in splits}
    tokens = dict.fromkeys(("train", "heldout"), 0)
    with progress("shards", sum(sizes.values()), "B") as bar:
        for name, split in splits:
            index = write_shards(
                iter_split(documents, name, split),
                tokenizer.encode_batch,
                eos_id=tokenizer.eos_id,
                vocab_tokens=tokenizer.vocab_tokens,
                special_ids=tokenizer.special,
                config=context.recipe.shards,
                out=build.path / name / split,
            )
            tokens[split] += index.tokens
            bar.advance(sizes[name, split])
    build.summary.update(train_tokens=tokens["train"], heldout_tokens=tokens["heldout"])
    return f"{format_count(tokens['train'])} tokens to train on, {format_count(tokens['heldout'])} held out"


SHARDS = Stage("shards", "shards", _key, _build)
