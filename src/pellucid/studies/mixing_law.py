"""The mixing law of Ye et al. 2024 (arXiv 2403.16952, Eq. 1): how held-out loss depends on the shares of domains in training text.

L_i(r) = c_i + k_i·exp(Σ_j t_ij·r_j) for a group of text i and shares r_j that add up to 1. Since they do, k_i and a common part of
all t_ij are the same thing, so that M domains have M + 1 parameters and not M + 2: the law is fitted as c + exp(Σ_j b_j·r_j), and
t_j = b_j - log k is told with the k that makes c + k the loss at the mean of the fitted mixes.

Where domains vary only together (six languages of equal share), no fit tells their slopes apart. The slopes are then the shortest
that fit, there are rank + 1 parameters, and a mix that tells these domains apart is not forecast.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.evals.statistics import Floats
from pellucid.studies.least_squares import fit, scipy_part

__all__ = [
    "Forecast",
    "Law",
    "LawFit",
    "fit_law",
    "forecast_law",
    "forecast_linear",
    "independent_shares",
    "lies_in",
    "without_seeds",
]

_STARTS = (0.0, 0.5, 0.8, 0.95, 0.99)
"""Parts of the least loss that c begins at: the others follow from a straight line through log(L - c)."""
_RANK = 1e-3
"""Directions in which shares vary by less than this part of what they vary by most are taken not to vary."""
_OUTSIDE = 1e-2
"""A mix of whose shares more than this part lies where no fitted mix is, is not forecast."""


@dataclass(frozen=True)
class Law:
    """c ≥ 0 and the slopes b [M] of c + exp(Σ b_j·r_j)."""

    constant: float
    slopes_M: Floats

    def predict(self, shares_NM: Floats) -> Floats:
        """Return the losses [N] of mixes."""
        return np.asarray(self.constant + np.exp(shares_NM @ self.slopes_M), dtype=np.float64)


@dataclass(frozen=True)
class LawFit:
    """A law with the runs that it was fitted to: shares [N, M], losses [N], and the directions [M, P] that the shares tell apart.

    `freedom` are runs less parameters, and less what was spent on seeds.
    """

    law: Law
    shares_NM: Floats
    losses_N: Floats
    directions_MP: Floats
    freedom: int

    @property
    def parameters(self) -> int:
        """c, and a slope for each direction."""
        return int(self.directions_MP.shape[1]) + 1

    @property
    def residual(self) -> Floats:
        """What the law does not explain, [N]."""
        return self.losses_N - self.law.predict(self.shares_NM)

    def told(self) -> dict[str, Any]:
        """Return c, k, and t for each domain, as the paper writes the law; c + k is the loss at the fitted mixes' mean."""
        log_k = float(self.shares_NM.mean(axis=0) @ self.law.slopes_M)
        return {"c": self.law.constant, "k": float(np.exp(log_k)), "t": [float(slope) - log_k for slope in self.law.slopes_M]}

    def reaches(self, shares_M: Floats) -> bool:
        """Tell whether a mix lies where the fitted ones do: whether they tell apart what it tells apart."""
        return lies_in(self.directions_MP, shares_M)


@dataclass(frozen=True)
class Forecast:
    """A forecast loss with its 95 % interval; no interval where no freedom is left."""

    value: float
    low: float | None
    high: float | None

    def holds(self, value: float) -> bool | None:
        """Tell whether a value lies inside; None without an interval."""
        return None if self.low is None or self.high is None else self.low <= value <= self.high


def independent_shares(shares_NM: Floats) -> Floats:
    """Return an orthonormal base [M, P] of the directions in which these mixes lie."""
    _, sizes, rows = np.linalg.svd(shares_NM, full_matrices=False)
    return np.asarray(rows[sizes > _RANK * sizes[0]].T, dtype=np.float64)


def lies_in(directions_MP: Floats, shares_M: Floats) -> bool:
    """Tell whether a mix lies in these directions, but for a hundredth of it."""
    inside_M = directions_MP @ (directions_MP.T @ shares_M)
    return bool(np.linalg.norm(shares_M - inside_M) <= _OUTSIDE * np.linalg.norm(shares_M))


