"""Exact and near duplicates over the whole corpus, and the guard between held-out and training documents."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rensa import RMinHash

__all__ = ["HELDOUT_CONTAINMENT", "NEAR_JACCARD", "ShingleIndex", "leaking", "near_duplicates"]

NEAR_JACCARD = 0.5
HELDOUT_CONTAINMENT = 0.7
SHINGLE_WORDS = 5
PERMUTATIONS, BAND_ROWS = 256, 4  # a pair at Jaccard 0.5 is missed with probability (1 - 0.5^4)^64 = 1.6 %
Hashes = npt.NDArray[np.uint64]


class ShingleIndex:
    """Word 5-shingles as sorted sets of 64-bit hashes. Words are hashed once; a shingle mixes five of them."""

    def __init__(self) -> None:
        self.words: dict[str, int] = {}

    def shingles(self, text: str) -> Hashes:
        """Return the sorted unique shingle hashes of a text (case folded, runs of word characters)."""
        hashes = np.array([self.word(word) for word in re.findall(r"\w+", text.casefold())], dtype=np.uint64)
        if len(hashes) < SHINGLE_WORDS:
            return np.unique(hashes)
        mixed = np.zeros(len(hashes) - SHINGLE_WORDS + 1, dtype=np.uint64)
        for place in range(SHINGLE_WORDS):
            mixed = mixed * np.uint64(0x9E3779B97F4A7C15) + hashes[place : place + len(mixed)]
            mixed ^= mixed >> np.uint64(29)
        return np.unique(mixed)

    def word(self, word: str) -> int:
        """Return the 64-bit hash of a word."""
        known = self.words.get(word)
        if known is None:
            known = self.words[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        return known


def jaccard(left: Hashes, right: Hashes) -> float:
    """Return the exact Jaccard similarity of two shingle sets."""
    common = len(np.intersect1d(left, right, assume_unique=True))
    return common / max(1, len(left) + len(right) - common)


def near_duplicates(shingles: Sequence[Hashes]) -> set[int]:
    """Return the indices to drop so that no two kept sets have a Jaccard similarity of 0.5 or more; the first is kept.

    Candidates come from MinHash bands; each is checked exactly against the kept sets before it.
    """
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    dropped: set[int] = set()
    for index, hashes in enumerate(shingles):
        sketch = RMinHash(num_perm=PERMUTATIONS, seed=1)
        sketch.update([value.tobytes().hex() for value in hashes])
        digest = np.array(sketch.digest(), dtype=np.uint32)
        keys = [(band, digest[band * BAND_ROWS : (band + 1) * BAND_ROWS].tobytes()) for band in range(PERMUTATIONS // BAND_ROWS)]
        candidates = {other for key in keys for other in buckets[key]}
        if any(jaccard(hashes, shingles[other]) >= NEAR_JACCARD for other in sorted(candidates)):
            dropped.add(index)
            continue
        for key in keys:
            buckets[key].append(index)
    return dropped


def leaking(heldout: Sequence[Hashes], training: Sequence[Hashes]) -> set[int]:
    """Return the indices of training sets that come near a held-out set.

    Near is a Jaccard similarity of 0.5 or more, or 0.7 or more of the smaller set inside the other; both exact, from an
    inverted index of all held-out shingles.
    """
    if not heldout:
        return set()
    values = np.concatenate(heldout)
    owners = np.repeat(np.arange(len(heldout)), [len(hashes) for hashes in heldout])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    sizes = np.array([len(hashes) for hashes in heldout])
    near: set[int] = set()
    for index, hashes in enumerate(training):
        first = np.searchsorted(values, hashes, "left")
        last = np.searchsorted(values, hashes, "right")
        hit = np.flatnonzero(last > first)
        if not len(hit):
            continue
        common = np.bincount(np.concatenate([owners[first[place] : last[place]] for place in hit]), minlength=len(sizes))
        union = len(hashes) + sizes - common
        smaller = np.minimum(len(hashes), sizes)
        if np.any(common >= NEAR_JACCARD * union) or np.any(common >= HELDOUT_CONTAINMENT * smaller):
            near.add(index)
    return near
