"""The tokenizer, of whatever kind: what the rest of Pellucid asks of one, and how it is read from its folder."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.tokenizer.bpe import END_OF_TEXT, SPECIAL_TOKENS, load_byte_pairs
from pellucid.tokenizer.checked import Ids, Offsets
from pellucid.tokenizer.from_huggingface import load_huggingface
from pellucid.tokenizer.from_sentencepiece import load_sentencepiece
from pellucid.tokenizer.vocabulary import FACTS, Vocabulary

__all__ = ["END_OF_TEXT", "SPECIAL_TOKENS", "Tokenizer", "load_tokenizer"]


class Tokenizer(Protocol):
    """Text ↔ ids. Text never yields a special id: those are only ever placed by name, from `special`.

    `special` maps the names of special tokens to their ids; `eos_id` is the one that ends a document. Ids are below `vocab_tokens`.
    `bos` is the name of the one that begins a text where a chat template asks for one. `swallows` tells of special tokens that take
    away blanks before them, or after them, where they are written in a text; most take none and are not in it.
    """

    special: dict[str, int]
    eos_id: int
    bos: str
    swallows: Mapping[str, tuple[bool, bool]]
    vocab_tokens: int

    @property
    def is_fast(self) -> bool:
        """Whether the fast encoder is at work, with the ids of the slow one."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of one text. No special token is added or recognised. Raises `DataError` on lone surrogates."""

    def encode_after(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as they are after a special token: nothing is put before it that would begin a text."""

    def encode_batch(self, texts: Sequence[str], threads: int = 1) -> tuple[Ids, Offsets]:
        """Return all ids in one uint32 array, and int64 offsets (n+1): text `i` is `ids[offsets[i]:offsets[i + 1]]`."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text that a whole encoded text stands for. An id with no token (padding rows) shows as U+FFFD."""

    def decode_after(self, ids: Iterable[int]) -> str:
        """Return the text that the ids add after other text: a space that begins them is kept, where `decode` may drop it."""

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the bytes that the ids add after other text. Raises `DataError` on an id with no token."""

    def save(self, folder: Path) -> None:
        """Write what `load_tokenizer` reads."""

    def save_for_transformers(self, folder: Path, context_tokens: int) -> None:
        """Write the files by which Hugging Face tools load it, beside a model of this context."""

    def may_differ(self, text: str) -> bool:
        """Tell whether transformers, reading the files of `save_for_transformers`, may give this text other ids."""

    def vocabulary(self) -> Vocabulary:
        """Return the vocabulary as llama.cpp reads it. Raises `UsageError` for one that llama.cpp cannot read exactly."""


_LOADERS: Mapping[str, Callable[[Path], Tokenizer]] = {
    "bpe": load_byte_pairs,
    "arcade100k": load_byte_pairs,
    "huggingface": load_huggingface,
    "sentencepiece": load_sentencepiece,
}


def load_tokenizer(folder: Path) -> Tokenizer:
    """Read what `save` wrote; raise `ArtifactError` naming the file that is missing, altered or made by other rules."""
    kind = read_json(folder / FACTS).get("kind")
    if kind not in _LOADERS:
        raise ArtifactError(f"{folder / FACTS} is of the kind {kind!r}; this version reads {', '.join(_LOADERS)}")
    return _LOADERS[kind](folder)
