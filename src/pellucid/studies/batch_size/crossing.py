"""Where a noisy learning curve comes down to a value: smoothing that shifts nothing, and the crossing that lasts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pellucid.evals.statistics import Floats

__all__ = ["Curve", "first_below", "reached_for_good", "smoothed"]


@dataclass(frozen=True)
class Curve:
    """Values y at x, [N] each, x ascending: tokens that the weights had been trained on, and their loss. Straight in between."""

    x_N: Floats
    y_N: Floats


def smoothed(steps: Sequence[int], losses: Sequence[float], batch_tokens: int, window_tokens: float) -> Curve:
    """Return the mean training loss in a window of so many tokens around each x; empty where a run is shorter than the window.

    Step k (from 1) reads batch k and measures the weights before it, which have been trained on (k - 1)·batch tokens: its loss
    stands there, and for half a batch to either side. The window is centred, so that a straight stretch of the curve stays where it
    is, and is of equal tokens for all batch sizes, so that the noise of the data is equally averaged; it may cut batches. Between
    the points returned the mean is exactly straight. Losses that are missing or not finite are taken from their neighbours.
    """
    loss_K = _every_step(steps, losses)
    ends = (np.arange(len(loss_K) + 1) - 0.5) * batch_tokens
    half = window_tokens / 2
    if not len(loss_K) or ends[-1] - ends[0] < window_tokens * (1 - 1e-9):
        return Curve(np.empty(0), np.empty(0))
    first, last = ends[0] + half, ends[-1] - half
    bends = np.concatenate([ends - half, ends + half, [first, last]])
    x_N = np.unique(bends[(bends >= first) & (bends <= last)] if last > first else np.array([first]))
    sums = np.concatenate([[0.0], np.cumsum(loss_K) * batch_tokens])
    y_N = (np.interp(x_N + half, ends, sums) - np.interp(x_N - half, ends, sums)) / window_tokens
    return Curve(x_N, y_N)


def _every_step(steps: Sequence[int], losses: Sequence[float]) -> Floats:
    step_M, loss_M = np.asarray(steps, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    known_M = np.isfinite(loss_M)
    if not known_M.any():
        return np.empty(0)
    return np.interp(np.arange(1, step_M.max() + 1), step_M[known_M], loss_M[known_M])


def first_below(curve: Curve, target: float) -> float | None:
    """Return the first x at which the curve is at or below the target; None when it never is."""
    below_N = curve.y_N <= target
    return _between(curve, int(np.argmax(below_N)), target) if below_N.any() else None


def reached_for_good(curve: Curve, target: float) -> float | None:
    """Return the first x from which on the curve stays at or below the target to its end; None when it ends above it."""
    above = np.flatnonzero(curve.y_N > target)
    if not len(curve.y_N) or (len(above) and above[-1] == len(curve.y_N) - 1):
        return None
    return _between(curve, int(above[-1]) + 1 if len(above) else 0, target)


def _between(curve: Curve, after: int, target: float) -> float:
    """Return where the straight line to the point number `after`, the first at or below the target, meets it."""
    if after == 0:
        return float(curve.x_N[0])
    (x0, x1), (y0, y1) = curve.x_N[after - 1 : after + 1], curve.y_N[after - 1 : after + 1]
    return float(x0 + (x1 - x0) * (y0 - target) / (y0 - y1))
