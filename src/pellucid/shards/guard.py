"""The guard against shards whose tokens cannot be right: TinyLlama trained for 2.3 T tokens on data with far too many EOS."""

from collections.abc import Mapping

import numpy as np

from pellucid.core.errors import DataError
from pellucid.core.units import format_count
from pellucid.shards.index import ShardIndex

__all__ = ["check_batch", "check_index"]


def check_batch(ids: np.ndarray, offsets: np.ndarray, names: list[str], eos_id: int, vocab_tokens: int) -> None:
    """Refuse encoded documents before anything of them is written.

    `ids` are the tokens of all documents, document i at `offsets[i]:offsets[i+1]`; `names` are the documents' ids for the message.
    Raises `DataError` for an id outside the vocabulary and for an EOS that the encoder made: the writer adds the only one.
    """
    assert len(offsets) == len(names) + 1, "the encoder returned another number of documents"
    assert offsets[0] == 0 and offsets[-1] == len(ids), "the encoder's offsets do not cover its tokens"
    if not len(ids):
        return
    largest = int(ids.max())
    if largest >= vocab_tokens:
        position = int(np.argmax(ids))
        raise DataError(
            f"document {_name(position, offsets, names)} has token id {largest}; the vocabulary has {vocab_tokens} ids (0 to "
            f"{vocab_tokens - 1}). The tokenizer is not the one the shards are written for: delete tokenizer/ and run again"
        )
    extra = np.flatnonzero(ids == eos_id)
    if len(extra):
        position = int(extra[0])
        name = _name(position, offsets, names)
        at_end = position == offsets[np.searchsorted(offsets, position, side="right")] - 1
        cause = "the encoder appends EOS itself" if at_end else "the encoder turns the special token's text into its id"
        raise DataError(
            f"{len(extra)} EOS tokens (id {eos_id}) inside {len(names)} encoded documents, first in {name}; the limit is 0, as "
            f"the shard writer adds exactly one after each document. Probable cause: {cause}. Encode plain text, without specials"
        )


def _name(position: int, offsets: np.ndarray, names: list[str]) -> str:
    return repr(names[int(np.searchsorted(offsets, position, side="right")) - 1])


def check_index(index: ShardIndex, eos_name: str, max_special_frac: float, place: str, fim_names: tuple[str, ...] = ()) -> None:
    """Refuse a finished split whose specials are implausible: EOS other than one per document, or too large a share.

    Of the tokens of fill-in-the-middle, `fim_names`, there must be one each per rearranged document. Raises `DataError` with the
    counts, the limit and the probable cause; `place` names the split for the message.
    """
    eos = index.special_counts[eos_name]
    if eos != index.documents:
        raise DataError(
            f"{place}: {eos} EOS tokens for {index.documents} documents; must be equal. Probable cause: the encoder makes special "
            "ids out of text, or appends its own"
        )
    rearranged = sum(index.fim_documents.values())
    if wrong := {name: index.special_counts[name] for name in fim_names if index.special_counts[name] != rearranged}:
        raise DataError(
            f"{place}: {_counts(wrong) or 'no such tokens'} for {rearranged} documents rearranged for fill-in-the-middle; must be "
            "equal. Probable cause: the encoder makes special ids out of text"
        )
    if index.special_frac > max_special_frac:
        raise DataError(
            f"{place}: {100 * index.special_frac:.2f} % of {format_count(index.tokens)} tokens are special "
            f"({_counts(index.special_counts)}); the limit is {100 * max_special_frac:.2f} % (shards.max_special_frac). "
            f"Probable cause: {_cause(index, eos)}, or raise the limit if this is meant"
        )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]) if count)


def _cause(index: ShardIndex, eos: int) -> str:
    if 2 * eos >= sum(index.special_counts.values()):
        mean = index.tokens / max(1, index.documents)
        return (
            f"documents are very short ({mean:.1f} tokens with their EOS, on average), as when every line became a document. "
            "Join what belongs together, or drop short ones with documents.min_bytes"
        )
    if 3 * sum(index.fim_documents.values()) > eos:
        return "documents cut for fill-in-the-middle are very short: lower sources[].fim.rate, or drop short ones"
    return "special-token text in the documents became special ids. Encode plain text, without specials"
