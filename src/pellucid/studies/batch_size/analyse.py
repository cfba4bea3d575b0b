"""Batch sizes to equal loss (Stable LM 2 report, Appendix D and Figure 6), and the critical batch size that they show."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pellucid.recipe.study import BatchSizeAnalysis, CompareConfig
from pellucid.studies.batch_size.crossing import Curve, smoothed
from pellucid.studies.batch_size.equal_loss import Trace, to_equal_loss
from pellucid.studies.batch_size.noise_scales import compare_noise, noise_over_training
from pellucid.studies.results import RunResult, Stage

__all__ = ["PRINTED", "analyse_batch_size"]

_DRAWN = 80
"""Points of a curve that is drawn."""

PRINTED: dict[str, Any] = {
    "place": "Stable LM 2 report (arXiv 2402.17834), Appendix D",
    "batch_tokens": [4 * 2**20, 16 * 2**20],
    "tokens": [50e9, 96e9],
    "step_factor": 2.0,
    "token_factor": 1.96,
    "token_factor_by_division": 96 / 50,
    "step_factor_by_division": 4 * 50 / 96,
    "b_crit_tokens_by_division": 50e9 / (46e9 / (12 * 2**20)) - 4 * 2**20,
    "chosen_batch_tokens": 8_388_608,
    "notes": [
        "A factor of 1.96 in tokens is printed; 96 B over 50 B is 1.92.",
        "Iterations are printed as B_i/T_i; they are T_i/B_i.",
    ],
}
"""What the report prints, and what follows from it by the law; batch sizes of 4 M and 16.7 M are taken as 4 and 16 times 2^20."""


def analyse_batch_size(runs: Sequence[RunResult], config: BatchSizeAnalysis, compare: CompareConfig) -> dict[str, Any]:
    """Return steps and tokens to equal loss by batch size, the law through them, and the gradient noise scale beside it.

    The baseline is the level with the smallest batch. A run's target is what the baseline run of its seed (and of the same levels
    of other axes) ended with. Loss curves are means over a centred window of `window_tokens` tokens, `compare.loss_steps` steps of
    the baseline (see `crossing.smoothed`): the baseline has its target in the middle of its last window, and all counts of tokens
    and steps are of the weights there. A target is reached at the first count from which on the curve stays at or below it.

    Keys: `batch` (the axis), `window_tokens`, `same_rates` (whether every step has one learning rate in all runs; None without
    runs), `baseline` ({level, batch_tokens, trained_tokens, trained_steps}, None without one),
    `curves` (by level the mean smoothed loss over its runs with the least and greatest of them: `tokens`, `steps`, `value`, `low`,
    `high`), `points` (the same of held-out bits per byte), `printed` (`PRINTED`), `notes` (sentences on what is missing), and

    - `loss` and, where runs have held-out points, `bits_per_byte` (at the baseline's last point; points are joined over the log of
      tokens); None where nothing can be compared. Each has `baseline_tokens` and `baseline_steps` (where the baseline has the
      target), `spread` (standard deviation of log tokens over seeds, pooled over levels) with `freedom`, `law`
      (`fit_critical_batch`), `between` each batch size and the next (`compare_neighbours`), and `rows` by batch size: `level`,
      `batch_tokens`, `runs`, `reached` (how many of them reached the target), `spread` (of these runs alone), and `tokens`,
      `steps`, `step_factor` (baseline's steps over these: the most by which training can be faster) and `token_factor` (tokens
      over the baseline's), each {value, low, high}: geometric means over seeds with 95 % intervals by the pooled spread. They are
      None where not every run reached it; `at_least_tokens` then is the mean with the end of those that did not in its place.
      `of_runs` has each run's `name`, `seed`, `outcome`, `target`, `reached`, `tokens`, `first_tokens` (where the curve first
      touches the target), `steps`, both factors, `end_tokens` and `end_value` of its curve, and `trained_tokens`.
    - `noise`: {`rows` (`noise_over_training`), `baseline` (`compare_noise` with the law of `loss`)}; None where none was measured.
    """
    notes: list[str] = []
    stages = _stages(runs, config.batch, notes)
    found: dict[str, Any] = dict.fromkeys(("baseline", "window_tokens", "same_rates", "loss", "bits_per_byte", "noise"))
    found |= {"batch": config.batch, "curves": [], "points": [], "printed": PRINTED, "notes": notes}
    if not stages:
        notes.append(f"No run with a level of the axis {config.batch!r} was trained.")
        return found
    first, stage = stages[0]
    level = first.levels[config.batch]
    based = [(run.outcome, len(one.steps)) for run, one in stages if one.batch_tokens == stage.batch_tokens]
    steps = [count for outcome, count in based if outcome == "done"] or [count for _, count in based]
    window = stage.batch_tokens * min(compare.loss_steps, *steps)
    baseline = {"trained_tokens": max(steps) * stage.batch_tokens, "trained_steps": max(steps)}
    found |= {
        "window_tokens": window,
        "same_rates": _have_same_rates([one for _, one in stages]),
        "baseline": {"level": level, "batch_tokens": stage.batch_tokens, **baseline},
    }
    losses = [_trace(run, one, config.batch, _loss_curve(one, window)) for run, one in stages]
    points = [_trace(run, one, config.batch, _points_curve(run, one), is_log=True) for run, one in stages]
    found["curves"], found["points"] = _drawn(losses), _drawn(points)
    found["loss"] = to_equal_loss(losses, level, compare.seed, "the training loss", notes)
    if found["points"]:
        found["bits_per_byte"] = to_equal_loss(points, level, compare.seed, "held-out text", notes)
    rows = noise_over_training([run for run, _ in stages], config.batch)
    if rows:
        law = found["loss"]["law"] if found["loss"] else None
        found["noise"] = {"rows": rows, "baseline": compare_noise(rows, level, law)}
    return found


def _stages(runs: Sequence[RunResult], axis: str, notes: list[str]) -> list[tuple[RunResult, Stage]]:
    """Return the runs that were trained, with the last stage that was, by batch size; say which are left out."""
    found = []
    for run in runs:
        stage = next((stage for stage in reversed(run.stages) if len(stage.losses)), None)
        if axis in run.levels and run.outcome in ("done", "stopped") and stage is not None:
            found.append((run, stage))
        elif axis in run.levels:
            notes.append(f"{run.name} is left out: {run.outcome}{f', {run.message}' if run.message else ''}.")
    return sorted(found, key=lambda one: one[1].batch_tokens)


def _have_same_rates(stages: Sequence[Stage]) -> bool:
    rates: dict[int, float] = {}
    return all(
        math.isclose(rates.setdefault(step, rate), rate, rel_tol=1e-9)
        for stage in stages
        for step, rate in zip(stage.steps, stage.rates, strict=True)
    )


def _trace(run: RunResult, stage: Stage, axis: str, curve: Curve, *, is_log: bool = False) -> Trace:
    others = sorted((name, level) for name, level in run.levels.items() if name != axis)
    trained_tokens = int(max(stage.steps)) * stage.batch_tokens
    return Trace(run, run.levels[axis], stage.batch_tokens, (run.seed, *others), curve, trained_tokens, is_log)


def _loss_curve(stage: Stage, window_tokens: float) -> Curve:
    return smoothed(stage.steps, stage.losses, stage.batch_tokens, window_tokens)


def _points_curve(run: RunResult, stage: Stage) -> Curve:
    """Return the held-out bits per byte of a run over the log of tokens; the point before the first step has no place there."""
    values: dict[int, float] = {}
    for point in run.points:
        scores = point.table.get("all", {}).get("all")
        if point.stage == stage.name and point.tokens > 0 and scores is not None and math.isfinite(scores.bits_per_byte):
            values[point.tokens] = scores.bits_per_byte
    return Curve(np.log(np.array(sorted(values), dtype=np.float64)), np.array([values[tokens] for tokens in sorted(values)]))


def _drawn(traces: Sequence[Trace]) -> list[dict[str, Any]]:
    """Return the mean curve of each level's runs over the stretch that all of them have, with the least and the greatest."""
    of_level: dict[str, list[Trace]] = {}
    for trace in traces:
        if len(trace.curve.x_N):
            of_level.setdefault(trace.level, []).append(trace)
    found = []
    for level, of in of_level.items():
        first, last = max(trace.curve.x_N[0] for trace in of), min(trace.curve.x_N[-1] for trace in of)
        if last < first:
            continue
        x_N = np.linspace(first, last, _DRAWN) if last > first else np.array([first])
        y_RN = np.stack([np.interp(x_N, trace.curve.x_N, trace.curve.y_N) for trace in of])
        tokens = [of[0].tokens_at(x) for x in x_N.tolist()]
        ends = {"value": y_RN.mean(axis=0), "low": y_RN.min(axis=0), "high": y_RN.max(axis=0)}
        steps = [one / of[0].batch_tokens for one in tokens]
        values = {name: value_N.tolist() for name, value_N in ends.items()}
        found.append({"level": level, "runs": len(of), "tokens": tokens, "steps": steps, **values})
    return found
