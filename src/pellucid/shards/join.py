"""Finished parts → one split: document starts, documents and the index. The tokens stay where they are."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pellucid.recipe.data import ShardsConfig
from pellucid.shards.coding import Coding
from pellucid.shards.guard import check_index
from pellucid.shards.index import DOCUMENTS, INDEX, STARTS, ShardIndex, choose_dtype
from pellucid.shards.part_files import METADATA_SCHEMA, StartsFile
from pellucid.shards.parts import PARTS, PartAccount, finished_part

__all__ = ["is_joined", "join_parts"]

_STARTS_AT_ONCE = 1 << 20


def is_joined(out: Path) -> bool:
    """Tell whether a split is finished: its index is there, which is written when all else is."""
    return (out / INDEX).is_file()


def join_parts(out: Path, names: Sequence[str], coding: Coding, config: ShardsConfig) -> ShardIndex:
    """Make one split of its finished parts, in the order of `names`: document starts, documents and the index, which comes last.

    Tokens stay in the parts' files; what is read and written is some hundred bytes per document, a row group at a time. A split
    that was joined before is left as it is.

    Raises `DataError` for EOS other than one per document, for tokens of fill-in-the-middle other than three per rearranged
    document, and for a larger share of special tokens than `config.max_special_frac` (TinyLlama paper: far too many EOS, found
    after 2.3 T tokens).
    """
    parts = out / PARTS
    if not is_joined(out):
        dtype = choose_dtype(coding.vocab_tokens)
        accounts = []
        for name in names:
            account = finished_part(out, name, dtype)
            assert account is not None, f"part {name} of {out} is not finished"
            accounts.append(account)
        out.mkdir(parents=True, exist_ok=True)
        index = _sum(accounts, dtype, coding.special_ids)
        fim = coding.cutter.tokens.names if coding.cutter is not None else ()
        check_index(index, coding.eos_name, config.max_special_frac, "/".join(out.parts[-2:]), fim)
        _join_starts([parts / f"{name}.npy" for name in names], [account.tokens for account in accounts], out / STARTS)
        _join_metadata([parts / f"{name}.parquet" for name in names], out / DOCUMENTS)
        index.write(out)
    # The parts' own files are contents of nothing now; a kill before this line leaves them to the next call.
    shutil.rmtree(parts, ignore_errors=True)
    return ShardIndex.read(out)


def _sum(accounts: Sequence[PartAccount], dtype: np.dtype[Any], special_ids: Mapping[str, int]) -> ShardIndex:
    forms = sorted({form for account in accounts for form in account.fim_documents})
    return ShardIndex(
        dtype=dtype.name,
        files=tuple(file for account in accounts for file in account.files),
        tokens=sum(account.tokens for account in accounts),
        documents=sum(account.documents for account in accounts),
        special_counts={name: sum(account.special_counts[name] for account in accounts) for name in special_ids},
        text_bytes=sum(account.text_bytes for account in accounts),
        fim_documents={form: sum(account.fim_documents.get(form, 0) for account in accounts) for form in forms},
    )


def _join_starts(files: Sequence[Path], tokens: Sequence[int], path: Path) -> None:
    before = 0
    with StartsFile(path) as joined:
        for file, count in zip(files, tokens, strict=True):
            starts = np.load(file, mmap_mode="r")
            for begin in range(0, len(starts), _STARTS_AT_ONCE):
                joined.write(starts[begin : begin + _STARTS_AT_ONCE] + before)
            before += count
        joined.write(np.array([before]))


def _join_metadata(files: Sequence[Path], path: Path) -> None:
    with pq.ParquetWriter(path, METADATA_SCHEMA, compression="zstd") as joined:
        for file in files:
            with pq.ParquetFile(file) as part:
                for group in range(part.num_row_groups):
                    joined.write_table(part.read_row_group(group))
