"""How sure a score is: bootstrap of items, paired tests of two models on the same items, agreement of rankings."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Floats", "bootstrap_ratio", "kendall_tau", "mcnemar", "paired_difference", "resampled", "sign_flips"]

Floats = npt.NDArray[np.float64]

RESAMPLES = 2000
_AT_ONCE = 4_000_000  # resampled values held in memory at a time


def bootstrap_ratio(top_N: Floats, bottom_N: Floats, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Return Σtop/Σbottom over N items with its standard error and 95 % percentile interval, by resampling items (Efron 1979).

    With bottom = 1 that is a mean. Error and interval are None with fewer than two items, and where items do not differ the error
    is 0: a bootstrap cannot know more than its sample shows. The value is None without items or where the denominators add up to 0.
    """
    count = len(top_N)
    value = _ratio(top_N.sum(), bottom_N.sum()) if count else None
    result: dict[str, Any] = {"value": value, "stderr": None, "low": None, "high": None, "items": count}
    if value is None or count < 2:
        return result
    drawn = resampled(top_N, bottom_N, seed, resamples)
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    result.update(stderr=float(drawn.std(ddof=1)), low=float(low), high=float(high))
    return result


def _ratio(top: float, bottom: float) -> float | None:
    return float(top / bottom) if bottom else None


def resampled(top_N: Floats, bottom_N: Floats, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Return the ratio of each resample, [R]."""
    count, generator, parts = len(top_N), np.random.default_rng(seed), []
    rows = max(1, _AT_ONCE // count)
    for begin in range(0, resamples, rows):
        picked_RN = generator.integers(0, count, size=(min(rows, resamples - begin), count))
        with np.errstate(divide="ignore", invalid="ignore"):
            parts.append(top_N[picked_RN].sum(axis=1) / bottom_N[picked_RN].sum(axis=1))
    return np.concatenate(parts)


def paired_difference(a_N: Floats, b_N: Floats, seed: int, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Return the mean of a - b over the same N items, its standard error and 95 % interval by bootstrap, and p by sign flips.

    p is the share of 10 000 random assignments of signs to the differences whose mean is at least as far from 0 (a permutation
    test; the observed assignment counts as one), so it is never 0. Without items all values are None.
    """
    difference_N = np.asarray(a_N, dtype=np.float64) - np.asarray(b_N, dtype=np.float64)
    result = bootstrap_ratio(difference_N, np.ones_like(difference_N), seed, resamples)
    result["p"] = sign_flips(difference_N, seed) if len(difference_N) else None
    return result


def sign_flips(difference_N: Floats, seed: int, draws: int = 10_000) -> float:
    """Return the share of random assignments of signs whose sum is at least as far from 0 as the one observed, itself counted."""
    kept_M = difference_N[difference_N != 0]  # a sign does not change a zero
    if not len(kept_M):
        return 1.0
    generator, observed, reached = np.random.default_rng(seed), abs(kept_M.sum()), 0
    rows = max(1, _AT_ONCE // len(kept_M))
    for begin in range(0, draws, rows):
        size = (min(rows, draws - begin), len(kept_M))
        sums_R = np.where(generator.random(size) < 0.5, kept_M, -kept_M).sum(axis=1)
        reached += int((np.abs(sums_R) >= observed * (1 - 1e-12)).sum())
    return (reached + 1) / (draws + 1)


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided exact p of McNemar's test: of the items that only one model has right, only_a and only_b.

    Under the null each of them is as likely to be the one's as the other's, so the smaller count is binomial with p = 1/2.
    """
    count, least = only_a + only_b, min(only_a, only_b)
    if count == 0:
        return 1.0
    tail = sum(math.exp(_log_choose(count, k) - count * math.log(2)) for k in range(least + 1))
    return min(1.0, 2 * tail)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def kendall_tau(a_N: npt.ArrayLike, b_N: npt.ArrayLike) -> float | None:
    """Return Kendall's tau-b of two rankings of the same N things, ties allowed; None when either does not rank at all."""
    a_N, b_N = np.asarray(a_N, dtype=np.float64), np.asarray(b_N, dtype=np.float64)
    upper = np.triu_indices(len(a_N), 1)
    sign_a, sign_b = (np.sign(x_N[:, None] - x_N[None, :])[upper] for x_N in (a_N, b_N))
    untied = math.sqrt(float((sign_a != 0).sum()) * float((sign_b != 0).sum()))
    return float((sign_a * sign_b).sum() / untied) if untied else None
