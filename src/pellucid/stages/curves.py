"""Capabilities over a training stage: its tasks, the lines written on the way (`curves.jsonl`), and what is made of them.

`curves.items.json` holds what is asked, `curves.json` the curves with bands, rankings and forecasts. Training's bits do not change:
nothing draws from torch's generators, no gradient is made, and the model is left as it was found.
"""

import os
import time
import warnings
from pathlib import Path
from typing import Any

import torch

from pellucid.core.errors import ArtifactError, PellucidWarning, UsageError
from pellucid.core.files import read_json, write_json
from pellucid.core.metrics import MetricsLog, read_metrics
from pellucid.evals.choices.heldout_items import Shape
from pellucid.evals.choices.measure import measure, tasks_to_json
from pellucid.evals.choices.tasks import LoadedTask, load_task
from pellucid.evals.curves import summarise_curves
from pellucid.evals.local import LocalModel
from pellucid.recipe.curves import FROM_HELDOUT, CurvesConfig
from pellucid.recipe.load import LoadedRecipe
from pellucid.recipe.training import TrainStageConfig
from pellucid.stages.stage import Context
from pellucid.tokenizer.tokenizer import Tokenizer
from pellucid.train.device import pick_device
from pellucid.train.stage import Probe
from pellucid.train.state import TrainState

__all__ = ["CurvesLog", "check_curves", "curve_tasks", "curves_of", "watching"]

LINES, ITEMS, SUMMARY = "curves.jsonl", "curves.items.json", "curves.json"


def check_curves(loaded: LoadedRecipe) -> None:
    """Read the items of every stage that wants some from files, so that what is wrong is told before anything is trained."""
    for stage in loaded.recipe.train:
        if stage.curves is not None:
            for name in stage.curves.tasks:
                if name not in FROM_HELDOUT:
                    _from_files(name, stage.curves, loaded)


def _from_files(name: str, curves: CurvesConfig, loaded: LoadedRecipe) -> LoadedTask:
    beside = loaded.base / name
    data = loaded.base / curves.data if curves.data is not None else None
    task = load_task(str(beside) if beside.is_file() else name, data, loaded.recipe.seed, curves.items)
    # As the recipe names it, not where this machine keeps it.
    return LoadedTask(name, task.items, {**task.origin, "path": os.path.relpath(str(task.origin["path"]), loaded.base)})


def curve_tasks(curves: CurvesConfig, context: Context) -> list[LoadedTask]:
    """Return the tasks with their items. One that the held-out documents give no item for is left out, with a warning.

    Raises `UsageError` or `DataError` for items of files that are missing or wrong.
    """
    shape = Shape(curves.context_words, curves.continuation_words, curves.text_words)
    tasks = []
    for name in curves.tasks:
        if name not in FROM_HELDOUT:
            tasks.append(_from_files(name, curves, context.loaded))
            continue
        try:
            task = load_task(name, context.folder("documents"), context.recipe.seed, curves.items, shape)
        except UsageError as error:
            if context.world.is_first:
                warnings.warn(f"curves are drawn without {name}: {error}", PellucidWarning, stacklevel=2)
            continue
        # Wherever the run lies, its items are the same.
        tasks.append(LoadedTask(name, task.items, {**task.origin, "path": "documents"}))
    return tasks


def curves_of(stage: TrainStageConfig, context: Context, tokenizer: Tokenizer, steps: int, out: Path) -> "CurvesLog | None":
    """Return what measures a stage of so many steps into `out`; None when it wants nothing measured, or there is nothing to ask."""
    started = time.monotonic()
    tasks = curve_tasks(stage.curves, context) if stage.curves is not None else []
    if not tasks:
        return None
    log = CurvesLog(stage, tasks, tokenizer, context, steps=steps, out=out)
    log.around_s = time.monotonic() - started
    return log


def watching(measured: "CurvesLog | None", *others: Probe | None) -> Probe:
    """Return one probe that calls those that there are."""
    probes = [*([measured.watch] if measured is not None else []), *(one for one in others if one is not None)]

    def watch(state: TrainState) -> None:
        for probe in probes:
            probe(state)

    return watch


class CurvesLog:
    """Measures a stage before its first step, on the way and after its last.

    Every rank asks everything, since each may hold only a part of the model; the first one writes.
    """

    def __init__(
        self, stage: TrainStageConfig, tasks: list[LoadedTask], tokenizer: Tokenizer, context: Context, *, steps: int, out: Path
    ) -> None:
        assert stage.curves is not None
        self._curves, self._precision, self._tasks, self._tokenizer = stage.curves, stage.precision, tasks, tokenizer
        self._seed, self._is_first, self._steps, self._out = context.recipe.seed, context.world.is_first, steps, out
        self._log: MetricsLog | None = None
        self._last = -1
        self.around_s = 0.0
        """Seconds spent on it by this call before training began."""

    def watch(self, state: TrainState) -> None:
        """Measure when it is due. Lines of later steps, which a kill or a loss spike has made void, are forgotten."""
        step, curves = state.progress.step, self._curves
        every = curves.every_steps and step % curves.every_steps == 0
        if not (every or step in (0, self._steps) or step in curves.at_steps):
            return
        started = time.monotonic()
        found = self._measure(state)
        if self._is_first:
            line = {"step": step, "tokens": state.progress.tokens, "tasks": found}
            self._append(step, {**line, "seconds": round(time.monotonic() - started, 3)})

    def _measure(self, state: TrainState) -> dict[str, Any]:
        """Ask the model as training computes it, but block by block as written: shapes differ, and each would be compiled anew."""
        device = pick_device(self._precision)
        subject = LocalModel(state.model, self._tokenizer, autocast=device.autocast)
        found: dict[str, Any] = {}
        with torch.compiler.set_stance("force_eager"):
            for task in self._tasks:
                try:
                    found |= measure(subject, [task])
                except ArtifactError as error:  # logits that are no numbers: training says itself what it makes of that
                    found[task.name] = {"error": str(error)}
        return found

    def _append(self, step: int, line: dict[str, Any]) -> None:
        if self._log is None or step <= self._last:
            self.close()
            write_json(self._out / ITEMS, tasks_to_json(self._tasks))
            self._log = MetricsLog(self._out / LINES, resume_step=step - 1)
        self._log.append(line)
        self._log.sync()  # a checkpoint may follow, and what resumes from it does not come back here
        self._last = step

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._log.close()

    def finish(self) -> dict[str, Any]:
        """Write `curves.json` and return what the stage's summary says of it; on the first rank, after the last step.

        `seconds` are those of measuring, `seconds_around` of making the items and this summary, in the call that ended the stage.
        """
        self.close()
        started = time.monotonic()
        lines = list(read_metrics(self._out / LINES))
        summary = summarise_curves(lines, read_json(self._out / ITEMS), self._seed, self._curves.min_gain)
        laps = [line["seconds"] for line in read_metrics(self._out / "metrics.jsonl") if "loss" in line]
        around_s = self.around_s + time.monotonic() - started
        spent = summary["seconds"] + around_s
        # What is measured after the last step belongs to no step.
        whole = sum(sum(of_step.values()) for of_step in laps) + (lines[-1]["seconds"] if lines else 0.0) + around_s
        cost = {"seconds": summary["seconds"], "seconds_around": round(around_s, 3), "share_of_training": spent / whole}
        write_json(self._out / SUMMARY, {**summary, **cost})
        return {"measured": len(lines), **cost}
