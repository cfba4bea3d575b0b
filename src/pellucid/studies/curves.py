"""Curves of runs for drawing: training loss smoothed over a window, thinned to few points, and the mean of seeds with its band."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.studies.results import Stage

__all__ = ["Band", "Curve", "band_of", "smoothed", "thinned"]

Curve = tuple[list[int], list[float]]
"""Tokens after each step, and a loss there."""


@dataclass(frozen=True)
class Band:
    """The mean of several curves at the tokens that all have, and one standard deviation to both sides: None with one curve."""

    tokens: list[int]
    mean: list[float]
    low: list[float] | None
    high: list[float] | None


def smoothed(stage: Stage, window_tokens: int) -> Curve:
    """Return after each step the mean training loss of the steps within the last `window_tokens`, at least of the step itself.

    At the beginning it is the mean of what there is. Not a number where one of the losses is none. Raises `ValueError` for a
    window of less than a token.
    """
    if window_tokens < 1:
        raise ValueError(f"window_tokens is {window_tokens}; must be 1 or more")
    steps_N, losses_N = np.asarray(stage.steps, dtype=np.int64), np.asarray(stage.losses, dtype=np.float64)
    span = max(1, window_tokens // stage.batch_tokens)
    begin_N = np.searchsorted(steps_N, steps_N - span, side="right")
    known_N = np.isfinite(losses_N)
    # From the first to before each step, so that the difference of two is a window.
    sums, unknown = (np.concatenate([[0.0], np.cumsum(one)]) for one in (np.where(known_N, losses_N, 0.0), ~known_N))
    end_N = np.arange(1, len(steps_N) + 1)
    mean_N = (sums[end_N] - sums[begin_N]) / (end_N - begin_N)
    mean_N[unknown[end_N] > unknown[begin_N]] = math.nan
    return (steps_N * stage.batch_tokens).tolist(), mean_N.tolist()


def thinned(curve: Curve, most: int) -> Curve:
    """Return at most this many points, evenly from the first to the last, both of which are kept; `ValueError` below two."""
    if most < 2:
        raise ValueError(f"most is {most}; must be 2 or more, for the ends are kept")
    tokens, losses = curve
    if len(tokens) <= most:
        return curve
    places = [round(place) for place in np.linspace(0, len(tokens) - 1, most)]
    return [tokens[place] for place in places], [losses[place] for place in places]


def band_of(curves: Sequence[Curve]) -> Band:
    """Return the mean over curves at the token counts that all of them have; empty where there are none in common."""
    at = [dict(zip(*curve, strict=True)) for curve in curves]
    common = sorted(set.intersection(*(set(one) for one in at))) if at else []
    values_CM = np.array([[one[tokens] for tokens in common] for one in at], dtype=np.float64)
    if not common:
        return Band([], [], None, None)
    mean_M = values_CM.mean(axis=0)
    if len(at) < 2:
        return Band(common, mean_M.tolist(), None, None)
    spread_M = values_CM.std(axis=0, ddof=1)
    return Band(common, mean_M.tolist(), (mean_M - spread_M).tolist(), (mean_M + spread_M).tolist())
