"""Two models on the same items: the difference with its interval, how likely chance alone makes it, and when not to compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pellucid.core.scores import lower_is_better
from pellucid.evals.results import Record
from pellucid.evals.statistics import Floats, bootstrap_ratio, mcnemar, paired_difference, resampled, sign_flips

__all__ = ["LEVEL", "Items", "Stratum", "compare_items", "compare_strata", "holm", "mean_of_strata", "verdict"]

Items = Mapping[str, Record]
"""Records of one task by item."""

LEVEL = 0.05
"""Two models are told apart where the corrected p is below this."""

_UNITS_MAY_DIFFER = 0.1
"""Share of items whose denominators may differ (a turn without a verdict); they are left out. Above it nothing is compared."""

_DIFFERENT_UNITS = "the models are counted in different units (denominators differ), so their ratios are not of the same thing"


@dataclass(frozen=True)
class Stratum:
    """Part of an average: the values of N items over their denominators, and its weight. Weights of an average add up to 1."""

    top_N: Floats
    bottom_N: Floats
    weight: float


def column_of(record: Record, metric: str) -> tuple[float, float] | None:
    """Return a record's numerator and denominator of a metric; None where it has none."""
    if metric in record.scores:
        return float(record.scores[metric]), 1.0
    return record.ratios.get(metric)


def compare_items(a: Items, b: Items, metric: str, seed: int) -> dict[str, Any]:
    """Return how model a differs from model b in a metric, over the items that both have and that both were shown alike.

    `value` (a - b), `stderr`, `low`, `high`, `p` and `test` are None where nothing can be compared, and `reason` says why. The test
    is McNemar's exact one where scores are 0 or 1, else random signs of differences. `only_a` and `only_b` count the items that
    only one has right.
    """
    pairs, different = _pairs(a, b, metric)
    table: dict[str, Any] = {
        "value": None, "stderr": None, "low": None, "high": None, "p": None, "test": None, "reason": None,
        "items": len(pairs), "different_prompts": different, "only_a": None, "only_b": None,
    }  # fmt: skip
    if not pairs:
        table["reason"] = f"all {different} common items were shown with different prompts" if different else "no item in common"
        return table
    pairs = _same_units(pairs)
    if not pairs:
        table["reason"] = _DIFFERENT_UNITS
        return table
    table["items"] = len(pairs)
    values_N4 = np.array(pairs, dtype=np.float64)
    top_a, bottom_a, top_b, _ = values_N4.T
    if (bottom_a == 1).all():
        table.update({key: value for key, value in paired_difference(top_a, top_b, seed).items() if key in table})
        table["test"] = "signs"
    else:
        table.update({key: value for key, value in bootstrap_ratio(top_a - top_b, bottom_a, seed).items() if key in table})
        # The sum of differences is the numerator of the ratios' difference: the same sign flips test both.
        table.update(p=sign_flips(top_a - top_b, seed), test="signs")
    if np.isin(values_N4[:, [0, 2]], (0.0, 1.0)).all() and (bottom_a == 1).all():
        only_a, only_b = int((top_a > top_b).sum()), int((top_b > top_a).sum())
        table.update(only_a=only_a, only_b=only_b, p=mcnemar(only_a, only_b), test="mcnemar")
    return table


def _pairs(a: Items, b: Items, metric: str) -> tuple[list[tuple[float, float, float, float]], int]:
    """Return the values of both on the items they share, in the order of items, and how many shared ones were shown differently."""
    pairs, different = [], 0
    for item in sorted(a.keys() & b.keys()):
        one, two = column_of(a[item], metric), column_of(b[item], metric)
        if one is None or two is None:
            continue
        if a[item].prompt != b[item].prompt:
            different += 1
        else:
            pairs.append((*one, *two))
    return pairs, different


def _same_units(pairs: list[tuple[float, float, float, float]]) -> list[tuple[float, float, float, float]]:
    """Return the pairs with one denominator, or none of them where too many have two."""
    same = [pair for pair in pairs if pair[1] == pair[3]]
    return same if len(pairs) - len(same) <= _UNITS_MAY_DIFFER * len(pairs) else []


def mean_of_strata(strata: Sequence[Stratum], seed: int) -> dict[str, Any]:
    """Return the weighted mean of the strata's ratios with its standard error and 95 % interval, each resampled by itself."""
    value = sum(stratum.weight * float(stratum.top_N.sum() / stratum.bottom_N.sum()) for stratum in strata)
    items = sum(len(stratum.top_N) for stratum in strata)
    result: dict[str, Any] = {"value": value, "stderr": None, "low": None, "high": None, "items": items}
    if all(len(stratum.top_N) > 1 for stratum in strata):
        drawn_R = sum(
            stratum.weight * resampled(stratum.top_N, stratum.bottom_N, seed + number) for number, stratum in enumerate(strata)
        )
        low, high = np.quantile(drawn_R, [0.025, 0.975])
        result.update(stderr=float(np.std(drawn_R, ddof=1)), low=float(low), high=float(high))
    return result


def compare_strata(a: Sequence[tuple[Items, str, float]], b: Sequence[tuple[Items, str, float]], seed: int) -> dict[str, Any]:
    """Return how two averages over tasks differ: (items, metric, weight) of each task of each model, tasks in the same order.

    As `compare_items`; p is by random signs of the items' weighted differences. Every task needs items that were shown alike.
    """
    table: dict[str, Any] = {
        "value": None, "stderr": None, "low": None, "high": None, "p": None, "test": "signs", "reason": None,
        "items": 0, "different_prompts": 0, "only_a": None, "only_b": None,
    }  # fmt: skip
    strata, shares = [], []
    for (items_a, metric_a, weight), (items_b, metric_b, _) in zip(a, b, strict=True):
        pairs, different = _pairs(items_a, items_b, metric_a) if metric_a == metric_b else ([], 0)
        table["different_prompts"] += different
        alike = _same_units(pairs)
        if not alike:
            table["reason"] = _DIFFERENT_UNITS if pairs else "a part of the average has no item that both were shown alike"
            return table
        top_a, bottom_a, top_b, _ = np.array(alike, dtype=np.float64).T
        strata.append(Stratum(top_a - top_b, bottom_a, weight))
        shares.append(weight * (top_a - top_b) / bottom_a.sum())
    table.update(mean_of_strata(strata, seed))
    table["p"] = sign_flips(np.concatenate(shares), seed)
    return table


def holm(p_K: Sequence[float | None]) -> list[float | None]:
    """Return p-values corrected for testing K times (Holm 1979); None stays None and does not count.

    The smallest is multiplied by K, the next by K - 1 and so on; none falls below the one before it.
    """
    known = sorted((p, at) for at, p in enumerate(p_K) if p is not None)
    corrected: list[float | None] = [None] * len(p_K)
    least = 0.0
    for rank, (p, at) in enumerate(known):
        least = max(least, min(1.0, p * (len(known) - rank)))
        corrected[at] = least
    return corrected


def verdict(difference: float | None, p: float | None, metric: str) -> str:
    """Return in words what a corrected p says of the first model: better, worse, or not to be told apart."""
    if difference is None or p is None:
        return "not compared"
    if p >= LEVEL or difference == 0:
        return "cannot be told apart"
    return "better" if (difference < 0) == lower_is_better(metric) else "worse"
