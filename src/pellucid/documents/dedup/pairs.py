"""Near-duplicate pairs among the documents that agree in a band: candidates are verified against their whole signatures.

Documents with the same key in a band are a group. In a group of at most `GROUP_ROWS` all pairs are compared, except those of two
documents that both match the group's first, because these are connected already. Of larger groups, such as 100 000 pages of the
same boilerplate, comparing all pairs would take for ever. There each document is compared with the group's centres: the first
document is a centre, and each later one that matches no centre becomes one, up to `CENTRES`. A first document that resembles no
other costs one comparison each and hides nothing.

What this can lose, in large groups only: two similar documents that match two different centres, or none of the `CENTRES`. They are
still found in every other band in which they agree and where their group is small or one of them is a centre; documents of .8
agree in 8 bands of 25 on average, of .9 in 15. What a group of pages has in common fills few bands: with .5 in common one in 32.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from pellucid.documents.dedup.arrays import Rows
from pellucid.documents.dedup.buckets import Plan, Slice, bucket_rows

__all__ = ["CENTRES", "GROUP_ROWS", "Verifier", "centre_pairs", "group_pairs", "read_bucket"]

GROUP_ROWS = 128
CENTRES = 128

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int64]


@dataclass
class Verifier:
    """Compare documents by their signatures, some at a time; pairs of at least `least` equal minima go to `out`.

    A chunk of pairs takes about 20 bytes for each of the signature's minima.
    """

    signatures: Rows
    least: int
    budget_bytes: int
    out: BinaryIO
    chunk: int = field(init=False)

    def __post_init__(self) -> None:
        self.chunk = min(1 << 16, max(16, self.budget_bytes // 4 // (20 * max(1, self.signatures.width))))

    def matches(self, a_M: Numbers, b_M: Numbers) -> NDArray[np.bool_]:
        """Return which of the pairs of rows match; those are written."""
        found = np.zeros(len(a_M), dtype=np.bool_)
        for begin in range(0, len(a_M), self.chunk):
            a, b = a_M[begin : begin + self.chunk], b_M[begin : begin + self.chunk]
            rows, where = np.unique(np.concatenate((a, b)), return_inverse=True)
            minima = self.signatures.take(rows)
            found[begin : begin + self.chunk] = self.equal(minima[where[: len(a)]], minima[where[len(a) :]])
        self.write(a_M[found], b_M[found])
        return found

    def equal(self, a_MP: NDArray[np.uint32], b_MP: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Return which signatures are near enough."""
        return np.asarray(np.add.reduce((a_MP == b_MP).view(np.uint8), axis=1, dtype=np.uint16) >= self.least)

    def write(self, a_M: Numbers, b_M: Numbers) -> None:
        """Write pairs of rows."""
        self.out.write(np.stack((a_M, b_M), axis=1).astype("<i8").tobytes())


def read_bucket(plan: Plan, band: int, bucket: int) -> tuple[Keys, Numbers, list[Iterator[Numbers]]]:
    """Return the keys that 2 to `GROUP_ROWS` rows have, sorted, with their rows ascending, and the rows of each larger group.

    A bucket that is too large for memory, because of keys in very many rows, is read without these; their rows come part by part.
    """
    slices = list(plan.slices(band, bucket))
    limit = bucket_rows(plan.budget_bytes)
    fits = sum(piece.end - piece.begin for piece in slices) <= limit
    common = np.zeros(0, dtype=np.uint64) if fits else _common_keys(slices, limit)
    keys, rows = _gather(slices, common)
    begin, sizes = _runs(keys)
    large = sizes > GROUP_ROWS
    groups = [iter((rows[first : first + size],)) for first, size in zip(begin[large], sizes[large], strict=True)]
    groups += [_rows_of(slices, key) for key in common]
    small = np.repeat((sizes > 1) & ~large, sizes)
    return keys[small], rows[small], groups


