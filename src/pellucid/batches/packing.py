"""Whole documents packed into sequences by best fit, longest first: which documents lie in which pack, what is cut, what is padded.

Ding et al. 2024, "Fewer truncations improve language modeling" (arXiv 2404.10830), section 3. Documents that are longer than a pack
are cut into pieces as long as one; whatever is left over is a piece of its own. Pieces are then placed from the longest to the
shortest, each in the open pack that it fills best. Pieces of one length are placed together, and so are the packs with the same
room, so the work grows with the number of different lengths rather than of documents.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Packs", "cut_by_windows", "pack_documents"]

_CHUNK_DOCUMENTS = 1 << 22


@dataclass(frozen=True, eq=False)
class Packs:
    """The packs of one source. N pieces in P packs of at most `capacity` tokens.

    Pack p holds the pieces `first_P1[p]` to `first_P1[p + 1]`, in the order of the source. `start_N` is a piece's first token in
    the source, `length_N` its tokens, and `continues_N` says whether it begins in the middle of a document.
    """

    capacity: int
    first_P1: NDArray[np.int64]
    start_N: NDArray[np.int64]
    length_N: NDArray[np.int32]
    continues_N: NDArray[np.bool_]
    cut_documents: int

    @property
    def packs(self) -> int:
        """How many packs there are: the sequences of an epoch."""
        return len(self.first_P1) - 1

    @cached_property
    def fills(self) -> NDArray[np.int64]:
        """Tokens of each pack, (P,); the rest up to `capacity` is padding."""
        if not len(self.length_N):
            return np.zeros(0, dtype=np.int64)
        return np.add.reduceat(self.length_N, self.first_P1[:-1], dtype=np.int64)

    @property
    def padding_tokens(self) -> int:
        """Padding of all packs."""
        return self.packs * self.capacity - int(self.fills.sum())

    def pieces(self, pack: int) -> slice:
        """Return which pieces a pack holds."""
        return slice(int(self.first_P1[pack]), int(self.first_P1[pack + 1]))


def pack_documents(starts: NDArray[np.int64], capacity: int) -> Packs:
    """Pack documents, given by where each begins and the last ends, into packs of at most `capacity` tokens.

    Every token is in exactly one pack, and no document of at most `capacity` tokens is cut. The result depends on the arguments
    alone. Memory: some 41 bytes a piece while packing; afterwards 13 a piece and 8 a pack.
    """
    start_N, length_N, continues_N, cut = _cut(starts, capacity)
    pack_N, packs = _best_fit_decreasing(length_N, capacity)
    first_P1 = np.concatenate([[0], np.cumsum(np.bincount(pack_N, minlength=packs))]).astype(np.int64)
    # A stable sort keeps the pieces of a pack in the order of the source.
    order_N = np.argsort(pack_N, kind="stable")
    del pack_N
    return Packs(capacity, first_P1, start_N[order_N], length_N[order_N], continues_N[order_N], cut)


def _cut(starts: NDArray[np.int64], capacity: int) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_], int]:
    """Return each piece's first token, its length and whether it goes on with a document; and how many documents were cut."""
    count_D = np.diff(starts)
    count_D += capacity - 1
    count_D //= capacity
    cut = int(np.count_nonzero(count_D > 1))
    start_N = np.repeat(starts[:-1], count_D)
    within_N = np.arange(len(start_N))
    within_N -= np.repeat(np.cumsum(count_D) - count_D, count_D)
    continues_N = within_N > 0
    within_N *= capacity
    start_N += within_N
    del within_N
    length_N = np.repeat(starts[1:], count_D)
    del count_D
    length_N -= start_N
    np.minimum(length_N, capacity, out=length_N)
    return start_N, length_N.astype(np.int32), continues_N, cut


def _best_fit_decreasing(length_N: NDArray[np.int32], capacity: int) -> tuple[NDArray[np.int32], int]:
    """Return the pack of each piece, and the number of packs."""
    order_N = np.argsort(-length_N, kind="stable")
    sorted_N = length_N[order_N]
    ends = np.flatnonzero(np.diff(sorted_N, append=0)) + 1
    pack_N = np.empty(len(length_N), dtype=np.int32)
    rooms = _Rooms(capacity)
    begin = 0
    for end in ends.tolist():
        length = int(sorted_N[begin])
        while begin < end:
            room, packs = rooms.take(length, end - begin)
            each = room // length
            placed = min(end - begin, len(packs) * each)
            pack_N[order_N[begin : begin + placed]] = np.repeat(packs, each)[:placed]
            begin += placed
            last = placed - (len(packs) - 1) * each
            rooms.give(room - each * length, packs[:-1])
            rooms.give(room - last * length, packs[-1:])
    return pack_N, rooms.opened


class _Rooms:
    """The open packs by how much room they have."""

    def __init__(self, capacity: int) -> None:
        self.opened = 0
        self._capacity = capacity
        self._sizes: list[int] = []
        self._packs: dict[int, list[NDArray[np.int32]]] = {}

    def take(self, length: int, pieces: int) -> tuple[int, NDArray[np.int32]]:
        """Return the least room for a piece of this length, and as many packs that have it as `pieces` of them can fill.

        Best fit puts pieces of one length into the same pack until it is full: what is left of it is the least room there is.
        """
        at = bisect_left(self._sizes, length)
        if at == len(self._sizes):
            wanted = -(-pieces // (self._capacity // length))
            new = np.arange(self.opened, self.opened + wanted, dtype=np.int32)
            self.opened += wanted
            return self._capacity, new
        size = self._sizes[at]
        wanted, taken, stack = -(-pieces // (size // length)), [], self._packs[size]
        while stack and wanted:
            packs = stack.pop()
            if len(packs) > wanted:
                stack.append(packs[wanted:])
                packs = packs[:wanted]
            wanted -= len(packs)
            taken.append(packs)
        if not stack:
            del self._packs[size], self._sizes[at]
        return size, taken[0] if len(taken) == 1 else np.concatenate(taken)

    def give(self, room: int, packs: NDArray[np.int32]) -> None:
        """Put packs back with the room that they have left."""
        if not room or not len(packs):
            return
        if room not in self._packs:
            insort(self._sizes, room)
            self._packs[room] = []
        self._packs[room].append(packs)


def cut_by_windows(starts: NDArray[Any], seq_tokens: int) -> int:
    """Return how many documents do not lie whole in one window of T+1 tokens that begins at a multiple of T = `seq_tokens`."""
    last_target = (int(starts[-1]) - 1) // seq_tokens * seq_tokens or -1
    cut = 0
    for at in range(0, len(starts) - 1, _CHUNK_DOCUMENTS):
        edges = np.asarray(starts[at : at + _CHUNK_DOCUMENTS + 1])
        last = edges[1:] - 1
        cut += int(np.count_nonzero((last > edges[:-1] // seq_tokens * seq_tokens + seq_tokens) | (last > last_target)))
    return cut
