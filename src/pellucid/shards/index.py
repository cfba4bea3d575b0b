"""`index.json`: what one split of one source holds, as tokens on disk."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json, write_json

__all__ = ["DOCUMENTS", "INDEX", "STARTS", "ShardFile", "ShardIndex", "choose_dtype"]

INDEX = "index.json"
STARTS = "document_starts.npy"
DOCUMENTS = "documents.parquet"


@dataclass(frozen=True)
class ShardFile:
    """One file of tokens, little-endian, without a header."""

    name: str
    tokens: int


@dataclass(frozen=True)
class ShardIndex:
    """The account of one split: `tokens` counts the EOS after each document; `text_bytes` is the UTF-8 text before encoding.

    `fim_documents` counts the documents rearranged for fill-in-the-middle by form, `psm` and `spm`; indexes from before have none.
    """

    dtype: str
    files: tuple[ShardFile, ...]
    tokens: int
    documents: int
    special_counts: dict[str, int]
    text_bytes: int
    fim_documents: dict[str, int] = field(default_factory=dict)

    @property
    def special_frac(self) -> float:
        """Share of special tokens among all tokens; 0 when there are none."""
        return sum(self.special_counts.values()) / self.tokens if self.tokens else 0.0

    def write(self, folder: Path) -> None:
        """Write `index.json`, atomically."""
        write_json(folder / INDEX, asdict(self))

    @staticmethod
    def read(folder: Path) -> "ShardIndex":
        """Read `index.json`; raise `ArtifactError` when it is missing, damaged or contradicts itself."""
        raw: dict[str, Any] = read_json(folder / INDEX)
        try:
            index = ShardIndex(**{**raw, "files": tuple(ShardFile(**file) for file in raw["files"])})
        except (TypeError, KeyError) as error:
            raise ArtifactError(f"{folder / INDEX} is not a shard index ({error}); delete {folder} and run again") from error
        if index.dtype not in ("uint16", "uint32") or sum(file.tokens for file in index.files) != index.tokens:
            raise ArtifactError(f"{folder / INDEX} contradicts itself; delete {folder} and run again")
        return index


def choose_dtype(vocab_tokens: int) -> np.dtype[Any]:
    """Return little-endian uint16 where every id fits, else uint32."""
    return np.dtype("<u2" if vocab_tokens <= 2**16 else "<u4")
