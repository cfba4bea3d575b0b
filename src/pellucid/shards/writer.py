"""Documents → one split's shards: token files, document starts, document index.

A split is written in parts, one per file of documents. Parts know nothing of each other: they can be written by any processes in
any order, and each is whole exactly when its account is there. `join_parts` then makes the split's index of their accounts.
"""

import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.core.files import write_json
from pellucid.core.groups import grouped
from pellucid.recipe.data import ShardsConfig
from pellucid.shards.coding import Coding, EncodeBatch, TextDocument
from pellucid.shards.index import ShardIndex, choose_dtype
from pellucid.shards.join import join_parts
from pellucid.shards.part_files import MetadataFile, StartsFile, TokenFiles
from pellucid.shards.parts import PARTS, PartAccount, clear_part

__all__ = ["write_part", "write_shards"]

_BATCH_CHARS = 4 << 20
_BATCH_DOCUMENTS = 1 << 14


def write_shards(
    documents: Iterable[TextDocument],
    encode_batch: EncodeBatch,
    eos_id: int,
    vocab_tokens: int,
    special_ids: Mapping[str, int],
    config: ShardsConfig,
    out: Path,
) -> ShardIndex:
    """Write a split that is one part below the folder `out`, which is replaced; see `write_part` and `join_parts`."""
    shutil.rmtree(out, ignore_errors=True)
    coding = Coding(encode_batch, eos_id, vocab_tokens, special_ids)
    write_part(documents, coding, config, out, "00000")
    return join_parts(out, ["00000"], coding, config)


def write_part(documents: Iterable[TextDocument], coding: Coding, config: ShardsConfig, out: Path, name: str) -> PartAccount:
    """Write the documents' tokens, each document followed by one EOS, as the part `name` of the split in the folder `out`.

    The files are NAME.bin, NAME_00001.bin and so on, each closed at the first document end after `config.shard_tokens` tokens.
    Memory stays at a batch of about 4 MB of text and its tokens, whatever the corpus. The account is written last, when the rest
    is on the disk; what an earlier attempt left is replaced.

    Raises `DataError` when the tokens cannot be right: an id outside the vocabulary, or EOS out of the encoder.
    """
    clear_part(out, name)
    dtype = choose_dtype(coding.vocab_tokens)
    special = np.array(list(coding.special_ids.values()), dtype=np.int64)
    special_counts = np.zeros(len(special), dtype=np.int64)
    forms: dict[str, int] = {}
    parts = out / PARTS
    with ExitStack() as stack:
        tokens = stack.enter_context(TokenFiles(out, name, dtype, config.shard_tokens))
        starts = stack.enter_context(StartsFile(parts / f"{name}.npy"))
        metadata = stack.enter_context(MetadataFile(parts / f"{name}.parquet"))
        for batch in grouped(documents, lambda document: len(document.text), _BATCH_CHARS, _BATCH_DOCUMENTS):
            ids, offsets, made = coding.encode(batch)
            joined, ends = _append_eos(ids, offsets, coding.eos_id, dtype)
            special_counts += np.bincount(joined, minlength=coding.vocab_tokens)[special]
            forms = {form: forms.get(form, 0) + count for form, count in made.items()}
            starts.write(np.concatenate(([0], ends[:-1])) + tokens.written)
            tokens.write(joined, ends)
            metadata.write(batch)
    counts = {token: int(number) for token, number in zip(coding.special_ids, special_counts, strict=True)}
    account = PartAccount(tuple(tokens.files), tokens.written, starts.entries, counts, metadata.text_bytes, forms)
    write_json(parts / f"{name}.json", asdict(account))
    return account


def _append_eos(ids: np.ndarray, offsets: np.ndarray, eos_id: int, dtype: np.dtype[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens with EOS after each document, and where each document then ends."""
    ends = offsets[1:] + np.arange(1, len(offsets))
    joined = np.empty(len(ids) + len(ends), dtype=dtype)
    inside = np.ones(len(joined), dtype=bool)
    inside[ends - 1] = False
    joined[inside] = ids
    joined[ends - 1] = eos_id
    return joined, ends
