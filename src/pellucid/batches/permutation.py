"""A random-looking order of [0, n) that needs no stored index: any place of it can be computed alone.

A Feistel network over pairs of digits (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002, generalised-Feistel
cipher with cycle walking): number x < n is split into (x mod a, x div a) with a·b just above n, each round adds a keyed hash of one
digit to the other, and the few results that fall at or above n are sent round again. Everything is elementwise, so that one call
permutes many sources and epochs, each with its own size and key.
"""

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import GOLDEN, mix

__all__ = ["permute"]

_ROUNDS = 6
_1, _32 = np.uint64(1), np.uint64(32)


def permute(index_N: NDArray[np.int64], size_N: NDArray[np.int64], key_N: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where a keyed permutation of [0, size) sends each index; 0 ≤ index < size ≤ 2**62, elementwise.

    For a fixed size and key this is a bijection of [0, size); it is the same on every machine.
    """
    if not len(index_N):
        return index_N.copy()
    bound_N = size_N.astype(np.uint64)
    low_N = np.ceil(np.sqrt(size_N.astype(np.float64))).astype(np.uint64)
    high_N = (bound_N + low_N - _1) // low_N
    moved_N = _feistel(index_N.astype(np.uint64), low_N, high_N, key_N)
    outside = np.flatnonzero(moved_N >= bound_N)
    while len(outside):
        moved_N[outside] = _feistel(moved_N[outside], low_N[outside], high_N[outside], key_N[outside])
        outside = outside[moved_N[outside] >= bound_N[outside]]
    return moved_N.astype(np.int64)


def _feistel(
    x_N: NDArray[np.uint64], low_N: NDArray[np.uint64], high_N: NDArray[np.uint64], key_N: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """Permute [0, low·high): both digits in turn take a keyed hash of the other, modulo their own base (below 2**32)."""
    right_N, left_N = np.divmod(x_N, low_N)
    left_base_N, right_base_N = low_N, high_N
    round_key_N = key_N.copy()
    for _ in range(_ROUNDS):
        round_key_N += GOLDEN
        # The top 32 bits times the base, shifted down, are uniform below the base without a slow 64-bit remainder.
        left_N = left_N + ((mix(right_N ^ round_key_N) >> _32) * left_base_N >> _32)
        left_N -= left_base_N * (left_N >= left_base_N)
        left_N, right_N, left_base_N, right_base_N = right_N, left_N, right_base_N, left_base_N
    return left_N + low_N * right_N
