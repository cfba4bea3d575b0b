"""Several runs on the terminal: their curves over each other, and a table that says how each stands."""

import math
from collections.abc import Sequence

import numpy as np
from rich.text import Text

from pellucid.core.excerpt import one_line
from pellucid.core.units import format_duration
from pellucid.watch.curves import Curve, smoothed
from pellucid.watch.frame import KEYS
from pellucid.watch.plot import Drawn, draw, short
from pellucid.watch.present import Present, present
from pellucid.watch.run import RunWatch
from pellucid.watch.view import COLOURS, METRICS, View, fit, part_of, rule, shown_value

__all__ = ["several_runs", "stage_of"]


def stage_of(run: RunWatch, view: View, leader: RunWatch) -> str | None:
    """Return the stage of a run that is compared: the chosen one, else the one at which the first run is; None where it has none.

    Of a run that was given as the folder of one stage it is that one.
    """
    if run.is_stage:
        return run.current
    name = view.stage or leader.current
    return name if name in run.stages else None


def several_runs(runs: Sequence[RunWatch], view: View, width: int, height: int, now: float) -> list[Text]:
    """Return `height` lines of `width` columns: the curves of one metric in every run's colour, a row for each run, keys."""
    leader = runs[0]
    name = view.stage or leader.current
    shown: list[tuple[RunWatch, Present | None, Curve]] = []
    for run in runs:
        at = stage_of(run, view, leader)
        if at is None or not run.stages[at].has_begun:
            shown.append((run, None, Curve(*(np.empty(0) for _ in range(4)))))
            continue
        stage = run.stages[at]
        curve = stage.account.curves.curve(view.metric, by_tokens=view.by_tokens)
        shown.append((run, present(stage, run.state(at, now)), part_of(curve, view.window)))
    title = Text().append(f"{len(runs)} runs", "bold").append(f"  {one_line(name or 'not begun', 30)}  ", "dim")
    title.append(METRICS[view.metric], "bold cyan").append("  by tokens" if view.by_tokens else "  by step", "dim")
    rows = min(len(runs), max(1, (height - 3) // 2))
    drawn = [Drawn(curve, f"bold {_colour(number)}") for number, (_, _, curve) in enumerate(shown) if len(curve)]
    curves = draw(drawn, width, max(0, height - 3 - rows), log=view.log)
    table = [_row(number, run, told, curve, shown[0][2], view, width) for number, (run, told, curve) in enumerate(shown[:rows])]
    head = rule("runs", width, "value smoothed; difference from the first run at the same place")
    lines = [fit(title, width), *curves, head, *table]
    return [*(fit(line, width) for line in lines[: height - 1]), fit(Text(KEYS, "dim"), width)][:height]


def _row(number: int, run: RunWatch, told: Present | None, curve: Curve, first: Curve, view: View, width: int) -> Text:
    line = fit(Text().append("━━ ", f"bold {_colour(number)}").append(one_line(run.name, 60)), max(14, width // 3))
    if told is None:
        return line.append(" has no such stage yet", "dim")
    state = told.state
    value = float(smoothed(curve)[-1]) if len(curve) else math.nan
    line.append(f" {shown_value(view.metric, value):>9}", "bold")
    difference = _difference(curve, first) if number else math.nan
    line.append(f" {difference:+8.3g}" if difference == difference else " " * 9, "dim")
    line.append(f"  step {state.step}").append(f" of {state.steps}" if state.steps else "", "dim")
    if state.left_s is not None:
        line.append(f"  {format_duration(state.left_s)} left")
    else:
        line.append(f"  {state.kind}" + (f" {format_duration(state.quiet_s)}" if state.kind == "quiet" else ""), "dim")
    return line.append(f"  {short(told.tokens_per_s)} tok/s", "dim")


def _difference(curve: Curve, first: Curve) -> float:
    """Return how far a run's smoothed curve is above the first one's at the last place that both have reached."""
    if not len(curve) or not len(first):
        return math.nan
    at = min(float(curve.x_K[-1]), float(first.x_K[-1]))
    if at < max(float(curve.x_K[0]), float(first.x_K[0])):
        return math.nan
    return float(np.interp(at, curve.x_K, smoothed(curve)) - np.interp(at, first.x_K, smoothed(first)))


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
