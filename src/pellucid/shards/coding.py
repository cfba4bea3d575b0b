"""How the shard writer gets tokens: it is handed an encode function, and knows no tokenizer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pellucid.shards.fim import Cutter, encode_rearranged
from pellucid.shards.guard import check_batch

__all__ = ["Coding", "EncodeBatch", "TextDocument"]

EncodeBatch = Callable[[list[str]], tuple[np.ndarray, np.ndarray]]


class TextDocument(Protocol):
    """What the writer needs of a document; `pellucid.documents.document.Document` is one."""

    @property
    def id(self) -> str:
        """Unique inside the source."""

    @property
    def text(self) -> str:
        """The text to encode."""

    @property
    def source(self) -> str:
        """Name of the source."""

    @property
    def language(self) -> str:
        """ISO 639-1 code."""

    @property
    def licence(self) -> str:
        """SPDX identifier."""

    @property
    def origin(self) -> str:
        """Where the text was found."""

    @property
    def digest(self) -> str:
        """sha256 of the text."""


@dataclass(frozen=True)
class Coding:
    """How documents become tokens. `encode_batch(texts)` returns all tokens in one flat array and int64 offsets (n + 1).

    It makes no special tokens: the writer adds one EOS after each document, and the three of fill-in-the-middle where `cutter`
    says so.
    """

    encode_batch: EncodeBatch
    eos_id: int
    vocab_tokens: int
    special_ids: Mapping[str, int]
    cutter: Cutter | None = None

    @property
    def eos_name(self) -> str:
        """Name of the token that ends a document."""
        name = next((name for name, number in self.special_ids.items() if number == self.eos_id), None)
        assert name is not None, "EOS is one of the special tokens"
        return name

    def encode(self, documents: Sequence[TextDocument]) -> tuple[np.ndarray, np.ndarray, Mapping[str, int]]:
        """Return checked tokens and offsets (n + 1) of the documents, without EOS, and how many were rearranged in which form."""
        names = [document.id for document in documents]
        if self.cutter is None:
            ids, offsets = self.encode_batch([document.text for document in documents])
            check_batch(ids, offsets, names, self.eos_id, self.vocab_tokens)
            return ids, offsets, {}
        made = encode_rearranged(documents, self.encode_batch, self.cutter)
        owners = [names[number] for number in made.part_owner]
        check_batch(made.part_ids, made.part_offsets, owners, self.eos_id, self.vocab_tokens)
        return made.ids, made.offsets, made.counts
