"""`tokenizer/`: a vocabulary trained on the run's own documents, Arcade100k, or one that others made."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pellucid.core.artifacts import Build, Key, fingerprint
from pellucid.core.errors import UsageError
from pellucid.core.processes import run_apart
from pellucid.core.progress import progress
from pellucid.core.units import format_bytes, utf8_bytes
from pellucid.documents.store import iter_split, split_files
from pellucid.recipe.vocabulary import IMPORTED_FILES
from pellucid.stages.stage import Context, Stage
from pellucid.tokenizer.arcade import arcade100k
from pellucid.tokenizer.bpe import BytePairTokenizer
from pellucid.tokenizer.from_gguf import import_gguf, read_gguf_vocabulary
from pellucid.tokenizer.from_huggingface import import_huggingface
from pellucid.tokenizer.from_sentencepiece import import_sentencepiece
from pellucid.tokenizer.imported import ImportedFiles, read_imported
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.tokenizer.training import train_bpe

__all__ = ["TOKENIZER"]

IMPORTERS: Mapping[str, Callable[[Path, str | None], Tokenizer]] = {
    "gguf": import_gguf,
    "huggingface": import_huggingface,
    "sentencepiece": import_sentencepiece,
}


def _key(context: Context) -> Key:
    config = context.recipe.tokenizer
    if config.kind == "bpe":
        settings = config.model_dump(mode="json", exclude={"path"})
        names = [source.name for source in context.recipe.sources]
        return Key("tokenizer", 2, 0, {**settings, "sources": names}, {"documents": fingerprint(context.folder("documents"))})
    # A vocabulary that others made is what its files are: wherever they lie, and whatever text there is.
    inputs = {"files": _read(config.kind, _place(context)).digest} if config.kind in IMPORTERS else {}
    return Key("tokenizer", 1, 0, config.model_dump(mode="json", include={"kind", "eos", "vocab_tokens"}), inputs)


def _read(kind: str, place: Path) -> ImportedFiles:
    return read_gguf_vocabulary(place) if kind == "gguf" else read_imported(kind, place)


def _place(context: Context) -> Path:
    config = context.recipe.tokenizer
    if config.path is None:
        raise UsageError(
            f"tokenizer.path: missing; with hub: {config.hub} alone such a recipe can be planned. Download that model's "
            f"{IMPORTED_FILES[config.kind]} with its neighbours and name their folder"
        )
    return context.loaded.base / config.path


def _build(context: Context, build: Build) -> str:
    config = context.recipe.tokenizer
    tokenizer: Tokenizer
    if config.kind in IMPORTERS:
        tokenizer = IMPORTERS[config.kind](_place(context), config.eos)
        _check_size(tokenizer, config.vocab_tokens)
        remark = f"from {config.path}, documents end with {_name_of(tokenizer)}"
    elif config.kind == "arcade100k":
        tokenizer = arcade100k()
        remark = "Arcade100k"
    else:
        names = tuple(source.name for source in context.recipe.sources)
        lesson = _Lesson(context.folder("documents"), names, config.train_bytes, config.vocab_tokens)
        with progress("tokenizer: learning merges", None, "merges"):
            tokenizer, used_bytes = run_apart(_learn, lesson, "learning the vocabulary")
        build.summary["train_bytes"] = used_bytes
        remark = f"learnt from {format_bytes(used_bytes)}"
    tokenizer.save(build.path)
    build.summary.update(vocab_tokens=tokenizer.vocab_tokens, special_tokens=len(tokenizer.special))
    return f"{tokenizer.vocab_tokens} tokens, {remark}"


class _Lesson(NamedTuple):
    """What a vocabulary is learnt from: sources in a folder of documents, up to so many bytes of their text; and its size."""

    documents: Path
    sources: tuple[str, ...]
    train_bytes: int
    vocab_tokens: int


def _learn(lesson: _Lesson) -> tuple[BytePairTokenizer, int]:
    """Return the vocabulary, and how many bytes it was learnt from."""
    texts = list(_training_texts(lesson))
    return train_bpe(texts, lesson.vocab_tokens), sum(map(utf8_bytes, texts))


def _check_size(tokenizer: Tokenizer, expected: int) -> None:
    if tokenizer.vocab_tokens != expected:
        raise UsageError(
            f"tokenizer.vocab_tokens: got {expected}; the vocabulary has {tokenizer.vocab_tokens} ids. Leave it out, or correct it"
        )


def _name_of(tokenizer: Tokenizer) -> str:
    return next(name for name, id_ in tokenizer.special.items() if id_ == tokenizer.eos_id)


def _training_texts(lesson: _Lesson) -> Iterator[str]:
    """Yield training documents up to `train_bytes`, shared out evenly, so that no large source crowds out a small one."""
    documents, left, sources_left = lesson.documents, lesson.train_bytes, len(lesson.sources)
    sizes = {name: sum(file.stat().st_size for file in split_files(documents, name, "train")) for name in lesson.sources}
    # Small sources first: what they leave unused of their share goes to the larger ones.
    for name in sorted(sizes, key=sizes.__getitem__):
        share = left // sources_left
        for document in iter_split(documents, name, "train", ("text",)):
            # Of a document that is too long its beginning is taken, so that a source of one long document counts as well.
            text = document.text.encode()[:share].decode(errors="ignore")
            size = utf8_bytes(text)
            share -= size
            left -= size
            if text:
                yield text
            if len(text) < len(document.text) or not share:
                break
        sources_left -= 1


TOKENIZER = Stage("tokenizer", "tokenizer", _key, _build)
