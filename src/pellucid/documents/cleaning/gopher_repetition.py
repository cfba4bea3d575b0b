"""The repetition rules of Gopher (Rae et al. 2021, Table A1), with datatrove's order, thresholds, comparisons and counting.

What is exact and slow is done only where a bound does not decide. For the most frequent n-gram the bound is the largest product of
count and length among the n-grams of the largest count. For repeated n-grams it is the characters under n-grams that stand
further up as well: datatrove's scan counts some of those and skips what overlaps; and where ten words are repeated, so are the
first five of them, so that the shortest n bounds all the others. Unlike in datatrove a share of 0 does not switch a rule off.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import GOLDEN, mix
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.points import Points, Spans, fractions, points_of, powers, repeats
from pellucid.documents.cleaning.tokens import Tokens, tokens_of
from pellucid.recipe.cleaning import GopherRepetitionStep

__all__ = ["apply"]

_LENGTH_BITS = 12


def apply(batch: TextBatch, config: GopherRepetitionStep) -> None:
    """Drop the documents that break a rule; the first rule broken is the reason."""
    points = points_of(batch)
    chars_N = points.chars.astype(np.float64)
    points.drop_where(batch, chars_N == 0, "gopher repetition: empty text", chars_N)
    feeds = points.pieces
    edge_L = np.isin(feeds.begin_L, points.begin_N) | np.isin(feeds.end_L, points.end_N)
    lines = feeds.keep((feeds.chars > 0) | edge_L)
    for name, spans, most, most_chars in (
        ("paragraphs", points.paragraphs, config.max_dup_paragraph_frac, config.max_dup_paragraph_char_frac),
        ("lines", lines, config.max_dup_line_frac, config.max_dup_line_char_frac),
    ):
        share_N, char_share_N = _repeated_shares(points, spans)
        points.drop_where(batch, share_N > most, f"gopher repetition: repeated {name}", share_N)
        points.drop_where(batch, char_share_N > most_chars, f"gopher repetition: characters in repeated {name}", char_share_N)
    tokens = tokens_of(batch)
    most_N = np.full(len(points.rows_N), len(tokens.begin_W))
    for n, most in config.max_top_ngram_char_frac.items():
        _drop_frequent(batch, tokens, n, most, most_N)
    if config.max_dup_ngram_char_frac:
        _drop_repeated(batch, tokens, config.max_dup_ngram_char_frac)


def _repeated_shares(points: Points, spans: Spans) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each text the share of the spans that repeat an earlier one, and their characters as a share of the text's."""
    repeated_L = repeats(points.numbers(spans.begin_L, spans.end_L), spans.text_L)
    text, texts = spans.text_L[repeated_L], len(points.rows_N)
    count_N, total_N = np.bincount(text, minlength=texts), np.bincount(spans.text_L, minlength=texts)
    chars_N = np.bincount(text, weights=spans.chars[repeated_L], minlength=texts)
    return fractions(count_N, total_N), fractions(chars_N, points.chars)


