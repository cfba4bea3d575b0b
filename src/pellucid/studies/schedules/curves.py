"""Learning rates as planned and as used, their means, and smoothed losses with the spread of seeds."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.optim.schedules import learning_rate, mean_learning_rate
from pellucid.recipe.training import ScheduleConfig
from pellucid.studies.results import Stage
from pellucid.studies.schedules.cells import Cells, last_stage, whole_stage

__all__ = ["MOST_POINTS", "loss_row", "mean_row", "rate_row", "thinned"]

MOST_POINTS = 200


def thinned(count: int) -> list[int]:
    """Return at most `MOST_POINTS` places out of `count`, evenly from the first to the last."""
    return [int(at) for at in np.unique(np.round(np.linspace(0, count - 1, min(count, MOST_POINTS))).astype(int))]


def rate_row(cells: Cells, length: str | None, schedule: str) -> dict[str, Any] | None:
    """Return a schedule's rates by step, thinned; None where no run of it has begun.

    `steps`, `tokens` (of the stage), `planned`, and `used`, which is None without a run that came to its length and at steps that
    it did not make; `departure` is the greatest relative difference between used and planned over all steps.
    """
    ended = cells.ended(length, schedule)
    begun = [stage for run in ended or cells.at(length, schedule) if (stage := whole_stage(run, cells.runs)) is not None]
    if not begun:
        return None
    stage, total = begun[0], begun[0].steps_planned
    config = ScheduleConfig.model_validate(dict(stage.schedule))
    steps = [at + 1 for at in thinned(total)]
    used = dict(zip(stage.steps, stage.rates, strict=True)) if ended else {}
    planned_all = {step: learning_rate(config, step, total) for step in used}
    departures = [abs(used[step] - planned) / planned for step, planned in planned_all.items() if planned]
    return {
        "schedule": schedule,
        "length": length,
        "steps": steps,
        "tokens": [step * stage.batch_tokens for step in steps],
        "planned": [learning_rate(config, step, total) for step in steps],
        "used": [used.get(step) for step in steps] if used else None,
        "departure": max(departures, default=None),
    }


def mean_row(cells: Cells, length: str | None, schedule: str) -> dict[str, Any] | None:
    """Return a schedule's mean rates: `planned`, the integral over the run's length over it; `used`, the mean over all steps that
    were made, over runs (None where a run lacks some). None where no run has begun."""
    begun = [stage for run in cells.at(length, schedule) if (stage := last_stage(run)) is not None]
    if not begun:
        return None
    whole = [whole_stage(run, cells.runs) for run in cells.ended(length, schedule)]
    means = [math.fsum(stage.rates) / len(stage.rates) for stage in whole if stage and len(stage.rates) == stage.steps_planned]
    config, steps = ScheduleConfig.model_validate(dict(begun[0].schedule)), begun[0].steps_planned
    return {
        "schedule": schedule,
        "length": length,
        "steps": steps,
        "planned": mean_learning_rate(config, steps),
        "used": math.fsum(means) / len(means) if means and len(means) == len(whole) else None,
    }


def loss_row(cells: Cells, length: str | None, schedule: str, window_steps: int) -> dict[str, Any] | None:
    """Return the training loss over tokens, each point the mean over the last `window_steps` steps (fewer at the beginning).

    `mean` is over runs, `low` and `high` are one standard deviation over them away (None with one run); points thinned, None where
    a loss was no number. Steps that not every run made are left out. None where no run came to its length.
    """
    stages = [stage for run in cells.ended(length, schedule) if (stage := whole_stage(run, cells.runs)) is not None]
    if not stages:
        return None
    shared = sorted(set.intersection(*(set(stage.steps) for stage in stages)))
    at_steps = [shared[at] for at in thinned(len(shared))]
    smooth_RN = np.array([_smoothed(stage, at_steps, window_steps) for stage in stages])
    mean_N = smooth_RN.mean(axis=0)
    spread_N = smooth_RN.std(axis=0, ddof=1) if len(stages) > 1 else np.full(len(at_steps), math.nan)
    return {
        "schedule": schedule,
        "length": length,
        "runs": len(stages),
        "tokens": [step * stages[0].batch_tokens for step in at_steps],
        "mean": _known(mean_N.tolist()),
        "low": _known((mean_N - spread_N).tolist()),
        "high": _known((mean_N + spread_N).tolist()),
    }


def _smoothed(stage: Stage, at_steps: Sequence[int], window_steps: int) -> list[float]:
    places = {step: at for at, step in enumerate(stage.steps)}
    losses_N = np.asarray(stage.losses, dtype=np.float64)
    return [float(losses_N[max(0, places[step] + 1 - window_steps) : places[step] + 1].mean()) for step in at_steps]


def _known(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
