"""The model behind effects: one value for each level of an axis and each seed, as level + seed + noise.

Runs of one seed have first weights and order of data in common, and where one begins with another's training even most of their
steps: they are no independent witnesses. So other axes are averaged over within a seed, and only seeds count as repetitions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pellucid.studies.least_squares import Estimate, Fit, fit
from pellucid.studies.results import RunResult

__all__ = ["Cell", "LevelFit", "Metric", "fit_levels", "seed_means"]

Metric = Callable[[RunResult], float]
"""A figure of which less is better; not a number where a run has none."""

_Others = tuple[tuple[str, str], ...]


class Cell(NamedTuple):
    """The value of a level at a seed."""

    level: str
    seed: int
    value: float


def seed_means(runs: Sequence[RunResult], axis: str, metric: Metric) -> list[Cell]:
    """Return the mean of every level at every seed, over the levels of all other axes that the axis' levels have in common there.

    Only runs that came to their length and have a value count. A level without any run at a seed has no cell there and takes
    nothing from the others; where levels have runs, but none at equal levels of the other axes, the seed has no cells at all.
    """
    at: dict[int, dict[_Others, dict[str, float]]] = {}
    for run in runs:
        if axis in run.levels and run.outcome == "done" and math.isfinite(value := metric(run)):
            others = tuple(sorted((name, level) for name, level in run.levels.items() if name != axis))
            at.setdefault(run.seed, {}).setdefault(others, {})[run.levels[axis]] = value
    cells = []
    for seed, by_others in at.items():
        levels = list(dict.fromkeys(level for values in by_others.values() for level in values))
        whole = [values for values in by_others.values() if len(values) == len(levels)]
        cells += [Cell(level, seed, math.fsum(values[level] for values in whole) / len(whole)) for level in levels if whole]
    return cells


@dataclass(frozen=True)
class LevelFit:
    """A fitted model: its levels, and the coefficients of levels and then of seeds."""

    levels: tuple[str, ...]
    fit: Fit
    told_PP: np.ndarray[tuple[int, ...], np.dtype[np.float64]]

    def contrast(self, weights: Mapping[str, float]) -> Estimate | None:
        """Return Σ weight · level; None where the cells do not tell it: a level without cells, or without a seed in common."""
        if not weights.keys() <= set(self.levels):
            return None
        seeds = len(self.fit.coefficients_P) - len(self.levels)
        weights_P = np.array([weights.get(level, 0.0) for level in self.levels] + [0.0] * seeds)
        # What the cells tell are the combinations of rows of the design.
        return self.fit.contrast(weights_P) if np.allclose(weights_P @ self.told_PP, weights_P, atol=1e-9) else None


def fit_levels(cells: Sequence[Cell]) -> LevelFit | None:
    """Fit level + seed; None without cells. The noise has (levels - 1)·(seeds - 1) degrees of freedom where none is missing."""
    if not cells:
        return None
    levels, seeds = tuple(dict.fromkeys(cell.level for cell in cells)), list(dict.fromkeys(cell.seed for cell in cells))
    design_NP = np.zeros((len(cells), len(levels) + len(seeds)))
    for row, cell in enumerate(cells):
        design_NP[row, levels.index(cell.level)] = 1.0
        design_NP[row, len(levels) + seeds.index(cell.seed)] = 1.0
    found = fit(design_NP, np.array([cell.value for cell in cells]))
    return LevelFit(levels, found, np.asarray(np.linalg.pinv(design_NP) @ design_NP, dtype=np.float64))
