"""Held-out conversations or pairs, scored with the objective that a stage trains: before its first step, on the way, at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pellucid.batches.examples import ExampleOrder
from pellucid.core.metrics import MetricsLog
from pellucid.model.decoder import Decoder
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.feed import Objective, micro_batches, units_by_sequence
from pellucid.train.state import TrainState
from pellucid.train.world import World

__all__ = ["HeldoutLog", "score_examples"]


def score_examples(model: Decoder, order: ExampleOrder, objective: Objective, micro_seqs: int, device: Device) -> dict[str, Any]:
    """Return the loss over one pass of the examples and the means of the objective's further figures, as plain JSON values.

    The loss is the sum over examples divided once by their units, as a step's is. The model is left as it was found.
    """
    was_training = model.training
    model.eval()
    nats, units, count = 0.0, 0.0, 0
    sums: dict[str, float] = {}
    with torch.no_grad(), device.autocast():
        for first in range(0, order.examples, micro_seqs):
            batch = order.batch_of(np.arange(first, min(first + micro_seqs, order.examples)))
            for micro in micro_batches(batch, micro_seqs, device.device):
                loss = objective(model, micro)
                nats += float(loss.nats_B.double().sum())
                for name, figure_B in loss.figures.items():
                    sums[name] = sums.get(name, 0.0) + float(figure_B.double().sum())
            units += float(units_by_sequence(batch).sum())
            count += len(batch.sequence_B)
    model.train(was_training)
    means = {name: total / count for name, total in sums.items()}
    return {"loss": nats / (units or 1.0), "examples": count, "units": units, **({"figures": means} if means else {})}


class HeldoutLog:
    """Writes `heldout.jsonl`: a line for each time, with the loss and figures of every source and of all together.

    Every rank scores everything, since each may hold only a part of the model; the first one writes.
    """

    def __init__(
        self,
        out: Path,
        orders: Mapping[str, ExampleOrder],
        objective: Objective,
        stage: TrainStageConfig,
        device: Device,
        world: World,
    ) -> None:
        self._orders, self._objective, self._stage, self._device = orders, objective, stage, device
        self._out, self._is_first = out, world.is_first
        self._log: MetricsLog | None = None

    def watch(self, state: TrainState) -> None:
        """Score when it is due: before the first step, every so many steps, and after the last."""
        step, every = state.progress.step, self._stage.heldout.every_steps
        if not self._orders or not (step in (0, self._stage.total_steps) or (every and step % every == 0)):
            return
        scores = {
            name: score_examples(state.model, order, self._objective, self._stage.micro_seqs, self._device)
            for name, order in self._orders.items()
        }
        if self._is_first:
            if self._log is None:
                self._log = MetricsLog(self._out / "heldout.jsonl", resume_step=step - 1)
            self._log.append({"step": step, **_together(scores), "by_source": scores})

    def sync(self) -> None:
        """Make what was written so far outlast a power cut."""
        if self._log is not None:
            self._log.sync()

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._log.close()


def _together(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return loss and figures over all sources, each with the weight of its units or examples."""
    units, count = sum(one["units"] for one in scores.values()), sum(one["examples"] for one in scores.values())
    names = {name for one in scores.values() for name in one.get("figures", {})}
    figures = {name: sum(one["figures"][name] * one["examples"] for one in scores.values()) / count for name in sorted(names)}
    loss = sum(one["loss"] * one["units"] for one in scores.values()) / (units or 1.0)
    return {"loss": loss, "examples": count, "units": units, **({"figures": figures} if figures else {})}
