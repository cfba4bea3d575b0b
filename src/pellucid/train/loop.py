"""The training loop: one plain function, the same for every objective."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.batches.batch import Batch
from pellucid.batches.order import DataOrder
from pellucid.core.errors import StoppedError, TrainingError
from pellucid.optim.clip import clip_gradients
from pellucid.optim.schedules import learning_rate
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.feed import Objective, micro_batches, targets_by_sequence
from pellucid.train.gradients import Gradients, LocalGradients
from pellucid.train.meter import Stopwatch
from pellucid.train.ranks import RankWatch
from pellucid.train.spikes import watch_for_spike
from pellucid.train.state import Progress, TrainState
from pellucid.train.world import World

__all__ = ["Hooks", "Task", "train"]


@dataclass(frozen=True)
class Task:
    """What stays the same from step to step. `skips` are numbers of steps, from 1, that are computed and not applied."""

    stage: TrainStageConfig
    order: DataOrder
    objective: Objective
    device: Device
    gradients: Gradients = field(default_factory=LocalGradients)
    world: World = field(default_factory=World)
    compiled: bool = False
    skips: frozenset[int] = frozenset()
    ranks: RankWatch | None = None


@dataclass(frozen=True)
class Hooks:
    """What surrounds the steps. `watch` samples or evaluates; `save` begins to make the state durable; `last_saved` waits until it
    is and names where; `log` gets each step's record, `event` what happened besides."""

    watch: Callable[[TrainState], None]
    save: Callable[[TrainState], None]
    last_saved: Callable[[], str]
    stop: Callable[[], int | None]
    log: Callable[[dict[str, Any]], None]
    event: Callable[[dict[str, Any]], None]


def train(state: TrainState, task: Task, hooks: Hooks) -> None:
    """Train from `state.progress.step` to the stage's last step: evaluate, save, stop, micro-steps, clip, step, log.

    Step k (from 0) reads sequences k·batch_seqs to (k+1)·batch_seqs, each rank its share. Losses are summed over micro-steps and
    divided once by the number of targets of the whole step. Every rank books the whole step and decides alike. A step whose loss
    or gradient is not finite changes neither parameters nor moments; after `max_bad_steps` of them in a row `TrainingError` is
    raised. A signal raises `StoppedError` once the state is saved, a loss spike `LossSpike` (see `watch_for_spike`).
    """
    stage, progress, watch = task.stage, state.progress, Stopwatch()
    while True:
        hooks.watch(state)
        done, stop_signal = progress.step >= stage.total_steps, task.world.agree(hooks.stop())
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
        with _own_work(task, progress.step + 1, 0):
            batch = task.order.sequences(*task.world.share(first, stage.batch_seqs))
            task.order.will_read(*task.world.share(first + stage.batch_seqs, stage.batch_seqs))
        targets_B = targets_by_sequence(batch)
        targets = max(1, task.world.total(int(targets_B.sum())))
        watch.lap("data")

        nats_B, norm = _forward_backward(state, task, batch, targets)
        rows_B3 = task.world.gather_shares(np.stack([nats_B, targets_B, batch.source_B], axis=1))
        step = StepFigures.of(rows_B3, batch.source_names, first)
        for event in task.ranks.compare() if task.ranks else ():
            hooks.event({"step": progress.step + 1, **event})
        finite = math.isfinite(norm) and bool(np.isfinite(step.nats_B).all())
        watch.lap("forward_backward")

        lr = learning_rate(stage.schedule, progress.step + 1, stage.total_steps)
        fault = None if finite else "not finite"
        if progress.step + 1 in task.skips:
            fault = "loss spike"
        if fault is None:
            state.optimizer.set_learning_rate(lr)
            state.optimizer.step()
        state.optimizer.zero_grad()
        watch.lap("optimizer")

        record = _account(progress, step, fault)
        progress.tokens += stage.batch_seqs * stage.seq_tokens
        hooks.log({**record, "tokens": progress.tokens, "lr": lr, "grad_norm": norm, "seconds": watch.collect()})
        if progress.bad_steps_in_a_row >= stage.max_bad_steps:
            first, last = record["sequences"]
            raise TrainingError(
                f"the loss or the gradient was not finite in {progress.bad_steps_in_a_row} steps in a row (the last with sequences "
                f"{first} to {last}); none of them was applied. The last good checkpoint is {hooks.last_saved()}. "
                "Lower peak_lr or clip_norm, or lengthen warmup_steps."
            )
        if fault is None:
            watch_for_spike(progress, stage.spikes, record["loss"])


