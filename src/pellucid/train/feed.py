"""From a numpy batch to micro-batches on the device, and what an objective gives back for one."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.batches.batch import IGNORE, Batch
from pellucid.model.decoder import Decoder

__all__ = ["MicroBatch", "Objective", "ObjectiveLoss", "micro_batches", "targets_by_sequence"]


class MicroBatch(NamedTuple):
    """Tensors of one forward pass; int64, except `documents_BT`, which is int32. Targets of `IGNORE` carry no loss."""

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor | None
    documents_BT: Tensor | None


class ObjectiveLoss(NamedTuple):
    """What an objective returns: the sum to differentiate, and the detached loss of each sequence, in nats."""

    loss_sum: Tensor
    nats_B: Tensor


class Objective(Protocol):
    """A training objective. Sums, never means: the loop divides once by the global number of targets of the step."""

    def __call__(self, model: Decoder, batch: MicroBatch) -> ObjectiveLoss:
        """Return the loss of one micro-batch."""


def micro_batches(batch: Batch, micro_seqs: int, device: torch.device) -> Iterator[MicroBatch]:
    """Yield consecutive slices of at most `micro_seqs` sequences, on the device."""

    def move(array: NDArray[np.int64] | NDArray[np.int32] | None, rows: slice) -> Tensor | None:
        return None if array is None else torch.from_numpy(array[rows]).to(device, non_blocking=True)

    for start in range(0, len(batch.ids_BT), micro_seqs):
        rows = slice(start, start + micro_seqs)
        ids_BT, targets_BT = move(batch.ids_BT, rows), move(batch.targets_BT, rows)
        assert ids_BT is not None and targets_BT is not None
        yield MicroBatch(ids_BT, targets_BT, move(batch.positions_BT, rows), move(batch.documents_BT, rows))


def targets_by_sequence(batch: Batch) -> NDArray[np.int64]:
    """Return how many targets of each sequence carry loss, int64 (B,)."""
    return np.asarray(np.count_nonzero(batch.targets_BT != IGNORE, axis=1), dtype=np.int64)
