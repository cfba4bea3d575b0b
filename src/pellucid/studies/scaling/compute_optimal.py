"""How a budget of compute is best divided between parameters and tokens (Hoffmann et al. 2022, arXiv 2203.15556, equation 4)."""

from typing import Any

import numpy as np

from pellucid.evals.statistics import Floats
from pellucid.studies.scaling.loss_law import LossLaw
from pellucid.studies.scaling.power_law import PowerLaws

__all__ = ["compute_optimal"]

_NAMES = ("parameters", "tokens", "tokens_per_parameter", "parameters_exponent", "tokens_exponent")


def compute_optimal(law: LossLaw, flops: float) -> dict[str, Any] | None:
    """Return what a budget of FLOPs is best spent on, with C = 6·N·D: None but for a law of parameters and tokens.

    `flops`; `parameters`, `tokens`, `tokens_per_parameter` at this budget, and `parameters_exponent` and `tokens_exponent`, the
    powers of compute that they grow with: each with `value`, `low` and `high` (95 % of the replicas, None without). None as well
    where an exponent of the law lies at 0.
    """
    if law.kind != "full" or not bool(np.all(law.fitted.exponents_RK > 0)):
        return None
    values = _divided(law.fitted, flops)[:, 0]
    found: dict[str, Any] = {"flops": flops}
    drawn = None if law.replicas is None else _divided(law.replicas, flops)
    for place, name in enumerate(_NAMES):
        low, high = (None, None) if drawn is None else (float(end) for end in np.nanquantile(drawn[place], [0.025, 0.975]))
        found[name] = {"value": float(values[place]), "low": low, "high": high}
    return found


def _divided(laws: PowerLaws, flops: float) -> Floats:
    """Return what `_NAMES` name of each law, [5, R]; not a number where an exponent is 0."""
    (a_R, b_R), (top_R, bottom_R) = laws.exponents_RK.T, laws.factors.T
    with np.errstate(divide="ignore", invalid="ignore"):
        both_R = np.where((a_R > 0) & (b_R > 0), a_R + b_R, np.nan)
        balance_R = (a_R * top_R / (b_R * bottom_R)) ** (1 / both_R)
        parameters_R = balance_R * (flops / 6) ** (b_R / both_R)
        tokens_R = flops / 6 / parameters_R
        return np.stack([parameters_R, tokens_R, tokens_R / parameters_R, b_R / both_R, a_R / both_R])
