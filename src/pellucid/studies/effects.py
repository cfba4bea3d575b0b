"""What an axis does: each level against the baseline, over the same seeds and the same levels of all other axes.

The model is y = level + block + noise, where a block is a seed with one level of every other axis. What the blocks have in common
(a seed's first weights and order of data) drops out of the difference, and the noise is estimated from all runs of the axis
together, with (levels - 1)·(blocks - 1) degrees of freedom where none is missing. Where other axes change what a level does, that
counts as noise as well, so that an effect that is there only sometimes is not called sure.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pellucid.evals.paired import LEVEL, holm
from pellucid.studies.least_squares import Fit, fit
from pellucid.studies.results import RunResult

__all__ = ["Metric", "effects_of", "seed_spread"]

Metric = Callable[[RunResult], float]
"""A figure of which less is better; not a number where a run has none."""

Block = tuple[int, tuple[tuple[str, str], ...]]


def effects_of(runs: Sequence[RunResult], axis: str, metric: Metric, baseline: str | None = None) -> dict[str, Any]:
    """Return the levels of an axis by a metric, each against the baseline (the first level when None).

    Only comparable runs count. `rows` have `level`, `runs`, `mean` over blocks, `values` by run, and, but for the baseline,
    `difference` with `stderr`, `low`, `high`, `p`, `p_holm` (corrected for the levels of this axis), `relative` (difference over
    the baseline's mean), `of_spread` (difference over the spread of seeds), `verdict`, and `paired`: one difference for each block
    that has both. `spread` is the standard deviation over seeds at equal levels, `noise` what of it is left within a block, so that
    a difference of two runs has √2 of that. All are None where they cannot be had.
    """
    found = [
        (run.levels[axis], _block(run, axis), metric(run), run.name) for run in runs if axis in run.levels and run.is_comparable
    ]
    found = [one for one in found if math.isfinite(one[2])]
    levels = list(dict.fromkeys(run.levels[axis] for run in runs if axis in run.levels))
    baseline = levels[0] if baseline is None and levels else baseline
    at = {level: {block: value for own, block, value, _ in found if own == level} for level in levels}
    spread = seed_spread(runs, metric)
    base = at.get(baseline or "", {})
    base_mean = _mean(list(base.values()))
    fitted = _fitted(found, levels)
    rows: list[dict[str, Any]] = []
    for number, level in enumerate(levels):
        values = list(at[level].values())
        row: dict[str, Any] = {"level": level, "runs": len(values), "mean": _mean(values), "values": values}
        if level != baseline:
            row |= _difference(at[level], base)
            if fitted is not None and row["paired"]:
                weights_P = np.zeros(len(fitted.coefficients_P))
                weights_P[number], weights_P[levels.index(baseline or "")] = 1.0, -1.0
                told = asdict(fitted.contrast(weights_P))
                row |= {"difference": told.pop("value"), **told}
            if row["difference"] is not None:
                row["relative"] = row["difference"] / base_mean if base_mean else None
                row["of_spread"] = abs(row["difference"]) / spread if spread else None
        rows.append(row)
    others = [row for row in rows if row["level"] != baseline]
    for row, p in zip(others, holm([row["p"] for row in others]), strict=True):
        row["p_holm"], row["verdict"] = p, _verdict(row["difference"], p)
    noise = None if fitted is None or fitted.variance is None else math.sqrt(fitted.variance)
    return {"axis": axis, "baseline": baseline, "rows": rows, "spread": spread, "noise": noise}


def seed_spread(runs: Sequence[RunResult], metric: Metric) -> float | None:
    """Return the standard deviation over seeds of runs whose levels are all equal, pooled; None where no two seeds meet."""
    cells: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for run in runs:
        if run.is_comparable and math.isfinite(value := metric(run)):
            cells.setdefault(tuple(sorted(run.levels.items())), []).append(value)
    squares = sum(float(np.sum((np.array(values) - np.mean(values)) ** 2)) for values in cells.values())
    freedom = sum(len(values) - 1 for values in cells.values())
    return math.sqrt(squares / freedom) if freedom else None


def _block(run: RunResult, axis: str) -> Block:
    return run.seed, tuple(sorted((name, level) for name, level in run.levels.items() if name != axis))


def _fitted(found: Sequence[tuple[str, Block, float, str]], levels: Sequence[str]) -> Fit | None:
    """Fit level + block; None where there is nothing to fit. Columns: one for each level, then one for each block."""
    if not found:
        return None
    blocks = list(dict.fromkeys(block for _, block, _, _ in found))
    design_NP = np.zeros((len(found), len(levels) + len(blocks)))
    for row, (level, block, _, _) in enumerate(found):
        design_NP[row, levels.index(level)] = 1.0
        design_NP[row, len(levels) + blocks.index(block)] = 1.0
    return fit(design_NP, np.array([value for _, _, value, _ in found]))


def _difference(own: dict[Block, float], base: dict[Block, float]) -> dict[str, Any]:
    paired = [own[block] - base[block] for block in own if block in base]
    nothing = dict.fromkeys(("stderr", "low", "high", "p", "p_holm", "relative", "of_spread"))
    return {**nothing, "difference": _mean(paired), "paired": paired, "verdict": "not compared"}


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _verdict(difference: float | None, p: float | None) -> str:
    if difference is None or p is None:
        return "not compared"
    if p >= LEVEL or difference == 0:
        return "cannot be told apart"
    return "better" if difference < 0 else "worse"