def _gram_places(tokens: Tokens, n: int, mask_N: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where runs of n words begin in the texts of the mask."""
    grams_N = np.maximum(np.diff(tokens.offsets_N1) - n + 1, 0) * mask_N
    begin_N = np.cumsum(grams_N) - grams_N
    return np.repeat(tokens.offsets_N1[:-1] - begin_N, grams_N) + np.arange(grams_N.sum())


def _drop_frequent(batch: TextBatch, tokens: Tokens, n: int, most: float, most_N: NDArray[np.int64]) -> None:
    """Drop by the most frequent n-gram. `most_N` bounds the count of any n-gram of each text, from shorter ones, and is lowered."""
    points, offsets_W1 = tokens.points, np.concatenate((np.zeros(1, np.int64), np.cumsum(tokens.chars)))
    place_G = _gram_places(tokens, n, batch.alive_N[points.rows_N])
    if not len(place_G):
        return
    text_G, chars_G = tokens.text_numbers[place_G], offsets_W1[place_G + n] - offsets_W1[place_G] + n - 1
    first_T = np.flatnonzero(np.diff(text_G, prepend=-1))
    text_T = text_G[first_T]
    unsure_N = np.zeros(len(most_N), dtype=bool)
    unsure_N[text_T] = np.maximum.reduceat(chars_G, first_T) * most_N[text_T] / points.chars[text_T] > most
    unsure_G = unsure_N[text_G]
    place_G, text_G, chars_G = place_G[unsure_G], text_G[unsure_G], chars_G[unsure_G]
    if not len(place_G):
        return
    hashes_G = tokens.numbers[place_G]
    for step in range(1, n):
        hashes_G = hashes_G * GOLDEN + tokens.numbers[place_G + step]
    # One sort brings together what is equal, text by text: the text in the upper bits, then the hash, then the length.
    text_bits, longest = np.uint64(len(most_N).bit_length()), (1 << _LENGTH_BITS) - 1
    keys_G = (mix(hashes_G) >> text_bits) & ~np.uint64(longest)
    keys_G |= (text_G.astype(np.uint64) << (np.uint64(64) - text_bits)) | np.minimum(chars_G, longest).astype(np.uint64)
    keys_G.sort()
    first_U = np.flatnonzero(np.diff(keys_G, prepend=~keys_G[:1]))
    text_U = (keys_G[first_U] >> (np.uint64(64) - text_bits)).astype(np.int64)
    counts_U = np.diff(first_U, append=len(keys_G))
    first_T = np.flatnonzero(np.diff(text_U, prepend=-1))
    lengths_U = (keys_G[first_U] & np.uint64(longest)).astype(np.int64)
    best_T = np.maximum.reduceat((counts_U << _LENGTH_BITS) | lengths_U, first_T)
    text_T, counts_T, lengths_T = text_U[first_T], best_T >> _LENGTH_BITS, best_T & longest
    most_N[text_T] = np.minimum(most_N[text_T], counts_T)
    for text in text_T[(counts_T * lengths_T / points.chars[text_T] > most) | (lengths_T == longest)].tolist():
        share = _top_chars(tokens.words(text), n) / int(points.chars[text])
        if share > most:
            batch.drop(int(points.rows_N[text]), f"gopher repetition: most frequent {n}-gram", f"{share:.4g}")


def _top_chars(words: list[str], n: int) -> int:
    """Return the characters in all places of the most frequent n-gram; of several it is the one that comes first."""
    counts = Counter(zip(*(words[step:] for step in range(n)), strict=False))
    gram, count = max(counts.items(), key=lambda item: item[1])
    return (sum(map(len, gram)) + n - 1) * count


@dataclass(frozen=True)
class _Joined:
    """Sums from which the number of any run of words written without spaces comes; `offsets_W1` are their characters before."""

    sums_W1: NDArray[np.uint64]
    offsets_W1: NDArray[np.int64]

    def numbers(self, place_G: NDArray[np.int64], n: int) -> NDArray[np.uint64]:
        inverses = powers(int(self.offsets_W1[-1]) + 1)[1]
        return (self.sums_W1[place_G + n] - self.sums_W1[place_G]) * inverses[self.offsets_W1[place_G]]


def _join(tokens: Tokens) -> _Joined:
    offsets_W1 = np.concatenate((np.zeros(1, np.int64), np.cumsum(tokens.chars)))
    sums_W1 = np.zeros(len(offsets_W1), dtype=np.uint64)
    shifts_W = powers(int(offsets_W1[-1]) + 1)[0][offsets_W1[:-1]]
    np.cumsum(tokens.polynomials * shifts_W, out=sums_W1[1:])
    return _Joined(sums_W1, offsets_W1)


def _drop_repeated(batch: TextBatch, tokens: Tokens, limits: dict[int, float]) -> None:
    points, shortest = tokens.points, min(limits)
    place_G = _gram_places(tokens, shortest, batch.alive_N[points.rows_N])
    if not len(place_G):
        return
    joined = _join(tokens)
    text_G = tokens.text_numbers[place_G]
    keys_G = mix(joined.numbers(place_G, shortest) ^ mix(text_G.astype(np.uint64)))
    # Most n-grams are alone in their bucket, so only the others are sorted.
    buckets_G = (keys_G & np.uint64((1 << (len(keys_G).bit_length() + 2)) - 1)).astype(np.int64)
    shared = np.flatnonzero(np.bincount(buckets_G)[buckets_G] > 1)
    repeated = place_G[shared[repeats(keys_G[shared], text_G[shared])]]
    edges_W1 = np.bincount(repeated, minlength=len(joined.offsets_W1)) - np.bincount(
        repeated + shortest, minlength=len(joined.offsets_W1)
    )
    covered_W = np.cumsum(edges_W1[:-1]) > 0
    bound_N = fractions(tokens.sums(tokens.chars * covered_W), points.chars)
    for text in np.flatnonzero(bound_N > min(limits.values())).tolist():
        row, chars = int(points.rows_N[text]), int(points.chars[text])
        own = np.arange(tokens.offsets_N1[text], tokens.offsets_N1[text + 1])
        for n, most in limits.items():
            share = _scan(joined, own[: len(own) - n + 1], n) / chars
            if share > most:
                batch.drop(row, f"gopher repetition: repeated {n}-grams", f"{share:.4g}")
                break


def _scan(joined: _Joined, place_G: NDArray[np.int64], n: int) -> int:
    """Return the characters in repeated n-grams of one text, from left to right: after a repeated one the scan goes on behind it.

    Only n-grams that occur more than once can matter, so only their places are visited.
    """
    if not len(place_G):
        return 0
    _, kind_G, counts = np.unique(joined.numbers(place_G, n), return_inverse=True, return_counts=True)
    several = np.flatnonzero(counts[kind_G] > 1)
    begin = place_G[several]
    chars = (joined.offsets_W1[begin + n] - joined.offsets_W1[begin]).tolist()
    seen: set[int] = set()
    total = behind = 0
    for place, kind, length in zip(several.tolist(), kind_G[several].tolist(), chars, strict=True):
        if place < behind:
            continue
        if kind in seen:
            total += length
            behind = place + n
        else:
            seen.add(kind)
    return total
