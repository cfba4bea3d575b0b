"""Parts of a split, one per file of documents: where they lie until they are joined, and when one is whole."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json
from pellucid.shards.index import ShardFile

__all__ = ["PARTS", "PartAccount", "clear_part", "finished_part"]

# Starts, metadata and accounts of parts, beside their token files.
PARTS = "parts"


@dataclass(frozen=True)
class PartAccount:
    """The account of one part, written last: a part without one is written again."""

    files: tuple[ShardFile, ...]
    tokens: int
    documents: int
    special_counts: dict[str, int]
    text_bytes: int
    fim_documents: dict[str, int] = field(default_factory=dict)


def finished_part(out: Path, name: str, dtype: np.dtype[Any]) -> PartAccount | None:
    """Return the account of a part that is whole, its files as long as it says; None when it must be written."""
    try:
        raw = read_json(out / PARTS / f"{name}.json")
        account = PartAccount(**{**raw, "files": tuple(ShardFile(**file) for file in raw["files"])})
        sizes = [(out / file.name).stat().st_size == file.tokens * dtype.itemsize for file in account.files]
        with pq.ParquetFile(out / PARTS / f"{name}.parquet") as metadata:
            rows = metadata.metadata.num_rows
        starts = np.load(out / PARTS / f"{name}.npy", mmap_mode="r")
    except (ArtifactError, OSError, EOFError, TypeError, KeyError, ValueError, pa.ArrowException):
        return None
    return account if all(sizes) and rows == len(starts) == account.documents else None


def clear_part(out: Path, name: str) -> None:
    """Make room for a part: what an earlier attempt left is removed, its account first."""
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    (out / PARTS / f"{name}.json").unlink(missing_ok=True)
    for file in (out / f"{name}.bin", *out.glob(f"{name}_{'[0-9]' * 5}.bin")):
        file.unlink(missing_ok=True)
