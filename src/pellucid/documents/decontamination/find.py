"""Where documents hold a benchmark's words; such documents are dropped and every hit is told."""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.decontamination.index import NgramIndex, hash_runs
from pellucid.documents.words import Words, hash_words

__all__ = ["Hit", "Hits", "apply", "find_hits"]

_CHARS_AT_ONCE = 2_000_000  # some 60 bytes of memory each while words are hashed
_WORDS_AT_ONCE = 1 << 18  # what fits into a processor's cache together with its hashes
_GRAMS_AT_ONCE = 1 << 20
_DETAIL_CHARS = 200


@dataclass(frozen=True, eq=False)
class Hits:
    """H runs of words that documents and items have in common, as long as they go, by document, place and item.

    Run h is the `words_H[h]` words from word `word_H[h]` of document `document_H[h]` on (counted inside the document).
    """

    document_H: NDArray[np.int64]
    word_H: NDArray[np.int64]
    words_H: NDArray[np.int64]
    item_H: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hit:
    """One run of words that document `row` of a batch shares with item `number` of a benchmark, as the document has it."""

    row: int
    name: str
    benchmark: str
    number: int
    words: int
    text: str


def find_hits(words: Words, index: NgramIndex) -> Hits:
    """Return what the documents share with the items: runs of at least `ngram_words` words, or a whole short question.

    Every word of a run is compared, so two different texts agree only where the 64-bit numbers of all their words do.
    """
    at_C = _candidates(words.keys_W, index)
    anchor_C = hash_runs_at(words.keys_W, at_C, index.anchor_words)
    first_C = np.searchsorted(index.anchors_G, anchor_C, side="left")
    grams_C = np.searchsorted(index.anchors_G, anchor_C, side="right") - first_C
    at_C, first_C, grams_C = at_C[grams_C > 0], first_C[grams_C > 0], grams_C[grams_C > 0]
    # A text that repeats the beginning of thousands of items must not take all memory.
    group_C = np.cumsum(grams_C) // _GRAMS_AT_ONCE
    bounds = [0, *(np.flatnonzero(np.diff(group_C)) + 1).tolist(), len(at_C)]
    parts = [
        _verify(words, index, at_C[begin:end], first_C[begin:end], grams_C[begin:end]) for begin, end in itertools.pairwise(bounds)
    ]
    return _merge(words, index, np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts]))


def apply(batch: TextBatch, index: NgramIndex) -> list[Hit]:
    """Drop the documents that hold a benchmark's words ("contaminated: BENCHMARK", by their longest hit); return all hits in order.

    The detail is the item's number and the words in common.
    """
    hits: list[Hit] = []
    for rows in _slices(batch):
        words = hash_words([batch.texts[row] for row in rows])
        found = find_hits(words, index)
        for document, word, count, item in zip(found.document_H, found.word_H, found.words_H, found.item_H, strict=True):
            row, first = rows[int(document)], int(words.offsets_N1[document] + word)
            text = batch.texts[row][words.begin_W[first] : words.end_W[first + count - 1]]
            benchmark = index.names[index.benchmark_I[item]]
            hits.append(Hit(row, batch.names[row], benchmark, int(index.number_I[item]), int(count), text))
    longest: dict[int, Hit] = {}
    for hit in hits:
        if hit.row not in longest or hit.words > longest[hit.row].words:
            longest[hit.row] = hit
    for row, hit in longest.items():
        batch.drop(row, f"contaminated: {hit.benchmark}", f"item {hit.number}: {' '.join(hit.text.split())[:_DETAIL_CHARS]}")
    return hits


def hash_runs_at(keys_W: NDArray[np.uint64], at_C: NDArray[np.int64], n: int) -> NDArray[np.uint64]:
    """Return `hash_runs(keys_W, n)[at_C]`."""
    return hash_runs(keys_W[at_C[:, None] + np.arange(n)].ravel(), n)[::n] if len(at_C) else np.zeros(0, dtype=np.uint64)


def _candidates(keys_W: NDArray[np.uint64], index: NgramIndex) -> NDArray[np.int64]:
    """Return the words from which on the bitmap knows the next words, in order."""
    bitmap = index.bitmap
    shift = np.uint64(64 - (len(bitmap).bit_length() + 2))
    three, seven = np.uint64(3), np.uint64(7)
    found = []
    for begin in range(0, len(keys_W), _WORDS_AT_ONCE):
        place_R = hash_runs(keys_W[begin : begin + _WORDS_AT_ONCE + index.anchor_words - 1], index.anchor_words)
        place_R >>= shift
        bytes_R = bitmap[(place_R >> three).view(np.int64)]
        known_R = (bytes_R >> (place_R & seven).astype(np.uint8)) & np.uint8(1)
        found.append(np.flatnonzero(known_R) + begin)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _verify(
    words: Words, index: NgramIndex, at_C: NDArray[np.int64], first_C: NDArray[np.int64], grams_C: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the words at which a whole gram stands, and the gram; candidate c has the grams from `first_C[c]` on."""
    # One row for each gram that begins like the document does here.
    at_P = np.repeat(at_C, grams_C)
    gram_P = np.arange(len(at_P)) + np.repeat(first_C - np.cumsum(grams_C) + grams_C, grams_C)
    start_P, size_P = index.start_G[gram_P], index.words_G[gram_P].astype(np.int64)
    end_P = words.offsets_N1[np.searchsorted(words.offsets_N1, at_P, side="right")]
    equal_P = at_P + size_P <= end_P
    for place in range(int(size_P.max(initial=0))):
        row_Q = np.flatnonzero(equal_P & (place < size_P))
        equal_P[row_Q] = words.keys_W[at_P[row_Q] + place] == index.keys_K[start_P[row_Q] + place]
    return at_P[equal_P], gram_P[equal_P]


def _merge(words: Words, index: NgramIndex, at_P: NDArray[np.int64], gram_P: NDArray[np.int64]) -> Hits:
    """Join the grams of one item that overlap in a document."""
    document_P = np.searchsorted(words.offsets_N1, at_P, side="right") - 1
    size_P, item_P = index.words_G[gram_P].astype(np.int64), index.item_G[gram_P].astype(np.int64)
    order_P = np.lexsort((size_P, at_P, item_P, document_P))
    document_P, at_P, size_P, item_P = document_P[order_P], at_P[order_P], size_P[order_P], item_P[order_P]
    runs: list[list[int]] = []
    for document, at, size, item in zip(document_P.tolist(), at_P.tolist(), size_P.tolist(), item_P.tolist(), strict=True):
        if runs and runs[-1][0] == document and runs[-1][3] == item and at <= runs[-1][1] + runs[-1][2]:
            runs[-1][2] = max(runs[-1][2], at + size - runs[-1][1])
        else:
            runs.append([document, at, size, item])
    runs.sort(key=lambda run: (run[0], run[1], run[3]))
    run_H4 = np.array(runs, dtype=np.int64).reshape(len(runs), 4)
    return Hits(run_H4[:, 0], run_H4[:, 1] - words.offsets_N1[run_H4[:, 0]], run_H4[:, 2], run_H4[:, 3])


def _slices(batch: TextBatch) -> list[list[int]]:
    """Return the documents that are still there, in groups whose words fit into memory together."""
    slices: list[list[int]] = []
    chars = _CHARS_AT_ONCE
    for row in batch.rows:
        if chars + len(batch.texts[row]) > _CHARS_AT_ONCE:
            slices.append([])
            chars = 0
        slices[-1].append(row)
        chars += len(batch.texts[row])
    return slices
