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

__all__ = ["Cell", "LevelFit", "Metric", "Uneven", "fit_levels", "seed_means", "unevenness"]

_DRAWS = 4000
_ROUNDING = 1e-24  # of the squares of the values: what is left below that is none

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
    levels, design_NP = tuple(dict.fromkeys(cell.level for cell in cells)), _design(cells)
    found = fit(design_NP, np.array([cell.value for cell in cells]))
    return LevelFit(levels, found, np.asarray(np.linalg.pinv(design_NP) @ design_NP, dtype=np.float64))


class Uneven(NamedTuple):
    """The level with most of what the model leaves, its share of the squares, and how often equal noise gives so large a share."""

    level: str
    share: float
    p: float


def unevenness(cells: Sequence[Cell]) -> Uneven | None:
    """Return whether one level has more than its part of the noise; None with fewer than three levels, or nothing left over.

    p is that of the largest share, after Cochran (1941), with the cells that there are: from normal noise, always the same draws.
    """
    fitted = fit_levels(cells)
    if fitted is None or len(fitted.levels) < 3 or fitted.fit.variance is None:
        return None
    design_NP = _design(cells)
    left_NN = np.eye(len(cells)) - design_NP @ np.linalg.pinv(design_NP)
    levels = np.array([fitted.levels.index(cell.level) for cell in cells])
    member_NL = (levels[:, None] == np.arange(len(fitted.levels))).astype(np.float64)
    values_N = np.array([cell.value for cell in cells])
    shares_L = (left_NN @ values_N) ** 2 @ member_NL
    if shares_L.sum() <= _ROUNDING * float(values_N @ values_N):
        return None
    shares_L = shares_L / shares_L.sum()
    drawn_DL = (np.random.default_rng(0).standard_normal((_DRAWS, len(cells))) @ left_NN) ** 2 @ member_NL
    drawn_D = (drawn_DL / drawn_DL.sum(axis=1, keepdims=True)).max(axis=1)
    worst = int(np.argmax(shares_L))
    p = (1 + int(np.sum(drawn_D >= shares_L[worst] * (1 - 1e-9)))) / (1 + _DRAWS)
    return Uneven(fitted.levels[worst], float(shares_L[worst]), p)


def _design(cells: Sequence[Cell]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return a column for each level, then one for each seed, in order of appearance: 1 where a cell is of it."""
    levels, seeds = list(dict.fromkeys(cell.level for cell in cells)), list(dict.fromkeys(cell.seed for cell in cells))
    design_NP = np.zeros((len(cells), len(levels) + len(seeds)))
    for row, cell in enumerate(cells):
        design_NP[row, levels.index(cell.level)] = 1.0
        design_NP[row, len(levels) + seeds.index(cell.seed)] = 1.0
    return design_NP
