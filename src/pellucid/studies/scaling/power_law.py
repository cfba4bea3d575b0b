"""Power laws with a floor, L = E + Σ A/x^a, fitted to many sets of losses at once: Huber loss on logs, from many starts.

The objective is that of Hoffmann et al. 2022 (arXiv 2203.15556, section 3.3): Huber's loss of the difference of logs, with delta
1e-3, here summed over runs: a mean of so small numbers lets an optimizer stop too early, as Besiroglu et al. 2024 (arXiv
2404.10102) found of that fit. Each Levenberg-Marquardt step is one of least squares weighted by min(1, delta/|residual|), which
stands still where the Huber loss does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from pellucid.evals.statistics import Floats

__all__ = ["HUBER_DELTA", "MOST_EXPONENT", "PowerLaws", "fit_power_laws"]

HUBER_DELTA = 1e-3
"""Differences of logs above this count by their size, not their square."""

MOST_EXPONENT = 2.0
"""Exponents are sought from 0 to this."""

_STEPS, _FEW_STEPS = 150, 40
_FLOORS = (0.0, 0.5, 0.9)  # as shares of the least loss
_EXPONENTS = (0.05, 0.15, 0.4, 1.0)
_SHARES = (0.2, 0.5, 0.8)  # of the first of two terms


@dataclass(frozen=True)
class PowerLaws:
    """R laws of K sizes: floors E, the log of each term A/x^a at the reference sizes, its exponent a, and the least objective."""

    reference_K: Floats
    floor_R: Floats
    log_terms_RK: Floats
    exponents_RK: Floats
    objective_R: Floats

    def at(self, sizes_MK: Floats) -> Floats:
        """Return losses at M sizes, [R, M]."""
        scaled_MK = np.log(sizes_MK / self.reference_K)
        terms_RMK = np.exp(self.log_terms_RK[:, None, :] - self.exponents_RK[:, None, :] * scaled_MK)
        return np.asarray(self.floor_R[:, None] + terms_RMK.sum(axis=2), dtype=np.float64)

    @property
    def factors(self) -> Floats:
        """A of each term, [R, K]."""
        return np.asarray(np.exp(self.log_terms_RK + self.exponents_RK * np.log(self.reference_K)), dtype=np.float64)


def fit_power_laws(sizes_NK: Floats, log_loss_RN: Floats, *, has_floor: bool = True, near: PowerLaws | None = None) -> PowerLaws:
    """Fit a law to each row of logs of losses at N sizes, from the best of many starts; E ≥ 0, 0 ≤ a ≤ `MOST_EXPONENT`.

    With `near`, one law, the starts are that law and two others, without a floor and with a high one: enough for losses that were
    drawn about it. Without a floor E is 0, and log L is a sum of powers: with one size a straight line in log x.
    """
    reference_K = sizes_NK.max(axis=0)
    scaled_NK = np.log(sizes_NK / reference_K)
    starts = _starts(log_loss_RN, sizes_NK.shape[1], has_floor=has_floor)
    if near is not None:
        few = [_about(log_loss_RN, floor, 0.3, 0.5, sizes_NK.shape[1]) for floor in ((0.0, 0.8) if has_floor else (0.0,))]
        known = np.concatenate([near.floor_R[:, None], near.log_terms_RK, near.exponents_RK], axis=1)
        starts = [np.repeat(known, len(log_loss_RN), axis=0), *few]
    steps = _STEPS if near is None else _FEW_STEPS
    bounds_2P = _bounds(sizes_NK.shape[1], has_floor=has_floor)
    # All starts of all rows descend together, [S·R, P].
    tried_XP, objective_X = _descend(np.concatenate(starts), scaled_NK, np.tile(log_loss_RN, (len(starts), 1)), bounds_2P, steps)
    objective_SR = objective_X.reshape(len(starts), -1)
    least_R = objective_SR.argmin(axis=0)
    rows_R = np.arange(len(log_loss_RN))
    best_RP = tried_XP.reshape(len(starts), len(rows_R), -1)[least_R, rows_R]
    count = sizes_NK.shape[1]
    floor_R, terms_RK, exponents_RK = best_RP[:, 0], best_RP[:, 1 : 1 + count], best_RP[:, 1 + count :]
    return PowerLaws(reference_K, floor_R, terms_RK, exponents_RK, objective_SR[least_R, rows_R])


def _starts(log_loss_RN: Floats, count: int, *, has_floor: bool) -> list[Floats]:
    floors = _FLOORS if has_floor else _FLOORS[:1]
    if count == 1:
        return [_about(log_loss_RN, floor, exponent, 1.0, 1) for floor, exponent in product(floors, _EXPONENTS)]
    return [
        np.concatenate([start_RP[:, :-2], np.broadcast_to((first, second), (len(start_RP), 2))], axis=1)
        for floor, first, second, share in product(floors, _EXPONENTS, _EXPONENTS, _SHARES)
        for start_RP in [_about(log_loss_RN, floor, first, share, 2)]
    ]


def _about(log_loss_RN: Floats, floor: float, exponent: float, share: float, count: int) -> Floats:
    """Return parameters with the least loss at the reference, `floor` of it the floor, `share` of the rest the first term."""
    least_R = np.exp(log_loss_RN.min(axis=1))
    shares = (1.0,) if count == 1 else (share, 1 - share)
    terms: Sequence[Floats] = [np.log((1 - floor) * part * least_R) for part in shares]
    return np.stack([floor * least_R, *terms, *[np.full(len(least_R), exponent)] * count], axis=1)


def _bounds(count: int, *, has_floor: bool) -> Floats:
    """Return the least and the greatest values of floor, log terms and exponents, [2, P]."""
    most = [np.inf if has_floor else 0.0, *[np.inf] * count, *[MOST_EXPONENT] * count]
    return np.array([[0.0, *[-np.inf] * count, *[0.0] * count], most])


def _descend(start_RP: Floats, scaled_NK: Floats, log_loss_RN: Floats, bounds_2P: Floats, steps: int) -> tuple[Floats, Floats]:
    """Return the parameters [R, P] (floor, log terms, exponents) at the end of the descent from a start, and the objective [R]."""
    low_P, high_P = bounds_2P
    theta_RP = np.clip(start_RP, low_P, high_P)
    damping_R = np.full(len(start_RP), 1e-2)
    residual_RN, jacobian_RNP = _residuals(theta_RP, scaled_NK, log_loss_RN)
    objective_R = _huber(residual_RN)
    for _ in range(steps):
        weight_RN = np.minimum(1.0, HUBER_DELTA / np.maximum(np.abs(residual_RN), 1e-300))
        weighted_RPN = (jacobian_RNP * weight_RN[:, :, None]).transpose(0, 2, 1)
        gradient_RP = (weighted_RPN @ residual_RN[:, :, None])[:, :, 0]
        # What lies at a bound and would go beyond it stays where it is.
        free_RP = ~(((theta_RP <= low_P) & (gradient_RP > 0)) | ((theta_RP >= high_P) & (gradient_RP < 0))) & (low_P < high_P)
        step_RP = _step(weighted_RPN @ jacobian_RNP, gradient_RP, free_RP, damping_R)
        tried_RP = np.clip(theta_RP - step_RP, low_P, high_P)
        tried_RN, tried_RNP = _residuals(tried_RP, scaled_NK, log_loss_RN)
        reached_R = _huber(tried_RN)
        good_R = reached_R <= objective_R
        gain_R = np.where(good_R, objective_R - reached_R, 0.0)
        theta_RP, residual_RN = np.where(good_R[:, None], tried_RP, theta_RP), np.where(good_R[:, None], tried_RN, residual_RN)
        jacobian_RNP = np.where(good_R[:, None, None], tried_RNP, jacobian_RNP)
        is_still = bool(np.all((gain_R <= 1e-9 * objective_R) & good_R & (damping_R < 1e-3)))
        objective_R = np.where(good_R, reached_R, objective_R)
        damping_R = np.clip(np.where(good_R, 0.3 * damping_R, 4 * damping_R), 1e-9, 1e9)
        if is_still:
            break
    return theta_RP, objective_R


def _step(curvature_RPP: Floats, gradient_RP: Floats, free_RP: npt.NDArray[np.bool_], damping_R: Floats) -> Floats:
    """Solve for the damped step; parameters that are not free stay."""
    mask_RP = free_RP.astype(np.float64)
    own_RP = np.einsum("rpp->rp", curvature_RPP)
    system_RPP = curvature_RPP * mask_RP[:, :, None] * mask_RP[:, None, :]
    places = np.arange(gradient_RP.shape[1])
    system_RPP[:, places, places] += damping_R[:, None] * np.maximum(own_RP, 1e-12) + (1 - mask_RP) + 1e-14
    return np.asarray(np.linalg.solve(system_RPP, (gradient_RP * mask_RP)[:, :, None])[:, :, 0], dtype=np.float64)


def _residuals(theta_RP: Floats, scaled_NK: Floats, log_loss_RN: Floats) -> tuple[Floats, Floats]:
    """Return log of the law less log of the loss [R, N], and its derivatives [R, N, P]."""
    count = scaled_NK.shape[1]
    with np.errstate(over="ignore"):
        terms_RNK = np.exp(np.minimum(theta_RP[:, None, 1 : 1 + count] - theta_RP[:, None, 1 + count :] * scaled_NK, 300.0))
    law_RN = np.maximum(theta_RP[:, :1] + terms_RNK.sum(axis=2), 1e-300)
    shares_RNK = terms_RNK / law_RN[:, :, None]
    jacobian_RNP = np.concatenate([1 / law_RN[:, :, None], shares_RNK, -scaled_NK * shares_RNK], axis=2)
    return np.log(law_RN) - log_loss_RN, jacobian_RNP


def _huber(residual_RN: Floats) -> Floats:
    size_RN = np.abs(residual_RN)
    loss_RN = np.where(size_RN <= HUBER_DELTA, 0.5 * size_RN**2, HUBER_DELTA * (size_RN - 0.5 * HUBER_DELTA))
    return np.asarray(loss_RN.sum(axis=1), dtype=np.float64)