@dataclass(frozen=True)
class StepFigures:
    """The sequences of one step over all ranks, in their order."""

    nats_B: NDArray[np.float64]
    targets_B: NDArray[np.int64]
    source_B: NDArray[np.int64]
    source_names: tuple[str, ...]
    first_sequence: int

    @classmethod
    def of(cls, rows_B3: NDArray[np.float64], source_names: tuple[str, ...], first_sequence: int) -> "StepFigures":
        """Take rows of nats, targets and source apart."""
        nats_B, targets_B, source_B = rows_B3.T
        return cls(nats_B, targets_B.astype(np.int64), source_B.astype(np.int64), source_names, first_sequence)


def _forward_backward(state: TrainState, task: Task, batch: Batch, targets: int) -> tuple[NDArray[np.float64], float]:
    """Leave the step's clipped gradients with the parameters; return each of our sequences' nats and the norm before clipping."""
    nats = []
    micros = list(micro_batches(batch, task.stage.micro_seqs, task.device.device))
    for number, micro in enumerate(micros, start=1):
        with task.gradients.micro_step(last=number == len(micros)):
            with _own_work(task, state.progress.step + 1, 1), task.device.autocast():
                loss = task.objective(state.model, micro)
            (loss.loss_sum / targets).backward()  # type: ignore[no-untyped-call]
        nats.append(loss.nats_B)
    task.gradients.finish()
    norm = clip_gradients(state.optimizer.parameters, task.stage.optimizer.clip_norm)
    # One transfer: each makes the host wait for the device.
    *nats_B, norm_value = torch.cat([*nats, norm.to(nats[0]).view(1)]).double().tolist()
    return np.array(nats_B), norm_value


def _own_work(task: Task, step: int, phase: int) -> AbstractContextManager[None]:
    return task.ranks.working(step, phase) if task.ranks else nullcontext()


def _account(progress: Progress, step: StepFigures, fault: str | None) -> dict[str, Any]:
    """Book one step, applied or at fault; return its loss, whole and by source, and the sequences when it was skipped."""
    sources = len(step.source_names)
    nats_S = np.bincount(step.source_B, weights=step.nats_B, minlength=sources)
    targets_S = np.bincount(step.source_B, weights=step.targets_B, minlength=sources).astype(np.int64)
    progress.step += 1
    record: dict[str, Any] = {
        "step": progress.step,
        "loss": float(nats_S.sum() / max(1, targets_S.sum())),
        "loss_by_source": {name: float(nats_S[s] / targets_S[s]) for s, name in enumerate(step.source_names) if targets_S[s]},
        "skipped": fault is not None,
    }
    if fault is None:
        progress.bad_steps_in_a_row = 0
        for s, name in enumerate(step.source_names):
            progress.nats[name] = progress.nats.get(name, 0.0) + float(nats_S[s])
            progress.targets[name] = progress.targets.get(name, 0) + int(targets_S[s])
    else:
        progress.bad_steps_in_a_row += fault == "not finite"
        record |= {"sequences": [step.first_sequence, step.first_sequence + len(step.nats_B) - 1], "reason": fault}
        progress.skipped.append({"step": progress.step, "sequences": record["sequences"], "reason": fault})
    return record
