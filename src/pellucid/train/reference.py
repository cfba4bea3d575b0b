"""Log-probabilities of the answers of pairs under the model as a stage finds it: what preference objectives compare with.

They are computed once, before the first step, and stored: the reference model need not be kept beside the one that is trained.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.batches.examples import ExampleOrder
from pellucid.core.errors import ArtifactError
from pellucid.core.files import writing
from pellucid.core.progress import ProgressBar, progress
from pellucid.model.decoder import Decoder
from pellucid.train.device import Device
from pellucid.train.feed import micro_batches
from pellucid.train.objectives.preference import sequence_logps
from pellucid.train.world import World

__all__ = ["attach_reference", "compute_reference"]


def attach_reference(order: ExampleOrder, file: Path) -> None:
    """Give the order the stored log-probabilities, float32 (E, 2); raise `ArtifactError` when there are none or of other pairs."""
    try:
        reference_E2: NDArray[np.float32] = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file} cannot be read ({error}); delete {file.parent} and run the stage again") from error
    if reference_E2.shape != (order.examples, 2):
        raise ArtifactError(
            f"{file} is of {len(reference_E2)} pairs, there are {order.examples}; delete {file.parent} and run again"
        )
    order.values["reference"] = reference_E2


def compute_reference(model: Decoder, order: ExampleOrder, file: Path, micro_seqs: int, device: Device, world: World) -> None:
    """Compute the log-probabilities of both answers of every pair, each rank a part of them, and store them; then attach them.

    Values are sums over the answer's tokens, in nats, negative.
    """
    # Every rank makes as many forward passes as any other: of a sharded model each rank needs all.
    share = -(-order.examples // world.size)
    mine_N = np.minimum(np.arange(world.rank * share, (world.rank + 1) * share), order.examples - 1)
    logps: list[NDArray[np.float64]] = []
    was_training = model.training
    model.eval()
    with torch.no_grad(), device.autocast(), _bar(share, world) as bar:
        for first in range(0, share, micro_seqs):
            batch = order.batch_of(mine_N[first : first + micro_seqs])
            for micro in micro_batches(batch, micro_seqs, device.device):
                logps.append(sequence_logps(model, micro).double().cpu().numpy().reshape(-1, 2))
                if bar is not None:
                    bar.advance(len(logps[-1]))
    model.train(was_training)
    both_E2 = world.gather(np.concatenate(logps))[: order.examples].astype(np.float32)
    if world.is_first:
        with writing(file) as open_file:
            np.save(open_file, both_E2, allow_pickle=False)
    order.values["reference"] = both_E2


def _bar(pairs: int, world: World) -> AbstractContextManager[ProgressBar | None]:
    return progress("reference log-probabilities", pairs, "pairs") if world.is_first else nullcontext()
