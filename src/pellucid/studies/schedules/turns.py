"""What the plans of schedules say of how far they can be compared: where a hybrid turns, and whether all have one peak."""

from typing import Any

from pellucid.recipe.training import ScheduleConfig
from pellucid.studies.schedules.cells import Cells, last_stage

__all__ = ["common_peak", "not_turned", "turn_step"]

_PERIODS_BEFORE_TURN = {"hyb": 1 / 4, "hyb2": 1 / 2}


def turn_step(config: ScheduleConfig, total_steps: int) -> float | None:
    """Return the step at which hyb or hyb2 leaves its cosine for 1/√step (Eq. 1: a quarter of N, of twice that for hyb2, after
    warm-up), whether or not it comes so far; None for a curve that does not turn."""
    if config.kind not in _PERIODS_BEFORE_TURN or config.peak_lr == config.min_lr:
        return None
    period = config.period_steps or max(1, total_steps - config.warmup_steps)
    return config.warmup_steps + _PERIODS_BEFORE_TURN[config.kind] * period


def not_turned(cells: Cells) -> list[dict[str, Any]]:
    """Return the hybrids that have only their cosine part, as they are cooled down or end before they turn.

    Rows have `schedule`, `length`, `turn_step`, and `curve_steps`: how many steps follow the curve, those before the cool-down.
    """
    found = []
    for schedule in cells.schedules:
        for length in cells.lengths:
            stage = next((stage for run in cells.at(length, schedule) if (stage := last_stage(run)) is not None), None)
            if stage is None:
                continue
            config = ScheduleConfig.model_validate(dict(stage.schedule))
            turn, curve_steps = turn_step(config, stage.steps_planned), stage.steps_planned - config.cooldown_steps
            if turn is not None and curve_steps <= turn:
                found.append({"schedule": schedule, "length": length, "turn_step": turn, "curve_steps": curve_steps})
    return found


def common_peak(cells: Cells) -> float | None:
    """Return the planned peak rate where all runs of two or more schedules have the same; else None."""
    known = [(run.levels[cells.axis], stage) for run in cells.runs if (stage := last_stage(run)) is not None]
    peaks = {float(stage.schedule["peak_lr"]) for _, stage in known}
    return peaks.pop() if len(peaks) == 1 and len({name for name, _ in known}) > 1 else None
