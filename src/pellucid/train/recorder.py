"""What a run leaves to read: `metrics.jsonl`, `samples.jsonl`, and the bar that a person watches."""

from pathlib import Path
from typing import Any, Protocol

import torch

from pellucid.checkpoint.part import Snapshot
from pellucid.core.metrics import MetricsLog
from pellucid.core.progress import ProgressBar
from pellucid.core.seeds import derive_seed
from pellucid.model.decoder import Decoder
from pellucid.plan.parameters import count_parameters
from pellucid.train.loop import Task
from pellucid.train.meter import FORMULA, flops_per_token
from pellucid.train.peak import PeakWatch
from pellucid.train.state import TrainState

__all__ = ["Recorder", "Sampler"]


class Sampler(Protocol):
    """Continues a prompt with the model as it stands; given by whoever knows the tokenizer."""

    def __call__(self, model: Decoder, prompt: str, *, new_tokens: int, seed: int) -> str:
        """Return the continuation as text, without the prompt."""


class Recorder:
    """Logs of one stage, written by the first rank. Opened at the step that training resumes from, it forgets what came after.

    The first line of `metrics.jsonl` has `event: start` with the formulas and the machine's peak; each resume that has steps
    to do adds a line with `event: resume` and the `checkpoint`, or with `memory_step` for a snapshot; every other line is one step.
    `held` is the memory that was in use before the stage, and what of it were pages of files (see `Device`), None where not known.
    """

    def __init__(
        self,
        out: Path,
        task: Task,
        state: TrainState,
        *,
        resumed_from: Path | Snapshot | None = None,
        sample: Sampler | None = None,
        held: tuple[int | None, int] = (None, 0),
    ) -> None:
        self._stage, self._device, self._sample = task.stage, task.device, sample
        self._bar: ProgressBar | None = None
        step = state.progress.step
        self._flops = flops_per_token(state.model.config, task.stage.seq_tokens, task.stage.adapter)
        world = task.world
        self._peak = PeakWatch(task.device, world.size)
        # A start line of step 0 would outlive the run it tells of; samples of the resumed step are about to be made again.
        self._metrics = MetricsLog(out / "metrics.jsonl", resume_step=step if resumed_from else -1) if world.is_first else None
        wanted = self._wants_samples and world.is_first
        self._samples = MetricsLog(out / "samples.jsonl", resume_step=step - 1) if wanted else None
        facts = {
            "parameters": count_parameters(state.model.config).total,
            "steps": task.stage.total_steps,
            "trained_parameters": sum(parameter.numel() for parameter in state.optimizer.parameters),
            "flops_per_token": self._flops,
            "peak_flops": self._peak.flops,
            "peak_source": self._peak.source,
            "ranks": world.size,
            "tensor_ways": world.tensor_ways,
            "shard": task.stage.parallel.shard if world.size > 1 else "none",
            "device": str(task.device.device),
            "precision": task.device.precision,
            "compiled": task.compiled,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "memory_before_bytes": held[0],
            "mapped_before_bytes": held[1],
        }
        if self._metrics is None:
            return
        if resumed_from and step < task.stage.total_steps:
            self._metrics.append({"step": step, "event": "resume", **_source(resumed_from), **facts})
        elif not resumed_from:
            self._metrics.append({"step": step, "event": "start", "formula": FORMULA, **facts})

    @property
    def _wants_samples(self) -> bool:
        return self._sample is not None and self._stage.samples.every_steps > 0

    def show_on(self, bar: ProgressBar, tokens: int) -> None:
        """Show progress on `bar`, which starts at the `tokens` that are already done."""
        self._bar = bar
        bar.resume_at(tokens)

    def log(self, record: dict[str, Any]) -> None:
        """Complete one step's record with speed (of all ranks) and memory (of this one), write it, and move the bar."""
        if self._metrics is None:
            return
        tokens, seconds = record["step_tokens"], record["seconds"]
        busy = seconds["data"] + seconds["forward_backward"] + seconds["optimizer"]
        speed = tokens / busy
        peak = self._peak.seen(speed * self._flops["mfu"])
        self._metrics.append(
            {
                **record,
                "tokens_per_s": speed,
                **{figure: speed * flops / peak for figure, flops in self._flops.items()},
                "peak_flops": peak,
                "memory_bytes": self._device.memory_bytes(),
                "mapped_bytes": self._device.mapped_bytes(),
            }
        )
        if self._bar is not None:
            self._bar.note("step skipped: not finite" if record["skipped"] else f"loss {record['loss']:.3f}")
            self._bar.advance(tokens)

    def event(self, event: dict[str, Any]) -> None:
        """Write what happened in a step besides its figures."""
        if self._metrics is not None:
            self._metrics.append(event)

    def sync(self) -> None:
        """Make what was written so far outlast a power cut."""
        for log in (self._metrics, self._samples):
            if log is not None:
                log.sync()

    def watch(self, state: TrainState) -> None:
        """Write samples when they are due: every so many steps, and at the end. Every rank computes them: each has a part of it.

        Where a model has learnt something already, also before the first step.
        """
        step, config = state.progress.step, self._stage.samples
        if not self._wants_samples or self._sample is None or (not step and self._stage.learns_from_text):
            return
        if step % config.every_steps and step < self._stage.total_steps:
            return
        state.model.eval()
        # What is sampled may not move what is trained: whatever the sampler draws, the random state is put back.
        with torch.random.fork_rng(), torch.no_grad():
            for number, prompt in enumerate(config.prompts):
                text = self._sample(state.model, prompt, new_tokens=config.new_tokens, seed=derive_seed(step, "sample", number))
                if self._samples is not None:
                    self._samples.append({"step": step, "prompt": prompt, "text": text})
        state.model.train()

    def close(self) -> None:
        """Close the files."""
        for log in (self._metrics, self._samples):
            if log is not None:
                log.close()


def _source(resumed_from: Path | Snapshot) -> dict[str, Any]:
    if isinstance(resumed_from, Snapshot):
        return {"memory_step": resumed_from.step}
    return {"checkpoint": resumed_from.name}
