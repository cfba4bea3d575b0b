"""What training is handed: ids and targets, and where documents begin when attention is confined to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["IGNORE", "Batch", "Piece", "Sequence", "columns_for", "confine_to_documents", "number_pieces"]

IGNORE = -100

# Rows that end in padding are as long as the longest, rounded up to this: the blocks of queries in which a CPU computes attention.
_COLUMNS = 64


def columns_for(longest: int, most: int) -> int:
    """Return how many columns hold rows of at most `longest` tokens, padding included: `most` or fewer, at least one block."""
    return min(most, -(-max(1, longest) // _COLUMNS) * _COLUMNS)


@dataclass(frozen=True)
class Piece:
    """Tokens that lie in a row in one source, `tokens` of them from `start` on, and `at` which of the sequence's ids they begin."""

    source: str
    epoch: int
    start: int
    tokens: int
    at: int = 0


@dataclass(frozen=True, eq=False)
class Sequence:
    """One window of one source. `ids` holds T+1 tokens: the T inputs, and the target of the last of them.

    `pieces` say where they are from: one piece, the window; with best-fit packing the pieces of documents of pack number `window`,
    behind which `ids` is padding; with parts in several languages one piece for each, of T/parts + 1 tokens (so that `ids` is
    longer), and `source`, `epoch`, `window` and `start` are those of the first.
    """

    index: int
    source: str
    epoch: int
    window: int
    start: int
    ids: NDArray[np.uint32]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """B sequences of T positions, as numpy arrays that torch can wrap without a copy.

    `ids_BT` and `targets_BT` are int64 and may be two views of one array: write to neither. A target of `IGNORE` carries no loss.
    `source_B` is the number of each sequence's source in `source_names`, `sequence_B` the sequence's place in the order. Where
    sequences are put together from parts of several sources, `source_B` has an entry for each part, B·parts.
    `positions_BT` (int64, from 0 again after each end of document) is there only when attention is confined to documents,
    `documents_BT` (int32, counted from 0 within the sequence) then and when languages decide who sees whom, `languages_BT` (int32,
    equal for the same language) only in the latter case.

    A sequence of preference pairs is two rows, chosen then rejected: `ids_BT` and what goes with it have twice as many rows as
    `source_B` and `sequence_B` have entries. `values` are further figures of each sequence, (B, ...), for the objective.
    `units_B` is what each sequence adds to the number that the step's loss is divided by: its targets where it is None, 0 for a
    sequence that only fills up the last step. `lengths` says how many tokens lead each row, where the rest is padding.
    """

    ids_BT: NDArray[np.int64]
    targets_BT: NDArray[np.int64]
    source_B: NDArray[np.int64]
    sequence_B: NDArray[np.int64]
    source_names: tuple[str, ...]
    positions_BT: NDArray[np.int64] | None = None
    documents_BT: NDArray[np.int32] | None = None
    languages_BT: NDArray[np.int32] | None = None
    values: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    units_B: NDArray[np.float64] | None = None
    lengths: NDArray[np.int64] | None = None

    @property
    def rows(self) -> int:
        """Rows of one sequence: 2 for preference pairs, otherwise 1."""
        return len(self.ids_BT) // max(1, len(self.sequence_B))

    @property
    def parts(self) -> int:
        """Parts of a sequence that may each be of another source; 1 unless attention is cross-lingual."""
        return len(self.source_B) // max(1, len(self.sequence_B))

    def tokens_by_sequence(self) -> NDArray[np.int64]:
        """Tokens of each sequence, or each of its parts, padding left out: int64 (B·parts,)."""
        entries = len(self.source_B)
        if self.lengths is None:
            return np.full(entries, self.ids_BT.size // max(1, entries), dtype=np.int64)
        return np.asarray(self.lengths.reshape(entries, -1).sum(axis=1))

    @property
    def first_sequence(self) -> int:
        """Place of the batch's first sequence in the order."""
        return int(self.sequence_B[0])

    @property
    def target_tokens(self) -> int:
        """Targets that carry loss."""
        return int(np.count_nonzero(self.targets_BT != IGNORE))


def confine_to_documents(
    tokens_BT: NDArray[np.int64], eos_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Return targets, positions and document numbers, each (B, T), for windows of T+1 tokens whose documents end with `eos_id`.

    The end mark of a document may not foretell the first token of the next, which has nothing to do with it: where it is the input,
    the target is `IGNORE`. The document after it begins at position 0.
    """
    ids_BT = tokens_BT[:, :-1]
    seqs, seq_tokens = ids_BT.shape
    # One allocation for both: the largest piece of memory sets how much the allocator keeps for the next batch.
    targets_BT, positions_BT = np.empty((2, seqs, seq_tokens), dtype=np.int64)
    targets_BT[:] = tokens_BT[:, 1:]
    end_N = np.flatnonzero(ids_BT == eos_id)
    targets_BT.reshape(-1)[end_N] = IGNORE
    # All windows end to end are runs of one document each; a run begins with a window or after an end mark.
    begin_N = np.unique(np.concatenate([np.arange(seqs) * seq_tokens, end_N + 1]))
    documents_BT = number_pieces(begin_N[begin_N < seqs * seq_tokens], positions_BT)
    return targets_BT, positions_BT, documents_BT


def number_pieces(begin_N: NDArray[np.int64], positions_BT: NDArray[np.int64]) -> NDArray[np.int32]:
    """Fill in positions that count from 0 in each piece, and return the pieces' numbers in their sequence, (B, T).

    `begin_N` says where pieces begin, ascending, through all B·T positions; every sequence begins one.
    """
    seqs, seq_tokens = positions_BT.shape
    length_N = np.diff(begin_N, append=seqs * seq_tokens)
    run_N = np.arange(len(begin_N))
    number_N = run_N - np.maximum.accumulate(run_N * (begin_N % seq_tokens == 0))
    documents_BT = np.repeat(number_N.astype(np.int32), length_N).reshape(seqs, seq_tokens)
    # Positions go up by one, except that a run's first takes back the length of the run before.
    flat = positions_BT.reshape(-1)
    flat.fill(1)
    flat[begin_N[1:]] -= length_N[:-1]
    flat[:1] = 0
    np.cumsum(flat, out=flat)
    return documents_BT
