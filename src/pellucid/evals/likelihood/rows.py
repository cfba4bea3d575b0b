"""Token sequences that share beginnings, laid out so that each shared token is computed once.

A row is a prefix tree: every token stands behind its sequence's earlier ones, and sees just those. Rows that all begin alike,
such as the questions behind the same worked examples, hang from a stem, whose keys and values are computed once.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Row", "Stem", "common_prefix", "lay_out"]

Ints = npt.NDArray[np.int64]

_LEAST_STEM = 32
"""Tokens in common that are worth a pass of their own."""


@dataclass(frozen=True, eq=False)
class Row:
    """Several sequences as one prefix tree of T tokens in depth-first order, behind a stem of `depth` tokens.

    Sequence n of the row is `members[n]` of what was laid out; its tokens behind the stem are `ids_T[paths[n]]`.
    """

    members: tuple[int, ...]
    paths: tuple[Ints, ...]
    ids_T: Ints
    positions_T: Ints

    @property
    def tokens(self) -> int:
        """T."""
        return len(self.ids_T)

    def mask(self) -> npt.NDArray[np.bool_]:
        """Return which tokens of the row each of them sees, (T, T): itself and those before it in its sequences."""
        mask_TT = np.zeros((self.tokens, self.tokens), dtype=np.bool_)
        done = 0
        for path in self.paths:
            # The tokens that this sequence adds are the last of its path.
            fresh = path[path >= done]
            shared = len(path) - len(fresh)
            mask_TT[np.ix_(fresh, path[:shared])] = True
            mask_TT[np.ix_(fresh, fresh)] = np.tri(len(fresh), dtype=np.bool_)
            done += len(fresh)
        return mask_TT


@dataclass(frozen=True)
class Stem:
    """Tokens that all `rows` begin with; there may be none."""

    ids: tuple[int, ...]
    rows: tuple[Row, ...]


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return with how many equal tokens two sequences begin."""
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    return next(at for at in range(length) if a[at] != b[at])


def lay_out(sequences: Sequence[tuple[int, ...]], scored_from: Sequence[int], row_tokens: int, hidden: int) -> list[Stem]:
    """Lay distinct sequences out in rows of at most `row_tokens` tokens, and rows on stems; a longer sequence has its own row.

    What all sequences of a row begin with may come on top where that is long, since it may become a stem; then the rest is a
    quarter at most, so that several rows fit into a batch. The tokens of sequence n from `scored_from[n]` on, after which something
    is scored, stay in its row.
    A sequence joins a row where what it saves, the shared tokens' matrix products, is more than what it costs, attention scores
    that are computed only to be masked: both grow with the model's width `hidden`, differently.
    """
    order = sorted(range(len(sequences)), key=lambda number: sequences[number])
    shared = [0, *(common_prefix(sequences[a], sequences[b]) for a, b in itertools.pairwise(order))]
    groups: list[list[int]] = []  # places in `order`
    tokens = common = 0
    for place, number in enumerate(order):
        new = len(sequences[number]) - shared[place]
        within = min(common, shared[place])
        fits = tokens + new <= row_tokens or (within >= _LEAST_STEM and tokens - within + new <= row_tokens // 4)
        # Per layer and token some 12·D² products; per masked pair of tokens 4·D, for both sides.
        if groups and fits and shared[place] and shared[place] * 3 * hidden >= 2 * tokens * new:
            groups[-1].append(place)
            tokens, common = tokens + new, within
        else:
            groups.append([place])
            tokens = common = len(sequences[number])
    return [
        _stem([[order[place] for place in group] for group in stem], sequences, length)
        for stem, length in _stems(groups, [scored_from[number] for number in order], shared)
    ]


def _stems(groups: list[list[int]], scored_from: Sequence[int], shared: Sequence[int]) -> list[tuple[list[list[int]], int]]:
    """Put neighbouring rows together that have a long beginning in common; return them with its length, 0 for a row alone.

    A row joins while that costs the others no more than half of what they share.
    """
    stems: list[tuple[list[list[int]], int]] = []
    for group in groups:
        within = min([*(shared[place] for place in group[1:]), *(scored_from[place] for place in group)])
        if stems:
            rows, length = stems[-1]
            common = min(length, shared[group[0]], within)
            if common >= max(_LEAST_STEM, length // 2):
                stems[-1] = ([*rows, group], common)
                continue
        stems.append(([group], within))
    return [(rows, length if len(rows) > 1 else 0) for rows, length in stems]


def _stem(rows: list[list[int]], sequences: Sequence[tuple[int, ...]], length: int) -> Stem:
    return Stem(sequences[rows[0][0]][:length], tuple(_row(row, sequences, length) for row in rows))


def _row(members: list[int], sequences: Sequence[tuple[int, ...]], depth: int) -> Row:
    ids: list[int] = []
    positions: list[int] = []
    paths: list[Ints] = []
    before: tuple[int, ...] = ()
    path = np.zeros(0, dtype=np.int64)
    for number in members:
        sequence = sequences[number]
        common = max(depth, common_prefix(before, sequence)) if paths else depth
        path = np.concatenate([path[: common - depth], len(ids) + np.arange(len(sequence) - common)])
        ids += sequence[common:]
        positions += range(common, len(sequence))
        paths.append(path)
        before = sequence
    return Row(tuple(members), tuple(paths), np.array(ids, dtype=np.int64), np.array(positions, dtype=np.int64))
