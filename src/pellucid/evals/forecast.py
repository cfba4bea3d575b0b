"""Where a learning curve will end: a forecast with an interval from its first points, and a rule for stopping early.

A score y after x tokens is taken to follow a power law, y = a + b·(x + c)^-k (Hestness et al. 2017, arXiv 1712.00409; Rosenfeld
et al. 2020, arXiv 1909.12673). For given k and c that is a straight line in (x + c)^-k, so k and c are taken from a grid and a and
b by least squares. Few points leave many shapes possible: instead of the best one, all are kept, each with the weight of its
marginal likelihood under flat priors of a and b and unknown noise, and the forecast is drawn from the mixture. (Resampling the
residuals of one fit, the other common way, is far too sure of itself with five points and four parameters.) The rule for stopping
is that of Domhan et al. 2015: stop when what can still be hoped for is too unlikely.

A forecast knows only the points: not that the learning rate will fall at the end, nor that the data will change.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["MIN_POINTS", "UNLIKELY", "Forecast", "advice", "forecast"]

Floats = npt.NDArray[np.float64]

MIN_POINTS = 4
UNLIKELY = 0.05
"""Probability below which a gain is not waited for."""
_EXPONENTS = np.geomspace(0.05, 3.0, 20)
_OFFSETS = np.array([0.0, 0.03, 0.1, 0.3, 1.0, 3.0])  # as multiples of the last x
_DRAWS = 8000


@dataclass(frozen=True)
class Forecast:
    """The score expected at x: the median of what is likely, and 95 % of it. `draws` are scores drawn from the forecast."""

    at: float
    points: int
    value: float
    low: float
    high: float
    draws: Floats = field(repr=False, compare=False, default_factory=lambda: np.empty(0))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values without the draws."""
        return {"tokens": self.at, "points": self.points, "value": self.value, "low": self.low, "high": self.high}


def forecast(
    x_S: Sequence[float],
    y_S: Sequence[float],
    at: float,
    *,
    bounds: tuple[float | None, float | None] = (None, None),
    seed: int = 1,
) -> Forecast | None:
    """Return the forecast of y at x = `at` from S points with x > 0; None with fewer than four.

    `bounds` are the least and the largest value that the curve may tend to (an accuracy's 0 and 1). The interval is of the score
    that will be measured there, noise included, when items are the same at each point.
    """
    kept = [(x, y) for x, y in zip(x_S, y_S, strict=True) if x > 0]
    if len(kept) < MIN_POINTS:
        return None
    x, y = np.array(kept, dtype=np.float64).T
    draws = _draws(x / x[-1], y, at / x[-1], bounds, np.random.default_rng(seed))
    low, value, high = np.quantile(draws, [0.025, 0.5, 0.975])
    return Forecast(float(at), len(kept), float(value), float(low), float(high), draws)


def _draws(u_S: Floats, y_S: Floats, at: float, bounds: tuple[float | None, float | None], random: np.random.Generator) -> Floats:
    """Draw scores at `at`; u is x over the last x."""
    count = len(u_S)
    k_G, c_G = (grid.ravel() for grid in np.meshgrid(_EXPONENTS, _OFFSETS))

    def basis(u: Floats | float) -> Floats:
        return np.asarray((u + c_G[:, None]) ** -k_G[:, None], dtype=np.float64)

    # 0 at the last point, 1 at the first: then a is the score now and b what was gained, whatever the shape, and flat priors of
    # them favour none.
    last_G1, first_G1 = basis(1.0), basis(float(u_S[0]))
    g_GS = (basis(u_S[None, :]) - last_G1) / (first_G1 - last_G1)
    end_G, limit_G = ((value - last_G1[:, 0]) / (first_G1 - last_G1)[:, 0] for value in (basis(at)[:, 0], 0.0))
    mean_G, y_mean = g_GS.mean(axis=1), y_S.mean()
    spread_G = ((g_GS - mean_G[:, None]) ** 2).sum(axis=1)
    b_G = ((g_GS - mean_G[:, None]) * (y_S - y_mean)).sum(axis=1) / spread_G
    residual_GS = y_S - y_mean - b_G[:, None] * (g_GS - mean_G[:, None])
    # Exactly on a curve is more than a float can say.
    sse_G = (residual_GS**2).sum(axis=1) + count * (1e-6 * max(float(np.ptp(y_S)), 1e-12)) ** 2
    log_weight_G = -0.5 * np.log(spread_G) - 0.5 * (count - 2) * np.log(sse_G)
    weight_G = np.exp(log_weight_G - log_weight_G.max())
    shape_R = random.choice(len(k_G), size=_DRAWS, p=weight_G / weight_G.sum())

    sigma_R = np.sqrt(sse_G[shape_R] / random.chisquare(count - 2, _DRAWS))
    b_R = b_G[shape_R] + sigma_R / np.sqrt(spread_G[shape_R]) * random.standard_normal(_DRAWS)
    centre_R = y_mean + sigma_R / np.sqrt(count) * random.standard_normal(_DRAWS)
    limit_R = centre_R + b_R * (limit_G[shape_R] - mean_G[shape_R])
    value_R = centre_R + b_R * (end_G[shape_R] - mean_G[shape_R]) + sigma_R * random.standard_normal(_DRAWS)
    low, high = (-np.inf if bounds[0] is None else bounds[0]), (np.inf if bounds[1] is None else bounds[1])
    possible_R = (limit_R >= low) & (limit_R <= high)
    # A curve on its way out of bounds altogether is told as near them as they allow.
    chosen = value_R[possible_R] if possible_R.sum() >= 100 else value_R
    return np.asarray(np.clip(chosen, low, high), dtype=np.float64)


def advice(
    made: Forecast, now: float, *, higher_is_better: bool, target: float | None = None, min_gain: float | None = None
) -> dict[str, Any]:
    """Tell whether to stop: the best end of the interval misses `target`, or a gain of `min_gain` over `now` is unlikely (5 %).

    Returns `stop`, `why`, the expected gain, the best case, and the probabilities of the gain and of reaching the target.
    """
    up = 1.0 if higher_is_better else -1.0
    best = made.high if higher_is_better else made.low
    result: dict[str, Any] = {"expected_gain": up * (made.value - now), "best_case": best}
    why = []
    if target is not None:
        result["target_probability"] = float((up * made.draws >= up * target).mean())
        why += ["target"] if up * best < up * target else []
    if min_gain is not None:
        result["gain_probability"] = float((up * (made.draws - now) >= min_gain).mean())
        why += ["gain"] if result["gain_probability"] < UNLIKELY else []
    return {"stop": bool(why), "why": why, **result}