def without_seeds(losses_N: Floats, seeds_N: np.ndarray[Any, Any]) -> Floats:
    """Return losses without what each seed does to all mixes alike, their mean kept. Every seed must have the same mixes."""
    shifts = {seed: float(losses_N[seeds_N == seed].mean()) for seed in dict.fromkeys(seeds_N.tolist())}
    shift_N = np.array([shifts[seed] for seed in seeds_N.tolist()], dtype=np.float64)
    return np.asarray(losses_N - shift_N + float(losses_N.mean()), dtype=np.float64)


def fit_law(shares_NM: Floats, losses_N: Floats, seeds: int = 1, near: Law | None = None) -> LawFit:
    """Fit the law by least squares, from several starts or from a law that is `near`; 0 ≤ c < the least loss.

    `seeds` are those that `without_seeds` took out: one degree of freedom for each but the first. Raises `MissingExtraError`
    without scipy.
    """
    directions_MP = independent_shares(shares_NM)
    x_NP = shares_NM @ directions_MP
    most = float(losses_N.min()) * (1 - 1e-6)
    optimize = scipy_part("optimize")

    def residual(parameters: Floats) -> Floats:
        return np.asarray(parameters[0] + np.exp(np.minimum(x_NP @ parameters[1:], 50.0)) - losses_N)

    def jacobian(parameters: Floats) -> Floats:
        slopes_NP = np.exp(np.minimum(x_NP @ parameters[1:], 50.0))[:, None] * x_NP
        return np.asarray(np.hstack([np.ones((len(x_NP), 1)), slopes_NP]), dtype=np.float64)

    bounds = ([0.0] + [-np.inf] * x_NP.shape[1], [most] + [np.inf] * x_NP.shape[1])
    constants = [part * most for part in _STARTS] if near is None else [min(max(near.constant, 0.0), 0.999 * most)]
    # Resamples need no more digits than their interval shows.
    tolerance = 1e-10 if near is None else 1e-5
    best: Any = None
    for constant in constants:
        slopes_P = near.slopes_M @ directions_MP if near is not None else fit(x_NP, np.log(losses_N - constant)).coefficients_P
        start_P = np.array([constant, *slopes_P])
        found = optimize.least_squares(residual, start_P, jacobian, bounds=bounds, x_scale="jac", ftol=tolerance, xtol=tolerance)
        best = found if best is None or found.cost < best.cost else best
    law = Law(float(best.x[0]), np.asarray(directions_MP @ best.x[1:], dtype=np.float64))
    return LawFit(law, shares_NM, losses_N, directions_MP, len(losses_N) - x_NP.shape[1] - 1 - (seeds - 1))


def forecast_law(found: LawFit, shares_M: Floats, runs: int, seed: int, resamples: int = 200) -> Forecast:
    """Return what the law says of the mean of so many runs of a mix, with a 95 % interval by bootstrap of residuals.

    Each resample adds residuals drawn with replacement to the fitted losses, fits anew, and adds the mean of `runs` drawn
    residuals to its forecast. Residuals are first widened by √(N / freedom), and the interval by Student's t over the normal's
    quantile, because few runs leave residuals that are smaller than the noise is.
    """
    value = float(found.law.predict(shares_M[None, :])[0])
    if found.freedom < 1:
        return Forecast(value, None, None)
    residual_N = found.residual - found.residual.mean()
    residual_N = residual_N * np.sqrt(len(residual_N) / found.freedom)
    generator, fitted_N, drawn = np.random.default_rng(seed), found.law.predict(found.shares_NM), []
    for _ in range(resamples):
        losses_N = fitted_N + generator.choice(residual_N, len(residual_N))
        if losses_N.min() > 0:
            again = fit_law(found.shares_NM, losses_N, near=found.law).law
            drawn.append(float(again.predict(shares_M[None, :])[0]) + float(generator.choice(residual_N, runs).mean()))
    return _interval(value, np.array(drawn), found.freedom)


def _interval(value: float, drawn_R: Floats, freedom: int) -> Forecast:
    stats = scipy_part("stats")
    wider = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    low, high = (float(end) for end in np.quantile(drawn_R, [0.025, 0.975]))
    return Forecast(value, value - wider * max(0.0, value - low), value + wider * max(0.0, high - value))


def forecast_linear(shares_NM: Floats, losses_N: Floats, shares_M: Floats) -> float:
    """Return what a linear regression on the same shares says of a mix; no intercept, as shares add up to 1."""
    directions_MP = independent_shares(shares_NM)
    return float(shares_M @ directions_MP @ fit(shares_NM @ directions_MP, losses_N).coefficients_P)
