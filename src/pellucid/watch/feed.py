"""What the page asks for: how runs and stages stand, and buckets of curves that it does not have yet."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pellucid.core.errors import UsageError
from pellucid.core.excerpt import visible
from pellucid.watch.present import present
from pellucid.watch.records import number
from pellucid.watch.run import RunWatch
from pellucid.watch.stage import StageWatch

__all__ = ["Feed"]

_SAMPLES = 24
_SAMPLE_CHARS = 4000


class Feed:
    """Answers of one server. Files are looked at when somebody asks, at most every `every_s` seconds: no page, no work."""

    def __init__(self, runs: Sequence[RunWatch], every_s: float = 1.0) -> None:
        self._runs, self._every_s = runs, every_s
        self._looked_at = -every_s
        self._lock = threading.Lock()

    def runs(self) -> dict[str, Any]:
        """Return every run with its stages and how they stand."""
        with self._lock:
            self._look()
            return {"runs": [self._run(run) for run in self._runs]}

    def stage(self, run: int, stage: str | None = None, generation: int = -1, stride: int = 0, have: int = 0) -> dict[str, Any]:
        """Return a stage's figures of now and its buckets from `have` on; all of them where `generation` or `stride` is another.

        Without a name it is the stage at work. Raises `UsageError` for a run or a stage that there is none of.
        """
        with self._lock:
            self._look()
            if not 0 <= run < len(self._runs):
                raise UsageError(f"run: got {run}; there are {len(self._runs)}, counted from 0")
            watched = self._runs[run]
            name = stage if stage is not None else watched.current
            if name is None:
                return {"stage": None}
            if name not in watched.stages:
                raise UsageError(f"stage: got {name!r}; {watched.name} has {', '.join(watched.stages)}")
            return self._stage(watched, name, (generation, stride, have))

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked_at >= self._every_s:
            self._looked_at = now
            for run in self._runs:
                run.poll()

    def _run(self, run: RunWatch) -> dict[str, Any]:
        states = [run.state(name) for name in run.stages]
        return {
            "name": visible(run.name),
            "at_work": run.current,
            "stages": [
                {"name": one.name, "state": one.kind, "step": one.step, "steps": one.steps, "left_s": one.left_s} for one in states
            ],
        }

    def _stage(self, run: RunWatch, name: str, known: tuple[int, int, int]) -> dict[str, Any]:
        stage = run.stages[name]
        curves = stage.account.curves
        generation, stride, have = known
        is_same = (generation, stride) == (stage.generation, curves.stride)
        first = max(0, min(have, curves.filled)) if is_same else 0
        (steps_K, tokens_K), channels = curves.table(first)
        return {
            "stage": name,
            "generation": stage.generation,
            "stride": curves.stride,
            "from": first,
            "steps": steps_K.astype(np.int64),
            "tokens": tokens_K.astype(np.int64),
            "channels": {visible(channel): _plain(table, curves.stride) for channel, table in channels.items()},
            "now": present(stage, run.state(name)).as_json(),
            "read_share": stage.read_share if not stage.is_whole else 1.0,
            "marks": _marks(stage),
            "samples": _samples(stage),
        }


def _plain(table_3K: NDArray[np.float64], stride: int) -> list[NDArray[np.float32]]:
    """Return mean, low and high in single precision, which is shorter to send; of single steps they are the same."""
    return list(np.ascontiguousarray(table_3K[: 1 if stride == 1 else 3].astype(np.float32)))


def _marks(stage: StageWatch) -> dict[str, Any]:
    account = stage.account
    heldout = [[line["step"], number(line.get("loss"))] for line in stage.heldout]
    scores: dict[str, list[list[float]]] = {}
    for line in stage.evaluations:
        for task, metrics in line["tasks"].items():
            for metric, value in metrics.items():
                scores.setdefault(visible(f"{task} {metric}"), []).append([line["step"], value])
    return {
        "spikes": [step for step, _ in account.spikes.found],
        "skipped": [[step, visible(reason)] for step, reason in account.skipped],
        "resumes": account.resumes[-100:],
        "heldout": heldout,
        "scores": scores,
    }


def _samples(stage: StageWatch) -> list[dict[str, Any]]:
    found = []
    for record in list(stage.samples)[::-1]:
        prompt, text = record.get("prompt"), record.get("text")
        if isinstance(prompt, str) and isinstance(text, str):
            found.append({"step": record["step"], "prompt": visible(prompt[:_SAMPLE_CHARS]), "text": visible(text[:_SAMPLE_CHARS])})
    return found[:_SAMPLES]
