"""Runs of a study by schedule and length, from the shortest to the longest, and what a training stage did from its first step."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pellucid.recipe.study import SchedulesAnalysis
from pellucid.studies.results import RunResult, Stage

__all__ = ["Cells", "cells_of", "last_stage", "planned_tokens", "whole_stage"]


@dataclass(frozen=True)
class Cells:
    """Runs that have a level of both axes. `schedules` are in order of appearance, and the first is the baseline; `lengths` from
    the shortest; a study without an axis of lengths has the one length None."""

    axis: str
    length_axis: str | None
    schedules: tuple[str, ...]
    lengths: tuple[str | None, ...]
    runs: tuple[RunResult, ...]

    def at(self, length: str | None, schedule: str | None = None) -> list[RunResult]:
        """Return all runs of a length, or of a length and a schedule, however they ended."""
        return [run for run in self.runs if self.length_of(run) == length and schedule in (None, run.levels[self.axis])]

    def ended(self, length: str | None, schedule: str) -> list[RunResult]:
        """Return those that came to their length and were scored."""
        return [run for run in self.at(length, schedule) if run.is_comparable]

    def length_of(self, run: RunResult) -> str | None:
        """Return the run's level of the axis of lengths."""
        return None if self.length_axis is None else run.levels[self.length_axis]

    def kind_of(self, schedule: str) -> str | None:
        """Return a schedule's curve: cosine, rsqrt, hyb and so on; None where no run of it has begun."""
        stages = (last_stage(run) for run in self.runs if run.levels[self.axis] == schedule)
        return next((str(stage.schedule["kind"]) for stage in stages if stage is not None), None)

    def tokens_at(self, length: str | None) -> int | None:
        """Return the tokens that runs of a length are planned to train on; None where none says."""
        return max((planned_tokens(run) for run in self.at(length)), default=0) or None


def cells_of(runs: Sequence[RunResult], config: SchedulesAnalysis) -> Cells:
    """Return the runs by schedule and length; those that lack an axis are left out."""
    axes = [config.schedule, *([config.length] if config.length is not None else [])]
    own = tuple(run for run in runs if all(axis in run.levels for axis in axes))
    schedules = tuple(dict.fromkeys(run.levels[config.schedule] for run in own))
    named = list(dict.fromkeys(None if config.length is None else run.levels[config.length] for run in own))
    cells = Cells(config.schedule, config.length, schedules, tuple(named), own)
    # A length of which nothing was trained has no known place: it comes last.
    return replace(cells, lengths=tuple(sorted(named, key=lambda length: cells.tokens_at(length) or float("inf"))))


def planned_tokens(run: RunResult) -> int:
    """Return the tokens of all training stages as they were planned; 0 where none was begun."""
    return sum(stage.steps_planned * stage.batch_tokens for stage in run.stages)


def last_stage(run: RunResult) -> Stage | None:
    """Return the last training stage that made a step: the one whose schedules are compared."""
    return next((stage for stage in reversed(run.stages) if len(stage.steps)), None)


def whole_stage(run: RunResult, runs: Sequence[RunResult]) -> Stage | None:
    """Return the last stage from its first step: what it lacks of a shared beginning is taken from the run it begins with."""
    stage = last_stage(run)
    if stage is None or stage.steps[0] <= 1 or run.begins_with is None:
        return stage
    source = next((one for one in runs if one.name == run.begins_with), None)
    theirs = next((one for one in source.stages if one.name == stage.name and len(one.steps)), None) if source else None
    if source is None or theirs is None or theirs.steps[0] >= stage.steps[0]:
        return stage
    before = whole_stage(replace(source, stages=(theirs,)), runs)
    assert before is not None
    kept = [at for at, step in enumerate(before.steps) if step < stage.steps[0]]
    return replace(
        stage,
        steps=[*(before.steps[at] for at in kept), *stage.steps],
        rates=[*(before.rates[at] for at in kept), *stage.rates],
        losses=[*(before.losses[at] for at in kept), *stage.losses],
        norms=[*(before.norms[at] for at in kept), *stage.norms],
    )
