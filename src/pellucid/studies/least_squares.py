"""Least squares with Student's t: what a contrast of coefficients is, and how sure that is. scipy is asked where it is needed."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from pellucid.core.errors import MissingExtraError
from pellucid.evals.statistics import Floats

__all__ = ["Estimate", "Fit", "fit", "scipy_part"]


def scipy_part(name: str) -> Any:
    """Return a module of scipy ("stats", "optimize"); raise `MissingExtraError` without it."""
    try:
        return import_module(f"scipy.{name}")
    except ImportError as error:
        raise MissingExtraError("scipy", "study", "Fitting and intervals of a study") from error


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, 95 % interval and two-sided p against 0; all but the value None without freedom left."""

    value: float
    stderr: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Fit:
    """A fitted linear model: coefficients [P], their covariance [P, P] up to the residual variance, which has `freedom` degrees."""

    coefficients_P: Floats
    unscaled_PP: Floats
    variance: float | None
    freedom: int

    def contrast(self, weights_P: Floats) -> Estimate:
        """Return Σ weight·coefficient."""
        value = float(weights_P @ self.coefficients_P)
        if self.variance is None:
            return Estimate(value)
        stderr = float(np.sqrt(max(0.0, self.variance * float(weights_P @ self.unscaled_PP @ weights_P))))
        stats = scipy_part("stats")
        reach = float(stats.t.ppf(0.975, self.freedom)) * stderr
        p = float(2 * stats.t.sf(abs(value) / stderr, self.freedom)) if stderr else (1.0 if value == 0 else 0.0)
        return Estimate(value, stderr, value - reach, value + reach, p)


def fit(design_NP: Floats, values_N: Floats) -> Fit:
    """Fit values = design · coefficients by least squares; columns may depend on each other as long as contrasts do not ask."""
    solved_P, _, rank, _ = np.linalg.lstsq(design_NP, values_N, rcond=None)
    coefficients_P = np.asarray(solved_P, dtype=np.float64)
    freedom = len(values_N) - int(rank)
    residual_N = values_N - design_NP @ coefficients_P
    variance = float(residual_N @ residual_N) / freedom if freedom > 0 else None
    return Fit(coefficients_P, np.asarray(np.linalg.pinv(design_NP.T @ design_NP), dtype=np.float64), variance, freedom)
