"""A window's text cut where something changes: another document begins, one ends, or targets carry no loss."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["cut_pieces", "runs_of"]

_LONGEST_CHARACTER_TOKENS = 3  # a character has four bytes at most, so three more tokens complete it


def runs_of(mask_N: NDArray[np.bool_]) -> list[list[int]]:
    """Return first place and length of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask_N, [False]]).astype(np.int8)))
    return [[int(first), int(end - first)] for first, end in edges.reshape(-1, 2)]


def cut_pieces(
    ids: NDArray[np.uint32],
    documents: Sequence[Mapping[str, Any]],
    masked_T: NDArray[np.bool_],
    decode: Callable[[list[int]], str],
    decode_after: Callable[[list[int]], str] | None = None,
) -> list[dict[str, Any]]:
    """Return the window's tokens as pieces in order: `document` (its number in the window), `text`, `masked`, `end`.

    `ids` are T+1 tokens, or T/parts + 1 for each part in turn.

    `decode` gives the text of tokens that begin a document, `decode_after` that of tokens inside one (`decode` when not given).

    `documents` has `from_token`, `window_token`, `tokens` and `ends` of each part; a piece with `end` is a document's end mark.
    `masked` says that its tokens are targets without loss; the first token of a window is no target of it. A cut that would part a
    character is put after it.
    """
    # Token k of a part is the target of its position k - 1; the first of each part is no target.
    parts = len(ids) - len(masked_T)
    masked = np.pad(masked_T.reshape(parts, -1), ((0, 0), (1, 0))).reshape(-1)
    pieces: list[dict[str, Any]] = []

    def reader_of(number: int, begin: int) -> Callable[[list[int]], str]:
        begins = begin == documents[number]["window_token"] and not documents[number]["from_token"]
        return decode if begins or decode_after is None else decode_after

    def add(number: int, begin: int, end: int, is_end: bool = False) -> None:
        text = reader_of(number, begin)(ids[begin:end].tolist())
        pieces.append({"document": number, "text": text, "masked": bool(masked[begin]), "end": is_end})

    for number, document in enumerate(documents):
        begin = int(document["window_token"])
        stop = begin + int(document["tokens"])
        text_end = stop - 1 if document["ends"] else stop
        while begin < text_end:
            change = np.flatnonzero(masked[begin:text_end] != masked[begin])
            reader = reader_of(number, begin)
            end = _after_character(ids, begin, begin + int(change[0]), text_end, reader) if len(change) else text_end
            add(number, begin, end)
            begin = end
        if document["ends"]:
            add(number, text_end, stop, is_end=True)
    return pieces


def _after_character(ids: NDArray[np.uint32], begin: int, end: int, limit: int, decode: Callable[[list[int]], str]) -> int:
    """Return the first place from `end` on where no character is parted; `end` itself when the bytes are no text anyway."""
    for place in range(end, min(end + _LONGEST_CHARACTER_TOKENS, limit) + 1):
        if not decode(ids[begin:place].tolist()).endswith("\ufffd"):
            return place
    return end
