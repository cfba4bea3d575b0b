"""Union-find over row numbers, a whole array of edges at a time. The root of a set is its smallest row."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["flatten", "join"]

_CHUNK = 1 << 20


def join(parent_N: NDArray[np.int64], edges_E2: NDArray[np.int64]) -> None:
    """Unite the two rows of each edge, in place. `parent_N` begins as `arange(N)`; a parent is never larger than its row.

    The sets do not depend on the order of the edges.
    """
    a, b = edges_E2[:, 0], edges_E2[:, 1]
    while len(a):
        a, b = _find(parent_N, a), _find(parent_N, b)
        apart = a != b
        a, b = np.minimum(a, b)[apart], np.maximum(a, b)[apart]
        # Of several smaller roots one wins; the edges to the others come round again.
        np.minimum.at(parent_N, b, a)


def flatten(parent_N: NDArray[np.int64]) -> None:
    """Make every row point at its root, in place."""
    for begin in range(0, len(parent_N), _CHUNK):
        rows = np.arange(begin, min(begin + _CHUNK, len(parent_N)), dtype=np.int64)
        parent_N[rows] = _find(parent_N, rows)


def _find(parent_N: NDArray[np.int64], rows_M: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the roots of the rows, and shorten their paths: they halve in each round, as all rows advance together."""
    here_M = parent_N[rows_M]
    while True:
        next_M = parent_N[here_M]
        if np.array_equal(next_M, here_M):
            return here_M
        parent_N[rows_M] = next_M
        here_M = next_M
