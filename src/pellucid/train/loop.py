"""The training loop: one plain function, the same for every objective."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.batches.batch import Batch
from pellucid.batches.order import Order
from pellucid.core.errors import StoppedError, TrainingError
from pellucid.optim.clip import clip_gradients
from pellucid.optim.schedules import learning_rate
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.device import Device
from pellucid.train.feed import Objective, micro_batches, units_by_sequence
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
    order: Order
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
    is and names where; `snapshot` keeps the state in memory when that is due; `log` gets each step's record, `event` what happened
    besides."""

    watch: Callable[[TrainState], None]
    save: Callable[[TrainState], None]
    last_saved: Callable[[], str]
    snapshot: Callable[[TrainState], None]
    stop: Callable[[], int | None]
    log: Callable[[dict[str, Any]], None]
    event: Callable[[dict[str, Any]], None]


def train(state: TrainState, task: Task, hooks: Hooks) -> None:
    """Train from `state.progress.step` to the stage's last step: evaluate, save, stop, micro-steps, clip, step, log.

    Step k (from 0) reads sequences k·batch_seqs to (k+1)·batch_seqs, each rank its share. Losses are summed over micro-steps and
    divided once by the number of targets of the whole step, or what `Batch.units_B` counts. Every rank books the whole step and
    decides alike. A step whose loss or gradient is not finite changes neither parameters nor moments; after `max_bad_steps` of them
    in a row `TrainingError` is raised. A signal raises `StoppedError` once the state is saved, a loss spike `LossSpike` (see
    `watch_for_spike`).
    """
    stage, progress, watch = task.stage, state.progress, Stopwatch()
    ahead = _read(task, progress.step, (progress.step + 1, 0))
    units, stop_signal = _exchange(task, hooks, ahead, np.empty((0, 4)), 0.0).agreed
    while True:
        hooks.watch(state)
        if task.world.size == 1:
            stop_signal = hooks.stop()  # there is no one to agree with, so no need to wait for the end of another step
        if ahead is None or stop_signal is not None or (progress.step and progress.step % stage.checkpoint.every_steps == 0):
            hooks.save(state)
        if ahead is None:
            return
        if stop_signal is not None:
            raise StoppedError(
                stop_signal,
                f"stopped by signal {stop_signal} after step {progress.step} of {stage.total_steps}; "
                f"saved in {hooks.last_saved()}; give the same command again to continue",
            )
        hooks.snapshot(state)
        watch.lap("other")

        share, figures = ahead, _forward_backward(state, task, ahead.batch, units)
        watch.lap("forward_backward")
        # The next step is read while the device computes; then the host waits for it, once for all figures of the step.
        ahead = _read(task, progress.step + 1, (progress.step + 1, 2))
        watch.lap("data")
        *of_rows, norm = figures.values.tolist()
        rows_BK = share.rows(np.array(of_rows).reshape(len(share.units_B), -1))
        exchanged = _exchange(task, hooks, ahead, rows_BK, task.ranks.collect() if task.ranks else 0.0)
        units, stop_signal = exchanged.agreed
        step = StepFigures.of(exchanged.rows_BK, share.batch.source_names, figures.names)
        for event in task.ranks.compare(exchanged.own_work_R) if task.ranks else ():
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

        record = _account(progress, step, fault, stage.batch_seqs)
        hooks.log({**record, "lr": lr, "grad_norm": norm, "seconds": watch.collect()})
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
    """The sequences of one step over all ranks, in their order, or their parts where those are told apart (`Batch.parts`).

    `means` are the objective's further figures, over all sequences that are none to fill up.
    """

    nats_B: NDArray[np.float64]
    units_B: NDArray[np.float64]
    source_B: NDArray[np.int64]
    source_names: tuple[str, ...]
    tokens: int
    means: dict[str, float]

    @classmethod
    def of(cls, rows_BK: NDArray[np.float64], source_names: tuple[str, ...], names: tuple[str, ...]) -> "StepFigures":
        """Take rows of nats, units, source, tokens and the figures of these names apart."""
        nats_B, units_B, source_B, tokens_B, *figures = rows_BK.T
        real_B = units_B > 0
        means = {name: float(figure_B[real_B].mean()) for name, figure_B in zip(names, figures, strict=True) if real_B.any()}
        return cls(nats_B, units_B, source_B.astype(np.int64), source_names, int(tokens_B.sum()), means)


