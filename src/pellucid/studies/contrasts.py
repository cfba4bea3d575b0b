"""Sums of levels with weights, such as how much the second half of a range gains against the first, and how sure they are."""

from collections.abc import Mapping, Sequence

import numpy as np

from pellucid.studies.effects import Metric
from pellucid.studies.least_squares import Estimate, fit
from pellucid.studies.results import RunResult

__all__ = ["contrast_of"]


def contrast_of(runs: Sequence[RunResult], axis: str, metric: Metric, weights: Mapping[str, float]) -> Estimate | None:
    """Return Σ weight · mean of the level, over comparable runs of an axis; the weights add up to 0.

    The model is that of `effects`: level + block + noise, with the noise of all runs of the axis, so that what runs of one block
    have in common drops out. None where a level has no run, or shares no block with the others.
    """
    found = [run for run in runs if axis in run.levels and run.is_comparable and np.isfinite(metric(run))]
    levels = list(dict.fromkeys(run.levels[axis] for run in found))
    if not weights.keys() <= set(levels):
        return None
    blocks = list(dict.fromkeys(_block(run, axis) for run in found))
    design_NP = np.zeros((len(found), len(levels) + len(blocks)))
    for row, run in enumerate(found):
        design_NP[row, levels.index(run.levels[axis])] = 1.0
        design_NP[row, len(levels) + blocks.index(_block(run, axis))] = 1.0
    weights_P = np.array([weights.get(level, 0.0) for level in levels] + [0.0] * len(blocks))
    # Whether the runs tell this sum at all: it must be a combination of rows of the design.
    told_P = weights_P @ np.linalg.pinv(design_NP) @ design_NP
    if not np.allclose(told_P, weights_P, atol=1e-9):
        return None
    return fit(design_NP, np.array([metric(run) for run in found])).contrast(weights_P)


def _block(run: RunResult, axis: str) -> tuple[int, tuple[tuple[str, str], ...]]:
    return run.seed, tuple(sorted((name, level) for name, level in run.levels.items() if name != axis))
