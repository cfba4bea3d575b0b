"""Real steps of a training stage on random tokens: how long they take, where the time goes, how much memory they need."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pellucid.batches.open import open_order
from pellucid.model.decoder import Decoder
from pellucid.optim.optimizer import build_optimizer
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import ScheduleConfig, SpikesConfig, TrainStageConfig
from pellucid.train.allocation import keep_freed_memory
from pellucid.train.build import build_model
from pellucid.train.device import Device
from pellucid.train.feed import MicroBatch, Objective, ObjectiveLoss
from pellucid.train.gradients import ExactGradients, LocalGradients
from pellucid.train.loop import Hooks, Task, train
from pellucid.train.objectives.next_token import next_token
from pellucid.train.state import Progress, TrainState
from pellucid.train.world import World

__all__ = ["RandomStream", "StepTimes", "Workbench"]

_DOCUMENT_TOKENS = 600  # a usual mean; it decides how many documents a window holds
_WINDOWS = 64
_EOS = 0


class RandomStream:
    """A source of random tokens in memory: documents of random lengths, each ended by token 0 (what `DataOrder` reads)."""

    def __init__(self, vocab_tokens: int, seq_tokens: int, seed: int = 0) -> None:
        draw = np.random.default_rng(seed)
        self.tokens = _WINDOWS * seq_tokens + 1
        self._ids_N = draw.integers(_EOS + 1, max(vocab_tokens, _EOS + 2), self.tokens, dtype=np.uint32)
        self._ids_N[draw.random(self.tokens) < 1 / _DOCUMENT_TOKENS] = _EOS
        self._ids_N[-1] = _EOS
        ends_N = np.flatnonzero(self._ids_N == _EOS) + 1
        self.document_starts: NDArray[np.int64] = np.concatenate(([0], ends_N))

    def read(self, start: int, count: int) -> NDArray[np.uint32]:
        """Return `count` tokens from `start` on."""
        return self._ids_N[start : start + count]

    def will_read(self, start: int, count: int) -> None:
        """Do nothing: everything is in memory."""

    def metadata(self, documents: list[int]) -> list[dict[str, Any]]:
        """Return nothing about each of these documents: there is nothing to know."""
        return [{} for _ in documents]

    @property
    def document_languages(self) -> tuple[NDArray[np.int16], tuple[str, ...]]:
        """Return two languages, in turn: how long attention across languages takes hangs on how often they change."""
        return np.arange(len(self.document_starts) - 1, dtype=np.int16) % 2, ("one", "another")


@dataclass(frozen=True)
class StepTimes:
    """What some steps of `micro_steps` micro-batches took. `phases_s` has a dict per timed step: `data`, `forward`, `backward`,
    `optimizer`, in seconds of wall time, the device waited for at the end of each step.

    `data` is the reading of the next step: of the last step there is none, and on a GPU it costs no time of its own.
    `forward` holds the loss and, since the loss makes them at once, the gradients of its own two inputs; `backward` holds clipping.
    """

    micro_steps: int
    phases_s: tuple[dict[str, float], ...]
    memory_bytes: int
    """The most memory: on a GPU with this size of micro-batch, on a CPU of the process so far (`Device.memory_bytes`)."""

    def step_s(self, micro_steps: int | None = None) -> float:
        """Return the median seconds of a step; for another number of micro-batches, what their share of the time comes to."""
        scale = 1.0 if micro_steps is None else micro_steps / self.micro_steps
        return statistics.median(
            scale * (step["data"] + step["forward"] + step["backward"]) + step["optimizer"] for step in self.phases_s
        )

    def median_phases_s(self) -> dict[str, float]:
        """Return the median seconds of each phase of a step as it was measured."""
        return {phase: statistics.median(step[phase] for step in self.phases_s) for phase in self.phases_s[0]}


class Workbench:
    """A stage's model and optimizer on one device, nothing sharded, ready to make steps through the training loop itself.

    Compilation, activation checkpointing, optimizer and attention are the stage's, precision is the device's. `compiled` says
    whether the blocks were. To time what training does, enter `deterministic()` before.
    Raises `torch.OutOfMemoryError` when the weights alone do not fit.
    """

    def __init__(self, stage: TrainStageConfig, config: ModelConfig, device: Device, seed: int = 0) -> None:
        keep_freed_memory()
        model, self.compiled = build_model(stage, config, device, seed)
        model.to(device.device)
        # Updates far too small to diverge: what is timed does not depend on their size. Nor are there checkpoints to go back to.
        steady = {"schedule": ScheduleConfig(kind="constant", peak_lr=1e-7), "spikes": SpikesConfig()}
        self._stage = stage.model_copy(update=steady)
        self._device, self._micro_seqs = device, 0
        self._state = TrainState(model, build_optimizer(model, stage.optimizer))
        stream = RandomStream(config.vocab_tokens, stage.seq_tokens, seed)
        self._order = open_order({"random": stream}, {"random": 1.0}, stage, seed)

    def measure(
        self, micro_seqs: int, micro_steps: int, *, warm_up: int, timed: int, after_step: Callable[[], None] | None = None
    ) -> StepTimes:
        """Make `warm_up` steps and then `timed` ones, each of `micro_steps` micro-batches, and return what the timed ones took.

        `after_step` is called after every step. Raises `torch.OutOfMemoryError` when memory runs out, after which the workbench
        is of no more use.
        """
        if micro_seqs != self._micro_seqs:
            self._begin_size(micro_seqs)
        batch_tokens = micro_seqs * micro_steps * self._stage.seq_tokens
        stage = self._stage.model_copy(
            update={"micro_seqs": micro_seqs, "batch_tokens": batch_tokens, "length_tokens": (warm_up + timed) * batch_tokens}
        )
        objective = _TimedObjective(partial(next_token, z_loss=stage.z_loss), self._device)
        parameters = self._state.optimizer.parameters
        gradients = ExactGradients(parameters, micro_steps, World()) if stage.exact else LocalGradients()
        task = Task(stage, self._order, objective, self._device, gradients, compiled=self.compiled)
        self._state.progress = Progress()
        log = _Log(objective, self._device, after_step)
        hooks = Hooks(_nothing, _nothing, last_saved=str, snapshot=_nothing, stop=_never, log=log, event=_nothing)
        train(self._state, task, hooks)
        return StepTimes(micro_steps, tuple(log.phases_s[warm_up:]), self._device.memory_bytes())

    def _begin_size(self, micro_seqs: int) -> None:
        self._micro_seqs = micro_seqs
        if self.compiled:
            # Each size of micro-batch is compiled anew, and torch gives compiling up after a few shapes of one function.
            torch.compiler.reset()
        if self._device.device.type == "cuda":
            # Blocks cut for the last size may not serve this one.
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device.device)


class _TimedObjective:
    """An objective that also says how long its forward passes took on the device."""

    def __init__(self, objective: Objective, device: Device) -> None:
        self._objective, self._device = objective, device
        self._marks: list[tuple[Any, Any]] = []

    def __call__(self, model: Decoder, batch: MicroBatch) -> ObjectiveLoss:
        """Return the loss of one micro-batch."""
        begin = self._device.mark()
        loss = self._objective(model, batch)
        self._marks.append((begin, self._device.mark()))
        return loss

    def collect(self) -> float:
        """Return the seconds since the last call. The device must have finished."""
        marks, self._marks = self._marks, []
        return self._device.seconds(marks)


class _Log:
    """The loop's `log` hook: waits for the device, so that a step's time is its own, and splits it."""

    def __init__(self, objective: _TimedObjective, device: Device, after_step: Callable[[], None] | None) -> None:
        self._objective, self._device, self._after_step = objective, device, after_step
        self.phases_s: list[dict[str, float]] = []
        self._last = time.perf_counter()

    def __call__(self, record: dict[str, Any]) -> None:
        """Book one step."""
        self._device.synchronize()
        now = time.perf_counter()
        data, both, forward = (*(record["seconds"][phase] for phase in ("data", "forward_backward")), self._objective.collect())
        if self._device.device.type == "cuda":
            data, both = 0.0, data + both  # the next step is read while the device computes
        # The loop's own split waits for the device after backward and not after the update, which is therefore the rest.
        self.phases_s.append(
            {"data": data, "forward": forward, "backward": both - forward, "optimizer": now - self._last - data - both}
        )
        if self._after_step is not None:
            self._after_step()
        self._last = time.perf_counter()


def _nothing(_: object) -> None:
    pass


def _never() -> None:
    return None
