"""The training loop: one plain function, the same for every objective."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pellucid.batches.batch import Batch
from pellucid.batches.order import DataOrder
from pellucid.core.errors import StoppedError, TrainingError
from pellucid.model.decoder import Decoder
from pellucid.optim.schedules import learning_rate
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.feed import Objective, micro_batches, targets_by_sequence
from pellucid.train.meter import Stopwatch
from pellucid.train.state import Progress, TrainState
from pellucid.train.world import World

__all__ = ["Hooks", "Task", "train"]


@dataclass(frozen=True)
class Task:
    """What stays the same from step to step. `forward` is the state's model, compiled or not; both share their parameters."""

    stage: TrainStageConfig
    order: DataOrder
    objective: Objective
    forward: Decoder
    device: Device
    world: World = field(default_factory=World)


@dataclass(frozen=True)
class Hooks:
    """What surrounds the steps. `watch` samples or evaluates; `save` makes the state durable and `last_saved` names where."""

    watch: Callable[[TrainState], None]
    save: Callable[[TrainState], None]
    last_saved: Callable[[], str]
    stop: Callable[[], int | None]
    log: Callable[[dict[str, Any]], None]


def train(state: TrainState, task: Task, hooks: Hooks) -> None:
    """Train from `state.progress.step` to the stage's last step: evaluate, save, stop, micro-steps, clip, step, log.

    Step k (from 0) reads sequences k·batch_seqs to (k+1)·batch_seqs. Losses are summed over micro-steps and divided once by the
    number of targets of the whole step. A step whose loss or gradient is not finite changes neither parameters nor moments; after
    `max_bad_steps` of them in a row `TrainingError` is raised. A signal raises `StoppedError` once the state is saved.
    """
    stage, progress, watch = task.stage, state.progress, Stopwatch()
    parameters = state.optimizer.parameters
    while True:
        hooks.watch(state)
        done, stop_signal = progress.step >= stage.total_steps, hooks.stop()
        if done or stop_signal is not None or (progress.step and progress.step % stage.checkpoint.every_steps == 0):
            hooks.save(state)
        if done:
            return
        if stop_signal is not None:
            raise StoppedError(
                stop_signal,
                f"stopped by signal {stop_signal} after step {progress.step} of {stage.total_steps}; "
                f"saved in {hooks.last_saved()}; give the same command again to continue",
            )
        watch.lap("other")

        first = progress.step * stage.batch_seqs
        batch = task.order.sequences(*task.world.share(first, stage.batch_seqs))
        targets_B = targets_by_sequence(batch)
        watch.lap("data")

        loss_sum, nats_B = _forward_backward(task, batch, targets=max(1, int(targets_B.sum())))
        norm = nn.utils.clip_grad_norm_(parameters, stage.optimizer.clip_norm)
        loss, grad_norm = torch.stack([loss_sum, norm]).tolist()
        finite = math.isfinite(loss) and math.isfinite(grad_norm)
        watch.lap("forward_backward")

        lr = learning_rate(stage.schedule, progress.step + 1, stage.total_steps)
        if finite:
            state.optimizer.set_learning_rate(lr)
            state.optimizer.step()
        state.optimizer.zero_grad()
        watch.lap("optimizer")

        record = _account(progress, batch, nats_B, targets_B, applied=finite)
        progress.tokens += stage.batch_seqs * stage.seq_tokens
        hooks.log({**record, "tokens": progress.tokens, "lr": lr, "grad_norm": grad_norm, "seconds": watch.collect()})
        if progress.bad_steps_in_a_row >= stage.max_bad_steps:
            first, last = record["sequences"]
            raise TrainingError(
                f"the loss or the gradient was not finite in {progress.bad_steps_in_a_row} steps in a row (the last with sequences "
                f"{first} to {last}); none of them was applied. The last good checkpoint is {hooks.last_saved()}. "
                "Lower peak_lr or clip_norm, or lengthen warmup_steps."
            )


def _forward_backward(task: Task, batch: Batch, targets: int) -> tuple[Tensor, NDArray[np.float64]]:
    """Add up the gradients of all micro-steps; return the mean loss (with z-loss) and each sequence's nats."""
    loss_sum, nats = None, []
    for micro in micro_batches(batch, task.stage.micro_seqs, task.device.device):
        with task.device.autocast():
            loss = task.objective(task.forward, micro)
        mean = loss.loss_sum / targets
        mean.backward()  # type: ignore[no-untyped-call]
        loss_sum = mean.detach() if loss_sum is None else loss_sum + mean.detach()
        nats.append(loss.nats_B)
    assert loss_sum is not None
    return loss_sum, torch.cat(nats).double().cpu().numpy()


def _account(
    progress: Progress, batch: Batch, nats_B: NDArray[np.float64], targets_B: NDArray[np.int64], *, applied: bool
) -> dict[str, Any]:
    """Book one step; return its loss, whole and by source, and the sequences when it was skipped."""
    sources = len(batch.source_names)
    nats_S = np.bincount(batch.source_B, weights=nats_B, minlength=sources)
    targets_S = np.bincount(batch.source_B, weights=targets_B, minlength=sources).astype(np.int64)
    progress.step += 1
    record: dict[str, Any] = {
        "step": progress.step,
        "loss": float(nats_S.sum() / max(1, targets_S.sum())),
        "loss_by_source": {name: float(nats_S[s] / targets_S[s]) for s, name in enumerate(batch.source_names) if targets_S[s]},
        "skipped": not applied,
    }
    if applied:
        progress.bad_steps_in_a_row = 0
        for s, name in enumerate(batch.source_names):
            progress.nats[name] = progress.nats.get(name, 0.0) + float(nats_S[s])
            progress.targets[name] = progress.targets.get(name, 0) + int(targets_S[s])
    else:
        progress.bad_steps_in_a_row += 1
        record["sequences"] = [batch.first_sequence, batch.first_sequence + len(batch.ids_BT) - 1]
        progress.skipped.append({"step": progress.step, "sequences": record["sequences"]})
    return record
