"""Two models on the same items: the difference with its interval, how likely chance alone makes it, and when not to compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pellucid.core.scores import higher_is_better, lower_is_better
from pellucid.evals.results import Record
from pellucid.evals.statistics import Floats, bootstrap_ratio, mcnemar, paired_difference, resampled, sign_flips

__all__ = [
    "LEVEL",
    "Items",
    "Stratum",
    "are_independent",
    "column_of",
    "compare_items",
    "compare_strata",
    "holm",
    "mean_of_strata",
    "not_compared",
    "shown_alike",
    "strata_of",
    "verdict",
]

Items = Mapping[str, Record]
"""Records of one task by item."""

LEVEL = 0.05
"""Two models are told apart where the corrected p is below this."""

_UNITS_MAY_DIFFER = 0.1
"""Share of items whose denominators may differ (a turn without a verdict); they are left out. Above it nothing is compared."""

_DIFFERENT_UNITS = "the models are counted in different units (denominators differ), so their ratios are not of the same thing"

_TRANSLATED = (
    "the languages have translations of the same questions, so items are not independent, and no p of them together can be had"
)
_NEEDLE = ("needle", "needle_judge")


@dataclass(frozen=True)
class Stratum:
    """Part of an average: the values of N items over their denominators, and its weight. Weights of an average add up to 1.

    `clusters` name for each item what it shares with others (nothing when empty); they are drawn whole. Strata with one name in
    `together` hold translations of the same questions: as nothing says which of which, their errors are added as if they were one.
    """

    top_N: Floats
    bottom_N: Floats
    weight: float
    clusters: tuple[str, ...] = ()
    together: str = ""

    @property
    def sums(self) -> tuple[Floats, Floats]:
        """The values and denominators, those of a cluster added."""
        if not self.clusters:
            return self.top_N, self.bottom_N
        _, which_N = np.unique(self.clusters, return_inverse=True)
        top_C, bottom_C = (np.bincount(which_N, values_N).astype(np.float64) for values_N in (self.top_N, self.bottom_N))
        return top_C, bottom_C


class _Pair(NamedTuple):
    """Two models' values of one item, and the item's record."""

    top_a: float
    bottom_a: float
    top_b: float
    bottom_b: float
    record: Record


def column_of(record: Record, metric: str) -> tuple[float, float] | None:
    """Return a record's numerator and denominator of a metric; None where it has none."""
    if metric in record.scores:
        return float(record.scores[metric]), 1.0
    return record.ratios.get(metric)


def shown_alike(a: Record, b: Record) -> bool:
    """Tell whether two models read the same of an item: one prompt (its digest is of all of it), and as much of it cut off."""
    return a.prompt == b.prompt and a.dropped_tokens == b.dropped_tokens


def are_independent(items: Items) -> bool:
    """Tell whether items can be drawn one by one: not where a needle's text serves many, nor over languages."""
    languages = {_language(record) for record in items.values()}
    return len(languages) <= 1 and not any(record.task in _NEEDLE for record in items.values())


def _language(record: Record) -> str:
    return record.group or "" if record.task.endswith("_multilingual") else ""


def _cluster(record: Record) -> str:
    """Return what an item is drawn with: of a needle (length/depth/seed) the seed, by which text and needle are chosen."""
    return record.item.rpartition("/")[2] if record.task in _NEEDLE else record.item


def _strata(values: Sequence[tuple[Record, float, float]], weight: float) -> list[Stratum]:
    """Return (record, value, denominator) by language, each with its share of the weight by denominators."""
    parts: dict[str, list[tuple[Record, float, float]]] = {}
    for value in values:
        parts.setdefault(_language(value[0]), []).append(value)
    whole = sum(bottom for _, _, bottom in values)
    strata = []
    for language, members in parts.items():
        top_N, bottom_N = np.array([value[1:] for value in members], dtype=np.float64).T
        needles = members[0][0].task in _NEEDLE
        clusters = tuple(_cluster(record) for record, _, _ in members) if needles else ()
        together = members[0][0].task if language else ""
        strata.append(Stratum(top_N, bottom_N, weight * float(bottom_N.sum()) / whole, clusters, together))
    return strata


def strata_of(items: Items, metric: str, weight: float) -> list[Stratum]:
    """Return the values of one task as strata, one for each language; none where no item has the metric."""
    found = [(record, *value) for _, record in sorted(items.items()) if (value := column_of(record, metric)) is not None]
    return _strata(found, weight) if sum(bottom for _, _, bottom in found) else []


def not_compared(reason: str | None, different: int = 0) -> dict[str, Any]:
    """Return the table of a test that was not made, and why."""
    return {
        "value": None, "stderr": None, "low": None, "high": None, "p": None, "test": None, "reason": reason,
        "items": 0, "different_prompts": different, "only_a": None, "only_b": None,
    }  # fmt: skip


