"""Vocabularies that others made: their files, read once and carried along unchanged, and which token ends a document."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError, DataError, UsageError
from pellucid.core.files import read_bytes, read_json, write_bytes, write_json
from pellucid.recipe.vocabulary import TOKENIZER_FILES, vocabulary_file
from pellucid.tokenizer.vocabulary import FACTS

__all__ = ["ImportedFiles", "choose_eos", "read_imported", "reload_imported"]

CONFIG = "tokenizer_config.json"
SPECIAL_MAP = "special_tokens_map.json"
CHAT_TEMPLATE = "chat_template.jinja"
VALUES = TOKENIZER_FILES["huggingface"]

# What lies beside a vocabulary in published models, and says how it is to be used.
_BESIDE = (
    *TOKENIZER_FILES.values(),
    *(CONFIG, SPECIAL_MAP, "added_tokens.json", "vocab.json", "merges.txt", CHAT_TEMPLATE),
)


@dataclass(frozen=True)
class ImportedFiles:
    """A published vocabulary: its kind, and the names and bytes of its files."""

    kind: str
    files: Mapping[str, bytes]

    @property
    def main(self) -> bytes:
        """The bytes of the vocabulary itself."""
        return self.files[TOKENIZER_FILES[self.kind]]

    @property
    def digest(self) -> str:
        """One sha256 over names and bytes of all files."""
        return sha256(orjson.dumps({name: sha256(data).hexdigest() for name, data in sorted(self.files.items())})).hexdigest()

    def values(self, name: str) -> dict[str, Any]:
        """Return what a JSON file holds; nothing when it is not there. Raises `DataError` when it is no JSON mapping."""
        if name not in self.files:
            return {}
        try:
            found = orjson.loads(self.files[name])
        except orjson.JSONDecodeError as error:
            raise DataError(f"{name} of the vocabulary is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise DataError(f"{name} of the vocabulary is no mapping of names to values")
        return found

    @property
    def named_eos(self) -> str | None:
        """The end of text that the files name, if they do."""
        return self._named("eos_token")

    @property
    def named_bos(self) -> str | None:
        """What begins a text, if the files name it."""
        return self._named("bos_token")

    @property
    def begins_texts(self) -> bool:
        """Whether published tools put the token that begins a text before every text of themselves.

        They go by `add_bos_token`, else by the post-processor of the tokenizer.json; with a SentencePiece model they do.
        """
        told = self.values(CONFIG).get("add_bos_token")
        if isinstance(told, bool):
            return told
        if self.kind == "sentencepiece":
            return True
        return _begins(self.values(VALUES).get("post_processor"))

    def _named(self, key: str) -> str | None:
        for name in (CONFIG, SPECIAL_MAP):
            token = self.values(name).get(key)
            content = token.get("content") if isinstance(token, dict) else token
            if isinstance(content, str):
                return content
        return None

    def with_special(self, names: Iterable[str]) -> "ImportedFiles":
        """Return the files with the added tokens of these names marked as special; itself where they are, or are not there."""
        wanted, changed = set(names), {}
        for name, key in ((VALUES, "added_tokens"), (CONFIG, "added_tokens_decoder")):
            values = self.values(name)
            tokens = values.get(key) or []
            plain = [
                token
                for token in (tokens.values() if isinstance(tokens, dict) else tokens if isinstance(tokens, list) else ())
                if isinstance(token, dict) and token.get("content") in wanted and not token.get("special")
            ]
            for token in plain:
                token["special"] = True
            if plain:
                changed[name] = orjson.dumps(values)
        return replace(self, files={**self.files, **changed}) if changed else self

    def save(self, folder: Path, eos: str) -> None:
        """Write the files as they were read, and the facts by which `reload_imported` finds them and the end of text."""
        for name, data in self.files.items():
            write_bytes(folder / name, data)
        write_json(folder / FACTS, {"kind": self.kind, "eos": eos, "files": sorted(self.files)})

    def save_for_transformers(self, folder: Path, eos: str, context_tokens: int, tokenizer_class: str) -> None:
        """Write the files as they were read, except for what would contradict training.

        As with vocabularies of our own, `eos` also begins a text, and a text gets no token that is not its own. Where no
        `tokenizer_config.json` is there, `tokenizer_class` is what transformers shall load.
        """
        self.save(folder, eos)
        ends = {"bos_token": eos, "eos_token": eos}
        usual = {"tokenizer_class": tokenizer_class, "clean_up_tokenization_spaces": False, "pad_token": eos}
        never = {"add_bos_token": False, "add_eos_token": False}
        write_json(folder / CONFIG, {**usual, **self.values(CONFIG), **ends, **never, "model_max_length": context_tokens})
        if SPECIAL_MAP in self.files:
            write_json(folder / SPECIAL_MAP, {**self.values(SPECIAL_MAP), **ends})
        values = self.values(VALUES)
        processor = _without_additions(values.get("post_processor"))
        if processor != values.get("post_processor"):
            write_bytes(folder / VALUES, orjson.dumps({**values, "post_processor": processor}))


def read_imported(kind: str, path: Path) -> ImportedFiles:
    """Read a vocabulary from a file, or from a folder that holds one under its usual name.

    The files that published models keep beside it are taken along when it has its usual name. Raises `UsageError` naming what
    is missing.
    """
    usual = TOKENIZER_FILES[kind]
    file = vocabulary_file(kind, path)
    if file is None:
        fix = f"{usual} is not in it; name the file itself" if path.is_dir() else "download the model's tokenizer files there"
        raise UsageError(f"tokenizer.path: {path} {'is a folder' if path.is_dir() else 'is not there'}; {fix}")
    beside = [file.with_name(name) for name in _BESIDE if file.name == usual and name != usual]
    files = {usual: file.read_bytes()} | {other.name: other.read_bytes() for other in beside if other.is_file()}
    return ImportedFiles(kind, files)


def reload_imported(kind: str, folder: Path) -> tuple[ImportedFiles, str]:
    """Return what `ImportedFiles.save` wrote, and the end of text; raise `ArtifactError` naming the file that is missing."""
    facts = read_json(folder / FACTS)
    names = facts.get("files") if isinstance(facts, dict) else None
    if not isinstance(names, list) or TOKENIZER_FILES[kind] not in names or "eos" not in facts:
        raise ArtifactError(f"{folder / FACTS} does not name files and eos; delete {folder} and run again")
    for name in names:
        # They are read here and written again under these names: neither may happen elsewhere.
        if name not in _BESIDE:
            raise ArtifactError(f"{folder / FACTS}: files: got {name!r}; a vocabulary's files are {', '.join(_BESIDE)}")
    return ImportedFiles(kind, {name: read_bytes(folder / name) for name in names}), str(facts["eos"])


def choose_eos(special: Mapping[str, int], wanted: str | None, named: str | None) -> str:
    """Return which special token ends a document: the recipe's, else the one that the files name, else the only one there is.

    Raises `UsageError` with the candidates when that leaves it open.
    """
    candidates = f"its special tokens: {_listed(list(special))}" if special else "it has no special tokens"
    for name, source in ((wanted, "tokenizer.eos"), (named, "the vocabulary's own files")):
        if name is not None and name in special:
            return name
        if name is not None:
            raise UsageError(f"{source}: {name!r} is no special token of the vocabulary; {candidates}")
    if len(special) == 1:
        return next(iter(special))
    raise UsageError(f"tokenizer.eos: missing, and the vocabulary does not say which token ends a text; {candidates}")


def _begins(processor: Any) -> bool:
    """Tell whether a `post_processor` puts a special token before a text."""
    if not isinstance(processor, dict):
        return False
    if processor.get("type") == "Sequence":
        return any(map(_begins, processor.get("processors") or []))
    first: dict[str, Any] = next(iter(processor.get("single") or []), {})
    return processor.get("type") in ("BertProcessing", "RobertaProcessing") or "SpecialToken" in first


def _without_additions(processor: Any) -> Any:
    """Return a `post_processor` of a tokenizer.json without the steps that add special tokens to a text; None for nothing left."""
    if not isinstance(processor, dict):
        return processor
    kind = processor.get("type")
    if kind == "Sequence":
        steps = [kept for step in processor.get("processors") or [] if (kept := _without_additions(step)) is not None]
        return {**processor, "processors": steps} if steps else None
    pieces = [*(processor.get("single") or []), *(processor.get("pair") or [])]
    adds = kind in ("BertProcessing", "RobertaProcessing") or any("SpecialToken" in piece for piece in pieces)
    return None if adds else processor


def _listed(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
