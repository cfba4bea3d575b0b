"""Forgetting against learning: which ways of going on are beaten in both by another, and how sure that is."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.evals.paired import LEVEL, holm
from pellucid.studies.continued.gap import mean_interval
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.results import RunResult

__all__ = ["tradeoff_of"]


def tradeoff_of(runs: Sequence[RunResult], axis: str, forgotten: Metric, new_change: Metric) -> dict[str, Any]:
    """Return each level's `forgotten` and `learnt` (the change of new text with its sign turned), and which others dominate it.

    `rows` have `level`, both as `mean_interval`, `dominated_by` (levels that by their means forget no more and learn no less, and
    are better in one) and `surely_dominated_by` (those of them that are told to be better in both: the greater p of the two paired
    tests, an intersection-union test, corrected for all pairs by Holm). `front` are the levels that no other dominates by means,
    `possible` those that none surely does, so that what cannot be told apart stays in.
    """
    told = {name: effects_of(runs, axis, metric) for name, metric in (("old", forgotten), ("new", new_change))}
    rows = {row["level"]: row for row in told["old"]["rows"]}
    new = {row["level"]: row for row in told["new"]["rows"]}
    levels = [level for level in rows if rows[level]["mean"] is not None and new[level]["mean"] is not None]
    pairs = [(one, other) for place, one in enumerate(levels) for other in levels[place + 1 :]]
    against = {base: [_by_level(effects_of(runs, axis, metric, base)) for metric in (forgotten, new_change)] for base in levels}
    p_of = dict(zip(pairs, holm([_p_of_both(against[one], other) for one, other in pairs]), strict=True))

    def beats(one: str, other: str) -> bool:
        gains = (rows[other]["mean"] - rows[one]["mean"], new[other]["mean"] - new[one]["mean"])
        return bool(min(gains) >= 0 and max(gains) > 0)

    def surely(one: str, other: str) -> bool:
        p = p_of.get((one, other), p_of.get((other, one)))
        return p is not None and p < LEVEL

    found = []
    for level in levels:
        better = [other for other in levels if other != level and beats(other, level)]
        found.append(
            {
                "level": level,
                "forgotten": mean_interval(rows[level]["values"]),
                "learnt": mean_interval([-value for value in new[level]["values"]]),
                "dominated_by": better,
                "surely_dominated_by": [other for other in better if surely(other, level)],
            }
        )
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
