"""The law of steps and tokens to an equal loss by batch size, and the critical batch size that it has.

McCandlish et al. 2018 (arXiv 1812.06162, section 2.3; Kaplan et al. 2020, arXiv 2001.08361, eq. 5.1): with E tokens in S steps,
(S/S_min - 1)·(E/E_min - 1) = 1, so that E = E_min·(1 + B/B_crit) and S = S_min·(1 + B_crit/B) with B_crit = E_min/S_min. Below
B_crit tokens are nearly all that counts, above it steps are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pellucid.evals.statistics import Floats
from pellucid.studies.least_squares import scipy_part

__all__ = ["Reached", "fit_critical_batch"]

RESAMPLES = 1000
_GRID = 401
_REACH = 1000.0
"""B_crit is looked for from the least batch over this to the greatest times this: beyond, the law is a straight line."""
_CURVE = 41


class Reached(NamedTuple):
    """A run that came to the loss asked for: what it shares with runs of other batch sizes (its seed), its batch, its tokens."""

    block: object
    batch_tokens: float
    tokens: float


def fit_critical_batch(points: Sequence[Reached], seed: int) -> dict[str, Any] | None:
    """Return the law fitted to runs, by least squares of log E with a level of its own for each block; None where nothing can be.

    A block's level takes in what its target does to all its runs alike. `b_crit_tokens`, `e_min_tokens` and `s_min_steps` are each
    {value, low, high}: 95 % intervals by resampling residuals, widened as Student's t with so few of them asks. Where the best fit
    is a straight line (tokens do not grow with the batch, or as fast as it), B_crit is None and `side` says on which side of the
    batches tried it lies, "above" or "below"; an end of an interval that the runs do not bound is None as well. `spread` is the
    residual standard deviation of log E, `freedom` its degrees of freedom, `runs` how many were fitted. `curve` has for batch sizes
    over the range `batch_tokens`, `tokens` and `steps`, the latter two with `_low` and `_high` (None without an interval).
    """
    counts = {block: sum(point.block == block for point in points) for block in dict.fromkeys(point.block for point in points)}
    points = [point for point in points if counts[point.block] > 1]
    batches = sorted({point.batch_tokens for point in points})
    if len(batches) < 2:
        return None
    problem = _Problem.of(points, batches)
    best = problem.solve(problem.log_E_N[None])
    residual_N = problem.within(problem.log_E_N - problem.law(best.log_b_R[0]))
    freedom = len(points) - problem.blocks - 1
    spread = float(np.sqrt(residual_N @ residual_N / freedom)) if freedom > 0 else None
    drawn = None
    if spread is not None:
        stretch = np.sqrt(len(points) / freedom) * float(scipy_part("stats").t.ppf(0.975, freedom)) / 1.959963984540054
        picked_RN = np.random.default_rng(seed).integers(0, len(points), size=(RESAMPLES, len(points)))
        drawn = problem.solve(problem.log_E_N - residual_N + stretch * residual_N[picked_RN])
    b_crit = _figure(best.log_b_R, None if drawn is None else drawn.log_b_R, problem.ends)
    return {
        "b_crit_tokens": b_crit,
        "side": None if b_crit["value"] is not None else "above" if best.log_b_R[0] > 0.5 * sum(problem.ends) else "below",
        "e_min_tokens": _figure(best.log_e_R, None if drawn is None else drawn.log_e_R),
        "s_min_steps": _figure(best.log_e_R - best.log_b_R, None if drawn is None else drawn.log_e_R - drawn.log_b_R),
        "spread": spread,
        "freedom": freedom,
        "runs": len(points),
        "curve": _curve(best, drawn, np.geomspace(batches[0], batches[-1], _CURVE)),
    }


class _Solved(NamedTuple):
    """Log of B_crit and of E_min for each of R sets of values."""

    log_b_R: Floats
    log_e_R: Floats


@dataclass(frozen=True)
class _Problem:
    """N runs: log of tokens and of batch, and the matrix that takes a value's mean over its block [N, N]."""

    log_E_N: Floats
    log_B_N: Floats
    mean_NN: Floats
    blocks: int
    ends: tuple[float, float]
    """Least and greatest log of B_crit that is looked at."""

    @classmethod
    def of(cls, points: Sequence[Reached], batches: Sequence[float]) -> "_Problem":
        blocks = list(dict.fromkeys(point.block for point in points))
        in_block_NK = np.array([[point.block == block for block in blocks] for point in points], dtype=np.float64)
        ends = float(np.log(batches[0] / _REACH)), float(np.log(batches[-1] * _REACH))
        log_E_N, log_B_N = (np.log([getattr(point, name) for point in points]) for name in ("tokens", "batch_tokens"))
        return cls(log_E_N, log_B_N, in_block_NK / in_block_NK.sum(axis=0) @ in_block_NK.T, len(blocks), ends)

    def law(self, log_b: Any) -> Floats:
        """Return log(1 + B/B_crit) of the runs."""
        return np.asarray(np.logaddexp(0.0, self.log_B_N - log_b), dtype=np.float64)

    def within(self, value: Floats) -> Floats:
        """Return values [..., N] less the mean of their block."""
        return value - value @ self.mean_NN

    def solve(self, log_E_RN: Floats) -> _Solved:
        """Return the best fit to each row: on a grid of log B_crit, then by a parabola through the best point and those beside."""
        grid_G = np.linspace(*self.ends, _GRID)
        law_GN = self.within(self.law(grid_G[:, None]))
        within_RN = self.within(log_E_RN)
        squares_RG = (law_GN**2).sum(axis=1) - 2 * within_RN @ law_GN.T
        best_R = squares_RG.argmin(axis=1)
        inner_R = np.clip(best_R, 1, _GRID - 2)
        before_R, at_R, after_R = (np.take_along_axis(squares_RG, inner_R[:, None] + d, axis=1)[:, 0] for d in (-1, 0, 1))
        bend_R = before_R - 2 * at_R + after_R
        with np.errstate(divide="ignore", invalid="ignore"):
            shift_R = np.where(bend_R > 0, np.clip((before_R - after_R) / (2 * bend_R), -1, 1), 0.0)
        is_inner_R = best_R == inner_R
        log_b_R = np.where(is_inner_R, grid_G[inner_R] + shift_R * (grid_G[1] - grid_G[0]), grid_G[best_R])
        log_e_R = (log_E_RN - self.law(log_b_R[:, None])).mean(axis=1)
        return _Solved(log_b_R, log_e_R)


