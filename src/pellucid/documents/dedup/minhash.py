"""MinHash: a text as P minima, so that two texts have equal minima about as often as they have shingles in common.

A shingle is a run of n words (`documents/words.py`: letters, marks and digits in lower case; punctuation and spacing play no
part). Under a random permutation of all shingles, two sets have the same smallest element with probability J, their Jaccard
similarity (Broder 1997, "On the resemblance and containment of documents"). The share of equal minima of P permutations is
therefore an unbiased estimate of J with a standard deviation of sqrt(J (1 - J) / P): .035 at J = .8 and P = 128.

Permutations are x → a x + b modulo 2**32 with odd a over already mixed hashes, so everything is whole numbers: the same bytes on
every machine and for every way of cutting the documents into batches.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import GOLDEN, mix
from pellucid.core.seeds import derive_seed
from pellucid.documents.words import Words, hash_ngrams
from pellucid.recipe.documents import NearDedupConfig

__all__ = ["NO_WORDS", "found_frac", "has_words", "least_equal", "signatures"]

NO_WORDS = np.uint32(0xFFFFFFFF)
_BLOCK_SHINGLES = 1 << 16
_PASSED = Fraction(99, 100)
_HALF = np.uint64(32)


def signatures(words: Words, config: NearDedupConfig, seed: int) -> NDArray[np.uint32]:
    """Return the minima of N texts, (N, P) uint32 with P = `config.permutations`.

    A text of fewer words than a shingle has one shingle of all its words, so it is a near-duplicate only of texts with exactly
    these words. A text without any word has a row of `NO_WORDS` and is a near-duplicate of nothing. Equal seeds and settings make
    signatures comparable. Memory: some 20 bytes per word beside the result.
    """
    shingles_S, begin_M, row_M = _shingles(words, config.ngram_words)
    numbers_P = mix(np.uint64(derive_seed(seed, "minhash")) + GOLDEN * np.arange(config.permutations, dtype=np.uint64))
    factors_P = (numbers_P >> _HALF).astype(np.uint32) | np.uint32(1)
    shifts_P = numbers_P.astype(np.uint32)
    minima_PM = np.empty((config.permutations, len(row_M)), dtype=np.uint32)
    ends_M = np.append(begin_M[1:], len(shingles_S))
    first = 0
    # Blocks of documents whose shingles stay in the processor's cache while all permutations pass over them.
    while first < len(row_M):
        last = max(first + 1, int(np.searchsorted(ends_M, begin_M[first] + _BLOCK_SHINGLES, side="right")))
        block_X = shingles_S[begin_M[first] : ends_M[last - 1]]
        starts = begin_M[first:last] - begin_M[first]
        moved_X = np.empty_like(block_X)
        for number in range(config.permutations):
            np.multiply(block_X, factors_P[number], out=moved_X)
            np.add(moved_X, shifts_P[number], out=moved_X)
            np.minimum.reduceat(moved_X, starts, out=minima_PM[number, first:last])
        first = last
    minima_NP = np.full((len(words.offsets_N1) - 1, config.permutations), NO_WORDS, dtype=np.uint32)
    minima_NP[row_M] = minima_PM.T
    return minima_NP


def has_words(minima_NP: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Tell for each signature whether its text has words (N)."""
    return np.asarray((minima_NP != NO_WORDS).any(axis=1))


def least_equal(config: NearDedupConfig) -> int:
    """Return how many of the P minima must be equal for two documents to count as near-duplicates.

    It is the largest number that a pair of exactly `min_jaccard` reaches with probability .99: 91 of 128 for .8, an estimate
    of .71. Asking for an estimate of .8 itself would lose half of these pairs. The price: of pairs with a true similarity of .7,
    43 % are found too, of .6 one in two hundred, of .5 one in two million.
    """
    # In whole numbers, because a rounding that differs between machines could move the limit.
    jaccard = Fraction(str(config.min_jaccard))
    whole, same, other = config.permutations, jaccard.numerator, jaccard.denominator - jaccard.numerator
    reached, total = 0, jaccard.denominator**whole
    for equal in range(whole, 0, -1):
        reached += math.comb(whole, equal) * same**equal * other ** (whole - equal)
        if reached >= _PASSED * total:
            return equal
    return 0


def found_frac(config: NearDedupConfig, jaccard: float) -> float:
    """Return a lower bound of the share of pairs of this similarity that are found: compared, and then verified.

    With the defaults .9941 at .8, .99998 at .85, 1 - 7e-10 at .9. It is a product although both look at the same minima, because
    both only become likelier with each equal minimum (Harris's inequality).
    """
    if jaccard in (0, 1):
        return float(jaccard)
    whole = config.permutations
    logs = (
        math.lgamma(whole + 1)
        - math.lgamma(equal + 1)
        - math.lgamma(whole - equal + 1)
        + equal * math.log(jaccard)
        + (whole - equal) * math.log1p(-jaccard)
        for equal in range(least_equal(config), whole + 1)
    )
    return config.compared_frac(jaccard) * math.fsum(map(math.exp, logs))


def _shingles(words: Words, n: int) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the S shingles of the M documents that have words, the M places where they begin, and the M documents."""
    grams_G, offsets_N1 = hash_ngrams(words, n)
    counts_N = np.diff(words.offsets_N1)
    shingles_N = np.where(counts_N >= n, np.diff(offsets_N1), np.minimum(counts_N, 1))
    begin_N = np.cumsum(shingles_N) - shingles_N
    row_M = np.flatnonzero(shingles_N)
    short_N = (counts_N > 0) & (counts_N < n)
    shingles_S = np.empty(int(shingles_N.sum()), dtype=np.uint32)
    is_gram_S = np.ones(len(shingles_S), dtype=np.bool_)
    is_gram_S[begin_N[short_N]] = False
    shingles_S[is_gram_S] = grams_G >> _HALF
    for count in range(1, n):
        rows = np.flatnonzero(counts_N == count)
        if len(rows):
            # Beginning with the count keeps a short text's shingle apart from every other length's.
            hashes = np.full(len(rows), count, dtype=np.uint64)
            for place in range(count):
                hashes = hashes * GOLDEN + words.keys_W[words.offsets_N1[rows] + place]
            shingles_S[begin_N[rows]] = mix(hashes) >> _HALF
    return shingles_S, begin_N[row_M], row_M