class Share(NamedTuple):
    """This rank's sequences of one step, and what each adds to the number that the loss is divided by."""

    batch: Batch
    units_B: NDArray[np.float64]

    def rows(self, figures_BF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a row for each sequence: nats, units, source, tokens, further figures. What fills up has no loss to tell."""
        figures_BF[self.units_B == 0] = 0.0
        facts = (self.units_B, self.batch.source_B, self.batch.tokens_by_sequence())
        return np.column_stack([figures_BF[:, 0], *facts, figures_BF[:, 1:]])


class Computed(NamedTuple):
    """Our sequences' nats and further figures of these names, row by row, and behind them the gradient's norm before clipping."""

    values: Tensor
    names: tuple[str, ...]


def _read(task: Task, step: int, when: tuple[int, int]) -> Share | None:
    """Read our share of a step (from 0), and ask for the one after it to be brought into memory; None past the last step.

    `when` is the step, from 1, and its phase in which that is done (see `RankWatch.working`).
    """
    stage = task.stage
    if step >= stage.total_steps:
        return None
    first = step * stage.batch_seqs
    with _own_work(task, *when):
        batch = task.order.sequences(*task.world.share(first, stage.batch_seqs))
        task.order.will_read(*task.world.share(first + stage.batch_seqs, stage.batch_seqs))
    return Share(batch, units_by_sequence(batch))


class Exchanged(NamedTuple):
    """What all ranks know after a step."""

    rows_BK: NDArray[np.float64]
    """The rows of each sequence of the step (`Share.rows`), in their order."""
    agreed: tuple[float, int | None]
    """What the loss of the next step is divided by, and the signal that some rank got."""
    own_work_R: list[float]
    """The seconds that each rank worked by itself."""


def _exchange(task: Task, hooks: Hooks, ahead: Share | None, rows_BK: NDArray[np.float64], own_work_s: float) -> Exchanged:
    """Tell all ranks what this one has to tell, and hear the others: the one collective of a step beside those of gradients."""
    own_K = np.zeros(rows_BK.shape[1])
    own_K[:3] = float(ahead.units_B.sum()) if ahead else 0.0, hooks.stop() or 0, own_work_s
    rows_BK, own_RK = task.world.gather_step(rows_BK, own_K)
    units = float(own_RK[:: task.world.tensor_ways, 0].sum()) or 1.0
    return Exchanged(rows_BK, (units, int(own_RK[:, 1].max()) or None), own_RK[:, 2].tolist())


def _forward_backward(state: TrainState, task: Task, batch: Batch, units: float) -> Computed:
    """Leave the step's clipped gradients with the parameters; return each of our sequences' figures, and the norm before clipping.

    On a GPU all of it is only begun; the figures come in one tensor, so that they can be had in one transfer.
    """
    rows: list[Tensor] = []
    names: tuple[str, ...] = ()
    micros = list(micro_batches(batch, task.stage.micro_seqs, task.device.device))
    for number, micro in enumerate(micros, start=1):
        with task.gradients.micro_step(last=number == len(micros)):
            with _own_work(task, state.progress.step + 1, 1), task.device.autocast():
                loss = task.objective(state.model, micro)
            with task.device.backward():
                (loss.loss_sum / units).backward()  # type: ignore[no-untyped-call]
        rows.append(torch.stack([loss.nats_B, *loss.figures.values()], dim=1))
        names = tuple(loss.figures)
    task.gradients.finish()
    norm = clip_gradients(state.optimizer.parameters, task.stage.optimizer.clip_norm)
    return Computed(torch.cat([torch.cat(rows).flatten(), norm.to(rows[0]).view(1)]).double(), names)


def _own_work(task: Task, step: int, phase: int) -> AbstractContextManager[None]:
    return task.ranks.working(step, phase) if task.ranks else nullcontext()


def _account(progress: Progress, step: StepFigures, fault: str | None, batch_seqs: int) -> dict[str, Any]:
    """Book one step, applied or at fault; return its loss, whole and by source, and the sequences when it was skipped."""
    sources = len(step.source_names)
    nats_S = np.bincount(step.source_B, weights=step.nats_B, minlength=sources)
    units_S = np.bincount(step.source_B, weights=step.units_B, minlength=sources)
    first = progress.step * batch_seqs
    progress.step += 1
    progress.tokens += step.tokens
    record: dict[str, Any] = {
        "step": progress.step,
        "loss": float(nats_S.sum() / (units_S.sum() or 1.0)),
        "loss_by_source": {name: float(nats_S[s] / units_S[s]) for s, name in enumerate(step.source_names) if units_S[s]},
        "skipped": fault is not None,
        "tokens": progress.tokens,
        "step_tokens": step.tokens,
    }
    if step.means:
        record["figures"] = step.means
    if fault is None:
        progress.bad_steps_in_a_row = 0
        for s, name in enumerate(step.source_names):
            progress.nats[name] = progress.nats.get(name, 0.0) + float(nats_S[s])
            units = float(units_S[s])
            progress.targets[name] = progress.targets.get(name, 0) + (int(units) if units.is_integer() else units)
    else:
        progress.bad_steps_in_a_row += fault == "not finite"
        record |= {"sequences": [first, first + batch_seqs - 1], "reason": fault}
        progress.skipped.append({"step": progress.step, "sequences": record["sequences"], "reason": fault})
    return record
