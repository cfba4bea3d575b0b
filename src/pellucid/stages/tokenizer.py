"""Documents → `tokenizer/`: a vocabulary trained on what is trained on, or Arcade100k."""

from collections.abc import Iterator
from pathlib import Path

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import UsageError
from pellucid.core.progress import progress
from pellucid.core.units import format_bytes
from pellucid.documents.store import iter_split, split_files
from pellucid.recipe.recipe import Recipe
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.arcade import arcade100k
from pellucid.tokenizer.training import train_bpe

__all__ = ["TOKENIZER"]


def _key(context: Context) -> Key:
    config = context.recipe.tokenizer
    inputs = {"documents": fingerprint(context.folder("documents"))} if config.kind == "bpe" else {}
    names = [source.name for source in context.recipe.sources]
    return Key("tokenizer", 1, 0, {**config.model_dump(mode="json"), "sources": names}, inputs)


def _build(context: Context, build: Build) -> str:
    config = context.recipe.tokenizer
    if config.kind == "sentencepiece":
        raise UsageError(
            f"tokenizer.kind is sentencepiece ({config.hub}): such a recipe can be planned, but this version cannot read "
            "SentencePiece vocabularies; set tokenizer.kind to bpe or arcade100k"
        )
    if config.kind == "arcade100k":
        tokenizer = arcade100k()
        remark = "Arcade100k"
    else:
        taken = list(_training_texts(context.recipe, context.folder("documents")))
        with progress("tokenizer: learning merges", None, "merges"):
            tokenizer = train_bpe(taken, config.vocab_tokens)
        used_bytes = sum(len(text.encode()) for text in taken)
        build.summary["train_bytes"] = used_bytes
        remark = f"learnt from {format_bytes(used_bytes)}"
    tokenizer.save(build.path)
    build.summary.update(vocab_tokens=tokenizer.vocab_tokens, special_tokens=len(tokenizer.special))
    return f"{tokenizer.vocab_tokens} tokens, {remark}"


def _training_texts(recipe: Recipe, documents: Path) -> Iterator[str]:
    """Yield training documents up to `train_bytes`, shared out evenly, so that no large source crowds out a small one."""
    sizes = {s.name: sum(file.stat().st_size for file in split_files(documents, s.name, "train")) for s in recipe.sources}
    left, sources_left = recipe.tokenizer.train_bytes, len(sizes)
    # Small sources first: what they leave unused of their share goes to the larger ones.
    for name in sorted(sizes, key=sizes.__getitem__):
        share = left // sources_left
        for document in iter_split(documents, name, "train", ("text",)):
            size = len(document.text.encode())
            if size > share:
                break
            share -= size
            left -= size
            yield document.text
        sources_left -= 1


TOKENIZER = Stage("tokenizer", "tokenizer", _key, _build)
