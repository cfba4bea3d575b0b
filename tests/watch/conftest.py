"""Stages that grow as training writes them, made by hand: known curves, several sources, events."""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


def line_of(step: int, **changes: Any) -> dict[str, Any]:
    """A line of metrics.jsonl as training writes it; its figures are functions of the step alone."""
    loss = 2.0 + 6.0 * math.exp(-step / 200) + 0.01 * math.sin(step)
    sources = {"books": loss + 0.5, "web": loss - 0.25} | ({"code": loss - 1.0} if step % 3 == 0 else {})
    return {
        "step": step,
        "loss": loss,
        "loss_by_source": sources,
        "skipped": False,
        "tokens": 4096 * step,
        "step_tokens": 4096,
        "lr": 1e-3 * min(1.0, step / 50),
        "grad_norm": 0.5 + 0.1 * math.cos(step),
        "seconds": {"data": 0.001, "forward_backward": 0.36, "optimizer": 0.02, "other": 0.019},
        "tokens_per_s": 10_000.0 + step % 7,
        "mfu": 0.41,
        "mfu_6n": 0.38,
        "memory_bytes": 10**9 + step,
        **changes,
    }


class Training:
    """A stage's folder, written as the recorder does it: a line at a time, or made anew up to a step."""

    def __init__(self, folder: Path, steps: int | None = 1000) -> None:
        self.folder = folder
        self.lines: list[dict[str, Any]] = []
        start = {"step": 0, "event": "start", "device": "cpu", "parameters": 1234}
        self.write(start | ({"steps": steps} if steps else {}))

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    def write(self, *records: dict[str, Any]) -> "Training":
        self.lines += records
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.metrics.open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        return self

    def train(self, first: int, last: int, **changes: Any) -> "Training":
        self.write(*(line_of(step, **changes) for step in range(first, last + 1)))
        return self

    def resume(self, step: int) -> None:
        """Replace the file by what it was up to a step, as a resumed stage does."""
        kept = [record for record in self.lines if record["step"] <= step]
        part = self.folder / ".metrics.part"
        part.write_text("".join(json.dumps(record) + "\n" for record in kept))
        part.replace(self.metrics)
        self.lines = kept
        self.write({"step": step, "event": "resume", "checkpoint": f"step-{step:08d}", "device": "cpu"})

    def beside(self, name: str, *records: dict[str, Any]) -> None:
        with (self.folder / f"{name}.jsonl").open("a") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)

    def age(self, seconds: float) -> "Training":
        """Let the last line be so many seconds old."""
        then = time.time() - seconds
        os.utime(self.metrics, (then, then))
        return self


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Callable[..., Training]]:
    """Begin a stage: `training("run/pretrain", steps=1000)`."""
    yield lambda place="run/pretrain", **how: Training(tmp_path / place, **how)


@pytest.fixture
def line() -> Callable[..., dict[str, Any]]:
    return line_of
