"""Whether the final metric goes with the mean learning rate: the report's conjecture that equal means make equivalent models."""

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np

from pellucid.evals.paired import LEVEL
from pellucid.evals.statistics import Floats
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.least_squares import Fit, fit, scipy_part
from pellucid.studies.level_fit import seed_means
from pellucid.studies.results import RunResult
from pellucid.studies.schedules.cells import Cells

__all__ = ["by_mean_at", "correlations"]

_MOST_PERMUTED = 7  # points whose orders are all gone through: 5 040


def by_mean_at(cells: Cells, length: str | None, metric: Metric, means: dict[str, float]) -> dict[str, Any]:
    """Return how the metric goes with the mean rate over the schedules of one length; `means` are planned rates by schedule.

    `points`: one for each schedule (`schedule`, `mean_rate`, `value`, the mean over runs). `pearson`, `spearman` and `p` (exact,
    of the rank correlation, two-sided) over these points, `least_p` what so many points can reach at all, and `verdict`. `by_seed`:
    the same correlations for each seed alone. `slope`: change of the metric, in its own unit, when the mean rate grows by the
    baseline's, see `_slope`. `beyond`: an F test of what schedules differ in beyond that straight line (`f`, `freedom`, `p`,
    `verdict`). `nearest`: the two schedules whose means are nearest (`a`, `b`, `ratio`, and the `difference` of b
    from a with `low`, `high` and `relative` to a). All are None where they cannot be had.
    """
    runs = [run for run in cells.at(length) if run.is_comparable and run.levels[cells.axis] in means and math.isfinite(metric(run))]
    points: list[dict[str, Any]] = []
    for schedule in cells.schedules:
        values = [metric(run) for run in runs if run.levels[cells.axis] == schedule]
        if values:
            points.append({"schedule": schedule, "mean_rate": means[schedule], "value": math.fsum(values) / len(values)})
    told = correlations([one["mean_rate"] for one in points], [one["value"] for one in points])
    by_seed = []
    for seed in dict.fromkeys(run.seed for run in runs):
        own = [run for run in runs if run.seed == seed]
        found = correlations([means[run.levels[cells.axis]] for run in own], [metric(run) for run in own])
        by_seed.append({"seed": seed, "pearson": found["pearson"], "spearman": found["spearman"]})
    return {
        "length": length,
        "points": points,
        **told,
        "verdict": _correlated(told),
        "by_seed": by_seed,
        **_line(runs, cells, metric, means),
        "nearest": _nearest(runs, cells, metric, points),
    }


def correlations(x: Sequence[float], y: Sequence[float]) -> dict[str, float | None]:
    """Return `pearson`, `spearman`, `p` of the latter and `least_p`, two-sided; None with fewer than three points or no variation.

    Up to seven points every order is gone through; with more, p is of Student's t.
    """
    nothing: dict[str, float | None] = dict.fromkeys(("pearson", "spearman", "p", "least_p"))
    if len(x) < 3 or len(set(x)) < 2 or len(set(y)) < 2:
        return nothing
    stats = scipy_part("stats")
    x_ranks, y_ranks = np.asarray(stats.rankdata(x)), np.asarray(stats.rankdata(y))
    spearman = _pearson(x_ranks, y_ranks)
    if len(x) > _MOST_PERMUTED:
        p, least = float(stats.spearmanr(x, y).pvalue), 0.0
    else:
        found = np.abs([_pearson(x_ranks, np.array(order)) for order in permutations(y_ranks.tolist())])
        p, least = float(np.mean(found >= abs(spearman) - 1e-12)), float(np.mean(found >= found.max() - 1e-12))
    return {"pearson": _pearson(np.asarray(x), np.asarray(y)), "spearman": spearman, "p": p, "least_p": least}


def _pearson(x_N: Floats, y_N: Floats) -> float:
    x_N, y_N = x_N - np.mean(x_N), y_N - np.mean(y_N)
    return float(x_N @ y_N / math.sqrt(float(x_N @ x_N) * float(y_N @ y_N)))


