"""Old text against new text at the end: which ways of going on are beaten in both by another, and how sure that is."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.evals.paired import LEVEL, holm
from pellucid.studies.continued.gap import mean_interval
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.results import RunResult

__all__ = ["tradeoff_of"]


def tradeoff_of(runs: Sequence[RunResult], axis: str, old_end: Metric, new_end: Metric) -> dict[str, Any]:
    """Return each level's score of old and of new text at the end, of both of which less is better, and which others dominate it.

    All ways of a seed start from the same scores, so that their differences at the end are those of what was forgotten and learnt.

    `rows` have `level`, `old_end` and `new_end` as `mean_interval`, `dominated_by` (levels that by their differences at equal seeds
    are worse in neither and better in one) and `surely_dominated_by` (those of them that are told to be better in both: the greater
    p of the two paired tests, an intersection-union test, corrected for all pairs by Holm). `front` are the levels that no other
    dominates by differences, `possible` those that none surely does, so that what cannot be told apart stays in.
    """
    metrics = {"old_end": old_end, "new_end": new_end}
    rows = {name: _by_level(effects_of(runs, axis, metric)) for name, metric in metrics.items()}
    levels = [level for level in rows["old_end"] if all(of_metric[level]["mean"] is not None for of_metric in rows.values())]
    pairs = [(one, other) for place, one in enumerate(levels) for other in levels[place + 1 :]]
    against = {base: [_by_level(effects_of(runs, axis, metric, base)) for metric in metrics.values()] for base in levels}
    p_of = dict(zip(pairs, holm([_p_of_both(against[one], other) for one, other in pairs]), strict=True))

    def beats(one: str, other: str) -> bool:
        # Differences, not means: a way that lacks a seed has a mean over other starts.
        gains = [of_metric[other]["difference"] for of_metric in against[one]]
        return None not in gains and bool(min(gains) >= 0 and max(gains) > 0)

    def surely(one: str, other: str) -> bool:
        p = p_of.get((one, other), p_of.get((other, one)))
        return p is not None and p < LEVEL

    found: list[dict[str, Any]] = []
    for level in levels:
        better = [other for other in levels if other != level and beats(other, level)]
        ends = {name: mean_interval(of_metric[level]["values"]) for name, of_metric in rows.items()}
        sure = [other for other in better if surely(other, level)]
        found.append({"level": level, **ends, "dominated_by": better, "surely_dominated_by": sure})
    front = [row["level"] for row in found if not row["dominated_by"]]
    return {"rows": found, "front": front, "possible": [row["level"] for row in found if not row["surely_dominated_by"]]}


def _by_level(effects: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {row["level"]: row for row in effects["rows"]}


def _p_of_both(against: Sequence[Mapping[str, Mapping[str, Any]]], other: str) -> float | None:
    """Return how likely chance alone makes both differences; 1 where they point different ways, as nobody dominates then."""
    old, new = (of_metric[other] for of_metric in against)
    if old["p"] is None or new["p"] is None:
        return None
    return float(max(old["p"], new["p"])) if old["difference"] * new["difference"] > 0 else 1.0
