"""Hashing of whole arrays of numbers, the same on every machine."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["GOLDEN", "mix"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)
_27, _30, _31 = np.uint64(27), np.uint64(30), np.uint64(31)


def mix(x_N: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return a well-mixed hash of each 64-bit number (the output function of splitmix64; a bijection)."""
    h_N = x_N + GOLDEN
    h_N ^= h_N >> _30
    h_N *= _MULTIPLIER_1
    h_N ^= h_N >> _27
    h_N *= _MULTIPLIER_2
    h_N ^= h_N >> _31
    return h_N
