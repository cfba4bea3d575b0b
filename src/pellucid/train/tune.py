"""The micro-batch that trains fastest on this machine, found by trying (Stable LM 2 report, section 2.4)."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch

from pellucid.core.environment import available_memory_bytes
from pellucid.core.errors import UsageError
from pellucid.plan.memory import rank_memory
from pellucid.recipe.model import ModelConfig
from pellucid.recipe.training import TrainStageConfig
from pellucid.train.device import Device, deterministic
from pellucid.train.measure import Workbench
from pellucid.train.meter import flops_per_token
from pellucid.train.world import World

__all__ = ["Trial", "Tuning", "default_memory_limit", "expected_tokens", "tune"]

WARM_UP, TIMED = 2, 3
# Micro-batches of a measured step: the second is the first that adds to gradients that are there already.
_MOST_MICRO_STEPS = 2


@dataclass(frozen=True)
class Trial:
    """One size of micro-batch on one device. `tokens_per_s` and `memory_bytes` are None where it was not measured.

    `accumulation` is the number of micro-batches that make this device's share of a step; speed counts the whole share.
    """

    micro_seqs: int
    accumulation: int
    forecast_bytes: int
    outcome: Literal["not tried", "measured", "out of memory", "over the limit"]
    tokens_per_s: float | None = None
    mfu: float | None = None
    mfu_6n: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Tuning:
    """What was tried, growing; the last one is what did not fit, if that was reached."""

    trials: tuple[Trial, ...]
    memory_limit_bytes: int
    peak_flops: float
    peak_source: str
    compiled: bool

    @property
    def best(self) -> Trial | None:
        """The fastest trial, or None when nothing fitted."""
        measured = [trial for trial in self.trials if trial.tokens_per_s is not None]
        return max(measured, key=lambda trial: trial.tokens_per_s or 0.0, default=None)


def default_memory_limit(device: Device) -> int:
    """Return the bytes that this process may use when nobody says: all of a GPU; of the host's free memory, 80 % on top."""
    if device.device.type == "cuda":
        return int(torch.cuda.get_device_properties(device.device).total_memory)
    return device.memory_bytes() + available_memory_bytes() * 4 // 5


def expected_tokens(stage: TrainStageConfig, config: ModelConfig, device: Device, devices: int, limit_bytes: int) -> int:
    """Return the tokens that `tune` is going to train on, if the plan's forecast is right about what fits."""
    fitting = [trial for trial in _untried(stage, config, device, devices) if trial.forecast_bytes <= limit_bytes]
    return sum((WARM_UP + TIMED) * _micro_steps(trial) * trial.micro_seqs * stage.seq_tokens for trial in fitting)


def tune(
    stage: TrainStageConfig,
    config: ModelConfig,
    device: Device,
    devices: int,
    limit_bytes: int,
    after_step: Callable[[int], None] | None = None,
) -> Tuning:
    """Measure steps of `stage` for growing micro-batches until one does not fit, and return what was found.

    Everything else of the stage is taken as it is: activations are checkpointed if it says so, its batch is shared by `devices`.
    Weights and optimizer are whole on this one device, whatever the stage's sharding. A GPU tells itself when it is full, or at
    the limit; on a CPU, where the system would begin to swap or kill, a size is only tried when the plan's forecast, on top of what
    the process holds already and corrected by what smaller sizes took, is under the limit. A step is measured with two
    micro-batches at most; the time of more follows from them. `after_step` is told the tokens of each step.
    Raises `UsageError` when the batch cannot be dealt out evenly to `devices`, or when the limit is over what a GPU has.
    """
    untried = _untried(stage, config, device, devices)
    on_gpu = device.device.type == "cuda"
    if on_gpu:
        _hold_gpu_to(limit_bytes, device)
    peak, peak_source = device.peak_flops()
    trials: list[Trial] = []
    bench: Workbench | None = None
    with deterministic():
        for trial in untried:
            if not on_gpu and _corrected_bytes(trial, trials) > limit_bytes:
                trials.append(replace(trial, outcome="over the limit"))
                break
            micro_steps = _micro_steps(trial)
            told = partial(after_step, trial.micro_seqs * micro_steps * stage.seq_tokens) if after_step is not None else None
            try:
                bench = bench or Workbench(stage, config, device)
                times = bench.measure(trial.micro_seqs, micro_steps, warm_up=WARM_UP, timed=TIMED, after_step=told)
            except torch.OutOfMemoryError:
                trials.append(replace(trial, outcome="out of memory"))
                break
            speed = trial.micro_seqs * trial.accumulation * stage.seq_tokens / times.step_s(trial.accumulation)
            trials.append(replace(trial, outcome="measured", tokens_per_s=speed, memory_bytes=times.memory_bytes))
    # A peak that is measured is a lower one while the machine has other work; so it is measured at both ends.
    peak = max(peak, device.peak_flops()[0])
    flops = flops_per_token(config, stage.seq_tokens, stage.adapter)
    # No step is faster than the peak.
    peak = max([peak, *(trial.tokens_per_s * flops["mfu"] for trial in trials if trial.tokens_per_s is not None)])
    shown = tuple(
        trial
        if trial.tokens_per_s is None
        else replace(trial, mfu=trial.tokens_per_s * flops["mfu"] / peak, mfu_6n=trial.tokens_per_s * flops["mfu_6n"] / peak)
        for trial in trials
    )
    return Tuning(shown, limit_bytes, peak, peak_source, bench is not None and bench.compiled)


def _corrected_bytes(trial: Trial, before: list[Trial]) -> float:
    """Return the forecast, corrected by how the trials before exceeded theirs: in all, and in how fast they grew."""
    known = [(each.forecast_bytes, each.memory_bytes) for each in before if each.memory_bytes is not None]
    if not known:
        return trial.forecast_bytes
    (first_forecast, first), (last_forecast, last) = known[0], known[-1]
    growth = max(1.0, (last - first) / (last_forecast - first_forecast)) if len(known) > 1 else 1.0
    return max(trial.forecast_bytes, last + growth * (trial.forecast_bytes - last_forecast))


def _untried(stage: TrainStageConfig, config: ModelConfig, device: Device, devices: int) -> list[Trial]:
    """All sizes of micro-batch that divide one device's share of a step, growing."""
    world = World(size=devices, tensor_ways=stage.parallel.tensor_ways if devices > 1 else 1)
    world.check_batch(stage.batch_seqs, None)
    _, share = world.share(0, stage.batch_seqs)
    held = 0 if device.device.type == "cuda" else device.memory_bytes()
    trials = []
    for size in range(1, share + 1):
        if share % size == 0:
            sized = stage.model_copy(update={"micro_seqs": size})
            forecast: int = rank_memory(config, sized, 1, bf16=device.precision == "bf16")["none"]["total"]
            trials.append(Trial(size, share // size, held + forecast, "not tried"))
    return trials


def _micro_steps(trial: Trial) -> int:
    return min(_MOST_MICRO_STEPS, trial.accumulation)


def _hold_gpu_to(limit_bytes: int, device: Device) -> None:
    """Make torch run out of memory at the limit, as it would on a smaller device."""
    total = torch.cuda.get_device_properties(device.device).total_memory
    if limit_bytes > total:
        raise UsageError(f"--memory-gib: got {limit_bytes / 2**30:g}; this GPU has {total / 2**30:.4g}")
    torch.cuda.set_per_process_memory_fraction(limit_bytes / total, device.device)