def compare_items(a: Items, b: Items, metric: str, seed: int) -> dict[str, Any]:
    """Return how model a differs from model b in a metric, over the items that both have and that both were shown alike.

    `value` (a - b), `stderr`, `low`, `high`, `p` and `test` are None where nothing can be compared, and `reason` says why. The test
    is McNemar's exact one where scores are 0 or 1, else random signs of differences; items that hang together (needles of one seed)
    are drawn and turned together. `only_a` and `only_b` count the items that only one has right.
    """
    pairs, different = _pairs(a, b, metric)
    if not pairs:
        why = f"all {different} common items were shown with different prompts" if different else "no item in common"
        return not_compared(why, different)
    pairs = _same_units(pairs)
    if not pairs:
        return not_compared(_DIFFERENT_UNITS, different)
    table = {**not_compared(None, different), "items": len(pairs), "test": "signs"}
    values_N4 = np.array([pair[:4] for pair in pairs], dtype=np.float64)
    top_a, bottom_a, top_b, _ = values_N4.T
    strata = _strata([(pair.record, pair.top_a - pair.top_b, pair.bottom_a) for pair in pairs], 1.0)
    alone = len(strata) == 1 and not strata[0].clusters
    if not alone:
        table.update(mean_of_strata(strata, seed))
        if len(strata) == 1:
            table["p"] = sign_flips(strata[0].sums[0], seed)
        else:
            table.update(test=None, reason=_TRANSLATED)
    elif (bottom_a == 1).all():
        table.update({key: value for key, value in paired_difference(top_a, top_b, seed).items() if key in table})
    else:
        table.update({key: value for key, value in bootstrap_ratio(top_a - top_b, bottom_a, seed).items() if key in table})
        # The sum of differences is the numerator of the ratios' difference: the same sign flips test both.
        table["p"] = sign_flips(top_a - top_b, seed)
    if np.isin(values_N4[:, [0, 2]], (0.0, 1.0)).all() and (bottom_a == 1).all():
        only_a, only_b = int((top_a > top_b).sum()), int((top_b > top_a).sum())
        table.update(only_a=only_a, only_b=only_b)
        if alone:
            table.update(p=mcnemar(only_a, only_b), test="mcnemar")
    return table


def _pairs(a: Items, b: Items, metric: str) -> tuple[list[_Pair], int]:
    """Return the values of both on the items they share, in the order of items, and how many shared ones were shown differently."""
    pairs, different = [], 0
    for item in sorted(a.keys() & b.keys()):
        one, two = column_of(a[item], metric), column_of(b[item], metric)
        if one is None or two is None:
            continue
        if shown_alike(a[item], b[item]):
            pairs.append(_Pair(*one, *two, a[item]))
        else:
            different += 1
    return pairs, different


def _same_units(pairs: list[_Pair]) -> list[_Pair]:
    """Return the pairs with one denominator, or none of them where too many have two."""
    same = [pair for pair in pairs if pair.bottom_a == pair.bottom_b]
    return same if len(pairs) - len(same) <= _UNITS_MAY_DIFFER * len(pairs) else []


def mean_of_strata(strata: Sequence[Stratum], seed: int) -> dict[str, Any]:
    """Return the weighted mean of the strata's ratios with its standard error and 95 % interval, each resampled by itself.

    Those with one name in `together` are added least to least and greatest to greatest, which gives the largest error they can
    have.
    """
    value = sum(stratum.weight * float(stratum.top_N.sum() / stratum.bottom_N.sum()) for stratum in strata)
    items = sum(len(stratum.top_N) for stratum in strata)
    result: dict[str, Any] = {"value": value, "stderr": None, "low": None, "high": None, "items": items}
    sums = [stratum.sums for stratum in strata]
    if any(len(top_C) < 2 for top_C, _ in sums):
        return result
    apart: list[Floats] = []
    together: dict[str, Floats] = {}
    for number, (stratum, (top_C, bottom_C)) in enumerate(zip(strata, sums, strict=True)):
        drawn_R = stratum.weight * resampled(top_C, bottom_C, seed + number)
        if stratum.together:
            together[stratum.together] = together.get(stratum.together, 0.0) + np.sort(drawn_R)
        else:
            apart.append(drawn_R)
    generator = np.random.default_rng(seed)
    total_R = np.sum([*apart, *(generator.permutation(drawn_R) for drawn_R in together.values())], axis=0)
    total_R = total_R[np.isfinite(total_R)]
    if len(total_R) > 1:
        low, high = np.quantile(total_R, [0.025, 0.975])
        result.update(stderr=float(np.std(total_R, ddof=1)), low=float(low), high=float(high))
    return result


def compare_strata(a: Sequence[tuple[Items, str, float]], b: Sequence[tuple[Items, str, float]], seed: int) -> dict[str, Any]:
    """Return how two averages over tasks differ: (items, metric, weight) of each task of each model, tasks in the same order.

    As `compare_items`; p is by random signs of the items' weighted differences. Every task needs items that were shown alike.
    """
    table = {**not_compared(None), "test": "signs"}
    strata: list[Stratum] = []
    for (items_a, metric_a, weight), (items_b, metric_b, _) in zip(a, b, strict=True):
        pairs, different = _pairs(items_a, items_b, metric_a) if metric_a == metric_b else ([], 0)
        table["different_prompts"] += different
        alike = _same_units(pairs)
        if not alike or not sum(pair.bottom_a for pair in alike):
            table["reason"] = _DIFFERENT_UNITS if pairs else "a part of the average has no item that both were shown alike"
            return table
        strata += _strata([(pair.record, pair.top_a - pair.top_b, pair.bottom_a) for pair in alike], weight)
    table.update(mean_of_strata(strata, seed))
    joined = [stratum.together for stratum in strata if stratum.together]
    if len(set(joined)) < len(joined):
        table.update(test=None, reason=_TRANSLATED)
    else:
        table["p"] = sign_flips(np.concatenate([one.weight * one.sums[0] / one.bottom_N.sum() for one in strata]), seed)
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
    """Return in words what a corrected p says of the first model: better, worse, or not to be told apart.

    Of a metric of which it is not known whether more is better, only higher or lower is said.
    """
    if difference is None or p is None:
        return "not compared"
    if p >= LEVEL or difference == 0:
        return "cannot be told apart"
    if not higher_is_better(metric) and not lower_is_better(metric):
        return "higher" if difference > 0 else "lower"
    return "better" if (difference < 0) == lower_is_better(metric) else "worse"
