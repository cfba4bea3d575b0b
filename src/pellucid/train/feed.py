"""From a numpy batch to micro-batches on the device, and what an objective gives back for one."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.batches.batch import IGNORE, Batch, columns_for
from pellucid.kernels.attention import Documents
from pellucid.model.decoder import Decoder

__all__ = ["MicroBatch", "Objective", "ObjectiveLoss", "micro_batches", "units_by_sequence"]


_FEW_TARGETS = 0.9
"""Of conversations, 30 to 90 % of positions have no target. Text has one nearly everywhere: nothing is picked out of it."""

_ROWS = 128
"""Positions are picked out in multiples of this: of each number of rows that a product has met, libraries keep what they have
prepared for it, so that numbers which never come again would make a process grow at every step."""


class MicroBatch(NamedTuple):
    """One forward pass; tensors are int64. Targets of `IGNORE` carry no loss."""

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor | None
    documents: Documents | None
    parts: int = 1
    """Parts of each sequence whose losses are told apart, since each may be of another source."""
    values: Mapping[str, Tensor] = MappingProxyType({})
    """Further figures of each sequence, (B, ...); see `Batch.values`. Of pairs, tokens have two rows for each."""
    rows_N: Tensor | None = None
    """Which of all B·T positions the loss is to look at, where so many have no target: those that have one, and few others."""


class ObjectiveLoss(NamedTuple):
    """What an objective returns: the sum to differentiate, and the detached loss of each sequence or part of one.

    That loss is in nats of its targets, or whatever `Batch.units_B` counts. `figures` are further detached numbers of each
    sequence, (B,), the same names each time; the record of a step has their means.
    """

    loss_sum: Tensor
    nats_B: Tensor
    figures: Mapping[str, Tensor] = MappingProxyType({})


class Objective(Protocol):
    """A training objective. Sums, never means: the loop divides once by the global number of targets of the step."""

    def __call__(self, model: Decoder, batch: MicroBatch) -> ObjectiveLoss:
        """Return the loss of one micro-batch."""


def micro_batches(batch: Batch, micro_seqs: int, device: torch.device) -> Iterator[MicroBatch]:
    """Yield consecutive slices of at most `micro_seqs` sequences, on the device, without columns that are padding in all rows."""

    def send(x: Tensor) -> Tensor:
        # From pinned memory, in one piece: a copy of anything else waits for what the GPU still has to do.
        return x.contiguous().pin_memory().to(device, non_blocking=True) if device.type == "cuda" else x.to(device)

    for start in range(0, len(batch.sequence_B), micro_seqs):
        rows = slice(start * batch.rows, (start + micro_seqs) * batch.rows)
        columns = batch.ids_BT.shape[1]
        if batch.lengths is not None:
            columns = columns_for(int(batch.lengths[rows].max()), columns)
        ids_BT, targets_BT, positions_BT, number_BT, language_BT = (
            None if array is None else torch.from_numpy(array[rows, :columns])
            for array in (batch.ids_BT, batch.targets_BT, batch.positions_BT, batch.documents_BT, batch.languages_BT)
        )
        assert ids_BT is not None and targets_BT is not None
        rows_N = _target_rows(targets_BT)
        yield MicroBatch(
            ids_BT=send(ids_BT),
            targets_BT=send(targets_BT),
            positions_BT=None if positions_BT is None else send(positions_BT),
            documents=None if number_BT is None else Documents.of(number_BT, send, language_BT),
            parts=batch.parts,
            values={name: send(torch.from_numpy(value[start : start + micro_seqs])) for name, value in batch.values.items()},
            rows_N=None if rows_N is None else send(rows_N),
        )


def _target_rows(targets_BT: Tensor) -> Tensor | None:
    """Found here, on the host, because a GPU would have to be waited for to know how many there are."""
    without_M = targets_BT.flatten() == IGNORE
    rows = -(-int((~without_M).sum()) // _ROWS) * _ROWS
    if rows >= _FEW_TARGETS * len(without_M):
        return None
    # The first ones without a target fill up the last rows.
    return without_M.int().argsort(stable=True)[:rows].sort().values


def units_by_sequence(batch: Batch) -> NDArray[np.float64]:
    """Return what each sequence, or each of its parts, adds to the divisor of the step's loss, float64 (B·parts,)."""
    if batch.units_B is not None:
        return batch.units_B
    return np.asarray(np.count_nonzero(batch.targets_BT.reshape(len(batch.source_B), -1) != IGNORE, axis=1), dtype=np.float64)