def _figure(value_R: Floats, drawn_R: Floats | None, ends: tuple[float, float] = (-np.inf, np.inf)) -> dict[str, float | None]:
    """Return a value out of its log with its interval; what lies within a step of an end of the grid is without bound."""
    step = (ends[1] - ends[0]) / (_GRID - 1) if np.isfinite(ends).all() else 0.0
    quantiles = [None, None] if drawn_R is None else np.quantile(drawn_R, [0.025, 0.975]).tolist()
    told = [one if one is None or ends[0] + step < one < ends[1] - step else None for one in (float(value_R[0]), *quantiles)]
    return dict(zip(("value", "low", "high"), (None if one is None else float(np.exp(one)) for one in told), strict=True))


def _curve(best: _Solved, drawn: _Solved | None, batch_C: Floats) -> dict[str, list[float] | None]:
    def tokens(solved: _Solved) -> Floats:
        log_b_R1, log_e_R1 = solved.log_b_R[:, None], solved.log_e_R[:, None]
        return np.asarray(np.exp(log_e_R1 + np.logaddexp(0.0, np.log(batch_C) - log_b_R1)), dtype=np.float64)

    told: dict[str, list[float] | None] = {"batch_tokens": batch_C.tolist()}
    ends_2C = None if drawn is None else np.quantile(tokens(drawn), [0.025, 0.975], axis=0)
    for name, divisor_C in (("tokens", np.ones_like(batch_C)), ("steps", batch_C)):
        told[name] = (tokens(best)[0] / divisor_C).tolist()
        for end, place in (("low", 0), ("high", 1)):
            told[f"{name}_{end}"] = None if ends_2C is None else (ends_2C[place] / divisor_C).tolist()
    return told