def _correlated(told: dict[str, float | None]) -> str:
    p, least = told["p"], told["least_p"]
    if p is None or least is None:
        return "not compared"
    if p < LEVEL:
        return "goes with the mean rate"
    return "too few schedules to tell" if least >= LEVEL else "cannot be told"


def _line(runs: Sequence[RunResult], cells: Cells, metric: Metric, means: dict[str, float]) -> dict[str, Any]:
    """Fit seed + slope·rate, and compare what it leaves with what seed + level leaves."""
    nothing = {"slope": None, "beyond": None}
    known = seed_means(runs, cells.axis, metric)
    levels, seeds = (list(dict.fromkeys(cell[at] for cell in known)) for at in (0, 1))
    if len({means[str(level)] for level in levels}) < 2:
        return nothing
    seeds_NP = np.array([[float(cell.seed == seed) for seed in seeds] for cell in known])
    rates_N = np.array([means[cell.level] for cell in known]) / means[str(levels[0])]
    levels_NP = np.array([[float(cell.level == level) for level in levels] for cell in known])
    values_N = np.array([cell.value for cell in known])
    if not any(np.ptp(rates_N[of_seed_N == 1]) for of_seed_N in seeds_NP.T):
        return nothing  # rates that only differ between seeds
    line, full = fit(np.column_stack([seeds_NP, rates_N]), values_N), fit(np.hstack([seeds_NP, levels_NP]), values_N)
    more = line.freedom - full.freedom
    beyond = ((line.variance or 0.0) * line.freedom - (full.variance or 0.0) * full.freedom) / more if more > 0 else None
    told = _slope(line, full.variance, beyond, more)
    if not full.variance or beyond is None:
        return {"slope": told, "beyond": None}
    f = max(0.0, beyond) / full.variance
    p = float(scipy_part("stats").f.sf(f, more, full.freedom))
    verdict = "more than the line explains" if p < LEVEL else "no more than noise beyond the line"
    return {"slope": told, "beyond": {"f": f, "freedom": [more, full.freedom], "p": p, "verdict": verdict}}


def _slope(line: Fit, of_seeds: float | None, of_schedules: float | None, freedom: int) -> dict[str, Any]:
    """Return the slope, the last coefficient of `line`: `value`, `stderr`, `low`, `high`, `p`, `freedom`, `error_of`.

    Schedules are what a line through them has for points, however many seeds each has. The error is therefore of their scatter
    about the line, or of the noise of seeds where that is larger; `error_of` is "schedules" or "seeds". Either way Student's t has
    as many degrees of freedom as there are schedules less two. Of two schedules only the value is known. The arguments are
    variances of a value at one seed.
    """
    weights_P = np.array([*([0.0] * (len(line.coefficients_P) - 1)), 1.0])
    if of_schedules is None:
        return {**asdict(replace(line, variance=None).contrast(weights_P)), "freedom": 0, "error_of": None}
    variance = max(0.0, of_schedules, of_seeds or 0.0)
    found = replace(line, variance=variance, freedom=freedom).contrast(weights_P)
    return {**asdict(found), "freedom": freedom, "error_of": "seeds" if variance > of_schedules else "schedules"}


def _nearest(runs: Sequence[RunResult], cells: Cells, metric: Metric, points: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    pairs = [(abs(math.log(b["mean_rate"] / a["mean_rate"])), a, b) for a, b in combinations(points, 2)]
    if not pairs:
        return None
    _, a, b = min(pairs, key=lambda pair: pair[0])
    row = next(one for one in effects_of(runs, cells.axis, metric, a["schedule"])["rows"] if one["level"] == b["schedule"])
    told = {key: row[key] for key in ("difference", "low", "high", "relative")}
    return {"a": a["schedule"], "b": b["schedule"], "ratio": b["mean_rate"] / a["mean_rate"], **told}
