"""Sums of levels with weights, such as how much the second half of a range gains against the first, and how sure they are."""

from collections.abc import Mapping, Sequence

from pellucid.evals.paired import LEVEL
from pellucid.studies.least_squares import Estimate
from pellucid.studies.level_fit import Metric, fit_levels, seed_means, unevenness
from pellucid.studies.results import RunResult

__all__ = ["contrast_of"]


def contrast_of(runs: Sequence[RunResult], axis: str, metric: Metric, weights: Mapping[str, float]) -> Estimate | None:
    """Return Σ weight · mean of the level, over comparable runs of an axis; the weights add up to 0.

    The model is that of `effects`: level + seed + noise, with the noise of all runs of the axis, or where that is not the same for
    all levels, of those with a weight. None where a level has no run, or shares no seed with the others.
    """
    cells = seed_means(runs, axis, metric)
    uneven = unevenness(cells)
    if uneven is not None and uneven.p < LEVEL:
        cells = [cell for cell in cells if weights.get(cell.level)]
    fitted = fit_levels(cells)
    return None if fitted is None else fitted.contrast({level: weight for level, weight in weights.items() if weight})
