"""What an axis does: each level against the baseline, at the same seeds, averaged over the same levels of all other axes.

The model is y = level + seed + noise (`level_fit`). What a seed does to all levels alike, its first weights and order of data,
drops out of the difference, and the noise is estimated from all levels of the axis together: unless one level has more of it than
chance gives. Then each difference is told by the runs of its two levels alone, which with few seeds tells less.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pellucid.evals.paired import LEVEL, holm
from pellucid.studies.level_fit import Cell, LevelFit, Metric, fit_levels, seed_means, unevenness
from pellucid.studies.results import RunResult

__all__ = ["Metric", "effects_of", "seed_spread"]


def effects_of(runs: Sequence[RunResult], axis: str, metric: Metric, baseline: str | None = None) -> dict[str, Any]:
    """Return the levels of an axis by a metric, each against the baseline (the first level when None).

    Only runs that came to their length and have a value count. `rows` have `level`, `runs`, `mean` over them, `values` by run,
    and, but for the baseline, `difference` with `stderr`, `low`, `high`, `p`, `p_holm` (corrected for the levels of this axis),
    `relative` (difference over the baseline's mean), `of_spread` (difference over the spread of seeds), `verdict`, and `paired`:
    one difference for each seed that both have. `spread` is the standard deviation over seeds at equal levels of all axes, `noise`
    what is left of a level's mean at a seed once level and seed are known, so that a difference of two at one seed has √2 of that.
    All are None where they cannot be had. Where no level of the other axes has all levels of this one, each is compared with the
    baseline by itself. `uneven`: level, share and p of noise that is not the same for all levels, None where it may be; then too.
    `by_other` has for each other axis the mean difference at each of its levels, and `turns` the axes where these differ in sign.
    """
    own: dict[str, list[float]] = {run.levels[axis]: [] for run in runs if axis in run.levels}
    for run in runs:
        if axis in run.levels and run.outcome == "done" and math.isfinite(value := metric(run)):
            own[run.levels[axis]].append(value)
    baseline = next(iter(own), None) if baseline is None else baseline
    spread = seed_spread(runs, metric)
    cells = seed_means(runs, axis, metric)
    uneven = unevenness(cells)
    uneven = uneven if uneven is not None and uneven.p < LEVEL else None
    fitted = fit_levels(cells)
    rows: list[dict[str, Any]] = []
    for level, values in own.items():
        row: dict[str, Any] = {"level": level, "runs": len(values), "mean": _mean(values), "values": values}
        if level != baseline:
            row |= _difference(runs, axis, metric, (level, baseline or ""), (cells, None if uneven else fitted))
            row |= _by_other(runs, axis, metric, (level, baseline or ""))
            of_base = _mean(own.get(baseline or "", []))
            if row["difference"] is not None:
                row["relative"] = row["difference"] / of_base if of_base else None
                row["of_spread"] = abs(row["difference"]) / spread if spread else None
        rows.append(row)
    others = [row for row in rows if row["level"] != baseline]
    for row, p in zip(others, holm([row["p"] for row in others]), strict=True):
        row["p_holm"], row["verdict"] = p, _verdict(row["difference"], p)
    noise = None if fitted is None or fitted.fit.variance is None else math.sqrt(fitted.fit.variance)
    told = None if uneven is None else uneven._asdict()
    return {"axis": axis, "baseline": baseline, "rows": rows, "spread": spread, "noise": noise, "uneven": told}


def _difference(
    runs: Sequence[RunResult], axis: str, metric: Metric, pair: tuple[str, str], known: tuple[list[Cell], LevelFit | None]
) -> dict[str, Any]:
    """Return how a level differs from the baseline (`pair`), by the noise of all levels where these can be had together."""
    level, baseline = pair
    cells, fitted = known
    if fitted is None or fitted.contrast({level: 1.0, baseline: -1.0}) is None:
        cells = seed_means([run for run in runs if run.levels.get(axis) in pair], axis, metric)
        fitted = fit_levels(cells)
    at = {name: {cell.seed: cell.value for cell in cells if cell.level == name} for name in pair}
    paired = [value - at[baseline][seed] for seed, value in at[level].items() if seed in at[baseline]]
    nothing = dict.fromkeys(("difference", "stderr", "low", "high", "p", "p_holm", "relative", "of_spread"))
    found = None if fitted is None else fitted.contrast({level: 1.0, baseline: -1.0})
    if found is None:
        return {**nothing, "paired": paired, "verdict": "not compared"}
    told = asdict(found)
    return {**nothing, "difference": told.pop("value"), **told, "paired": paired, "verdict": "not compared"}


def _by_other(runs: Sequence[RunResult], axis: str, metric: Metric, pair: tuple[str, str]) -> dict[str, Any]:
    """Return `by_other` and `turns` of a level and the baseline: means over runs that have all else in common."""
    values: dict[str, dict[tuple[tuple[str, str], ...], float]] = {name: {} for name in pair}
    for run in runs:
        if run.levels.get(axis) in pair and run.outcome == "done" and math.isfinite(value := metric(run)):
            rest = {name: level for name, level in run.levels.items() if name != axis} | {"": str(run.seed)}
            values[run.levels[axis]][tuple(sorted(rest.items()))] = value
    at: dict[str, dict[str, list[float]]] = {}
    for rest_items, value in values[pair[0]].items():
        if rest_items in values[pair[1]]:
            for name, level in rest_items[1:]:  # the first is the seed
                at.setdefault(name, {}).setdefault(level, []).append(value - values[pair[1]][rest_items])
    means = {name: {level: math.fsum(one) / len(one) for level, one in own.items()} for name, own in at.items() if len(own) > 1}
    turns = [name for name, own in means.items() if min(own.values()) < 0 < max(own.values())]
    return {"by_other": means, "turns": turns}


def seed_spread(runs: Sequence[RunResult], metric: Metric) -> float | None:
    """Return the standard deviation over seeds of runs whose levels are all equal, pooled; None where no two seeds meet."""
    cells: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for run in runs:
        if run.outcome == "done" and math.isfinite(value := metric(run)):
            cells.setdefault(tuple(sorted(run.levels.items())), []).append(value)
    squares = sum(float(np.sum((np.array(values) - np.mean(values)) ** 2)) for values in cells.values())
    freedom = sum(len(values) - 1 for values in cells.values())
    return math.sqrt(squares / freedom) if freedom else None


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _verdict(difference: float | None, p: float | None) -> str:
    if difference is None or p is None:
        return "not compared"
    if p >= LEVEL or difference == 0:
        return "cannot be told apart"
    return "better" if difference < 0 else "worse"
