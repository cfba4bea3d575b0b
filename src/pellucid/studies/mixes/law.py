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
_BELOW = 1 - 1e-6
"""Of the least loss: c stays below it."""
_HIGHEST = 50.0
"""An exponent above this counts as this, so that a search that strays does not overflow."""
_STEPS, _EVALUATIONS = 30, 60
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


def fit_law(shares_NM: Floats, losses_N: Floats, seeds: int = 1) -> LawFit:
    """Fit the law by least squares, from several starts; 0 ≤ c < the least loss.

    `seeds` are those that `without_seeds` took out: one degree of freedom for each but the first. Raises `MissingExtraError`
    without scipy.
    """
    directions_MP = independent_shares(shares_NM)
    x_NP = shares_NM @ directions_MP
    most = float(losses_N.min()) * _BELOW
    optimize = scipy_part("optimize")

    def residual(theta_Q: Floats) -> Floats:
        return np.asarray(_residuals(theta_Q[None, :], x_NP, losses_N[None, :])[0][0], dtype=np.float64)

    def jacobian(theta_Q: Floats) -> Floats:
        return np.asarray(_jacobians(_residuals(theta_Q[None, :], x_NP, losses_N[None, :])[1], x_NP)[0], dtype=np.float64)

    bounds = ([0.0] + [-np.inf] * x_NP.shape[1], [most] + [np.inf] * x_NP.shape[1])
    best: Any = None
    for constant in (part * most for part in _STARTS):
        start_Q = np.array([constant, *fit(x_NP, np.log(losses_N - constant)).coefficients_P])
        found = optimize.least_squares(residual, start_Q, jacobian, bounds=bounds, x_scale="jac", max_nfev=_EVALUATIONS)
        best = found if best is None or found.cost < best.cost else best
    law = Law(float(best.x[0]), np.asarray(directions_MP @ best.x[1:], dtype=np.float64))
    return LawFit(law, shares_NM, losses_N, directions_MP, len(losses_N) - x_NP.shape[1] - 1 - (seeds - 1))


def refit_laws(found: LawFit, losses_RN: Floats) -> tuple[Floats, Floats]:
    """Fit the law anew to R other losses of the same mixes, all at once: constants [R] and slopes [R, M].

    It is `fit_law` with one start, the law that is known, and some hundred times as fast, which a bootstrap needs: steps of
    Levenberg and Marquardt, c kept inside its bounds.
    """
    x_NP = found.shares_NM @ found.directions_MP
    most_R = losses_RN.min(axis=1) * _BELOW
    theta_RQ = np.tile([found.law.constant, *(found.law.slopes_M @ found.directions_MP)], (len(losses_RN), 1))
    theta_RQ[:, 0] = np.clip(theta_RQ[:, 0], 0.0, most_R)
    damping_R = np.full(len(losses_RN), 1e-3)
    residual_RN, curve_RN = _residuals(theta_RQ, x_NP, losses_RN)
    for _ in range(_STEPS):
        jacobian_RNQ = _jacobians(curve_RN, x_NP)
        gradient_RQ = np.einsum("rnq,rn->rq", jacobian_RNQ, residual_RN)
        # Where c stands at a bound and would leave it, only the slopes move.
        stuck_R = ((theta_RQ[:, 0] <= 0) & (gradient_RQ[:, 0] > 0)) | ((theta_RQ[:, 0] >= most_R) & (gradient_RQ[:, 0] < 0))
        jacobian_RNQ[stuck_R, :, 0] = 0.0
        gradient_RQ[stuck_R, 0] = 0.0
        normal_RQQ = np.einsum("rnq,rns->rqs", jacobian_RNQ, jacobian_RNQ)
        scale_RQ = np.maximum(np.einsum("rqq->rq", normal_RQQ), 1e-12)
        normal_RQQ += (damping_R[:, None] * scale_RQ)[:, :, None] * np.eye(scale_RQ.shape[1])
        trial_RQ = theta_RQ - np.linalg.solve(normal_RQQ, gradient_RQ[:, :, None])[:, :, 0]
        trial_RQ[:, 0] = np.clip(trial_RQ[:, 0], 0.0, most_R)
        tried_RN, _ = _residuals(trial_RQ, x_NP, losses_RN)
        better_R = (tried_RN**2).sum(axis=1) <= (residual_RN**2).sum(axis=1)
        theta_RQ[better_R] = trial_RQ[better_R]
        residual_RN, curve_RN = _residuals(theta_RQ, x_NP, losses_RN)
        damping_R = np.clip(np.where(better_R, damping_R / 4, damping_R * 4), 1e-9, 1e9)
    return theta_RQ[:, 0], np.asarray(theta_RQ[:, 1:] @ found.directions_MP.T, dtype=np.float64)


def _residuals(theta_RQ: Floats, x_NP: Floats, losses_RN: Floats) -> tuple[Floats, Floats]:
    """Return what R laws leave over, and their curves without c, each [R, N]."""
    curve_RN = np.asarray(np.exp(np.minimum(theta_RQ[:, 1:] @ x_NP.T, _HIGHEST)), dtype=np.float64)
    return np.asarray(theta_RQ[:, :1] + curve_RN - losses_RN, dtype=np.float64), curve_RN


def _jacobians(curve_RN: Floats, x_NP: Floats) -> Floats:
    """Return how losses change with c and slopes, [R, N, Q]."""
    of_slopes_RNP = curve_RN[:, :, None] * x_NP
    return np.asarray(np.concatenate([np.ones((*curve_RN.shape, 1)), of_slopes_RNP], axis=2), dtype=np.float64)


def forecast_law(found: LawFit, shares_M: Floats, runs: int, seed: int, resamples: int = 1000) -> Forecast:
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
    generator, fitted_N = np.random.default_rng(seed), found.law.predict(found.shares_NM)
    losses_RN = fitted_N + generator.choice(residual_N, (resamples, len(residual_N)))
    constants_R, slopes_RM = refit_laws(found, losses_RN)
    noise_R = generator.choice(residual_N, (resamples, runs)).mean(axis=1)
    drawn_R = constants_R + np.exp(np.minimum(slopes_RM @ shares_M, _HIGHEST)) + noise_R
    return _interval(value, np.asarray(drawn_R, dtype=np.float64), found.freedom)


def _interval(value: float, drawn_R: Floats, freedom: int) -> Forecast:
    stats = scipy_part("stats")
    wider = float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))
    low, high = (float(end) for end in np.quantile(drawn_R, [0.025, 0.975]))
    return Forecast(value, value - wider * max(0.0, value - low), value + wider * max(0.0, high - value))


def forecast_linear(shares_NM: Floats, losses_N: Floats, shares_M: Floats) -> float:
    """Return what a linear regression on the same shares says of a mix; no intercept, as shares add up to 1."""
    directions_MP = independent_shares(shares_NM)
    return float(shares_M @ directions_MP @ fit(shares_NM @ directions_MP, losses_N).coefficients_P)