def group_pairs(keys_M: Keys, rows_M: Numbers, verifier: Verifier) -> None:
    """Write the pairs of the small groups: `keys_M` sorted, with 2 to `GROUP_ROWS` equal ones each."""
    begin, sizes = _runs(keys_M)
    first_M = np.repeat(begin, sizes)
    place_M = np.arange(len(keys_M))
    others = np.flatnonzero(place_M != first_M)
    with_first_M = place_M == first_M
    with_first_M[others] = verifier.matches(rows_M[first_M[others]], rows_M[others])
    end_M = np.repeat(begin + sizes, sizes)
    left: list[Numbers] = []
    right: list[Numbers] = []
    waiting = 0
    for distance in range(1, int(sizes.max(initial=1)) - 1):
        others = others[others + distance < end_M[others]]
        pairs = others[~(with_first_M[others] & with_first_M[others + distance])]
        left.append(rows_M[pairs])
        right.append(rows_M[pairs + distance])
        waiting += len(pairs)
        if waiting >= verifier.chunk:
            verifier.matches(np.concatenate(left), np.concatenate(right))
            left, right, waiting = [], [], 0
    if waiting:
        verifier.matches(np.concatenate(left), np.concatenate(right))


def centre_pairs(pieces: Iterable[Numbers], verifier: Verifier) -> None:
    """Write the pairs of one large group, whose ascending rows come in pieces: each row with all centres before it that it matches.

    How the rows are cut into pieces makes no difference.
    """
    rows_K: list[int] = []
    minima_K: list[NDArray[np.uint32]] = []
    chunks = (piece[begin : begin + verifier.chunk] for piece in pieces for begin in range(0, len(piece), verifier.chunk))
    for rows in chunks:
        minima = verifier.signatures.take(rows)
        matched = np.zeros(len(rows), dtype=np.bool_)
        centre = 0
        while True:
            begin = 0
            if centre == len(rows_K):
                free = np.flatnonzero(~matched)
                if not len(free) or len(rows_K) == CENTRES:
                    break
                begin = int(free[0]) + 1
                matched[begin - 1] = True
                rows_K.append(int(rows[begin - 1]))
                minima_K.append(minima[begin - 1].copy())
            found = begin + np.flatnonzero(verifier.equal(minima[begin:], minima_K[centre][None]))
            matched[found] = True
            verifier.write(np.full(len(found), rows_K[centre], dtype=np.int64), rows[found])
            centre += 1


def _runs(keys_M: Keys) -> tuple[Numbers, Numbers]:
    """Return where runs of equal keys begin, and their lengths."""
    begin = np.flatnonzero(np.append(True, keys_M[1:] != keys_M[:-1])) if len(keys_M) else np.zeros(0, dtype=np.int64)
    return begin, np.diff(begin, append=len(keys_M))


def _common_keys(slices: list[Slice], limit: int) -> Keys:
    """Return the keys that more than `GROUP_ROWS` rows have. Memory: 16 bytes per different key, and `limit` keys at a time."""
    keys, counts = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    waiting: list[Keys] = []
    for number, piece in enumerate(slices, 1):
        waiting.append(piece.keys())
        if number < len(slices) and sum(map(len, waiting)) < limit:
            continue
        new, sizes = np.unique(np.concatenate(waiting), return_counts=True)
        waiting = []
        together = np.concatenate((keys, new))
        order = np.argsort(together, kind="stable")
        begin, _ = _runs(together[order])
        keys, counts = together[order][begin], np.add.reduceat(np.concatenate((counts, sizes))[order], begin)
    return keys[counts > GROUP_ROWS]


def _gather(slices: list[Slice], without: Keys) -> tuple[Keys, Numbers]:
    """Return the keys of all parts that are not in `without`, sorted, and their rows, which ascend where keys are equal."""
    keys: list[Keys] = [np.zeros(0, dtype=np.uint64)]
    rows: list[Numbers] = [np.zeros(0, dtype=np.int64)]
    for piece in slices:
        own_keys, own_rows = piece.keys(), piece.rows()
        if len(without):
            kept = ~np.isin(own_keys, without)
            own_keys, own_rows = own_keys[kept], own_rows[kept]
        keys.append(own_keys)
        rows.append(own_rows)
    all_keys, all_rows = np.concatenate(keys), np.concatenate(rows)
    order = np.argsort(all_keys, kind="stable")
    return all_keys[order], all_rows[order]


def _rows_of(slices: list[Slice], key: np.uint64) -> Iterator[Numbers]:
    """Yield the rows of one key, part by part."""
    for piece in slices:
        keys = np.load(piece.part.keys, mmap_mode="r")[piece.band]
        begin, end = int(np.searchsorted(keys, key)), int(np.searchsorted(keys, key, side="right"))
        if end > begin:
            yield Slice(piece.part, piece.band, begin, end).rows()
