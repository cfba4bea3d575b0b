"""Fall and return: how far held-out text falls back when training goes on with other text, and how far it comes back.

A stability gap is both. What falls and stays there is forgotten, and no gap.

Lange et al. 2022 (arXiv 2205.13452) look at every step and at the worst of them; Guo et al. 2024 (arXiv 2406.14833) found the fall
and the recovery in continued pretraining of language models. Here both are of bits per byte, of which less is better.

The worst of K noisy points is worse than the curve behind them. With the curve m and noise e, max(m + e) ≤ max(m) + max(e):
whatever the curve is, the noise adds at most what the largest of K draws of it is worth on average. That is the bias that is
stated. It is exact for a flat curve and independent noise, and too large otherwise (for noise of neighbours that goes together, by
Slepian's inequality), so a dip that is told is told on the safe side.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np

from pellucid.recipe.study import ContinuedAnalysis
from pellucid.studies.least_squares import fit
from pellucid.studies.results import Point, RunResult, Scores, pooled

__all__ = [
    "Curve",
    "Group",
    "curve_of",
    "expected_largest",
    "gap_of_level",
    "groups_of",
    "mean_interval",
    "noise_of",
    "stability_gap",
    "text_of",
]

_SPREADS = ("start", "worst", "dip", "dip_percent", "end", "forgotten", "regained")


@dataclass(frozen=True)
class Group:
    """Held-out text that is looked at as one. `side` says whose it is: of a category only that it may hold text of both."""

    name: str
    kind: Literal["old", "new", "category", "source"]
    side: Literal["old", "new", ""]
    sources: tuple[str, ...] = ()

    def scores(self, point: Point) -> Scores:
        """Return the group's text at a point, without bytes where it has none."""
        if self.kind == "category":
            return point.table.get("category", {}).get(self.name, Scores(0.0, 0, 0))
        table = point.table.get("source", {})
        return pooled(table[source] for source in self.sources if source in table)


@dataclass(frozen=True)
class Curve:
    """One run's bits per byte of a group after so many tokens of the stage; the first is before its first step."""

    tokens: tuple[int, ...]
    values: tuple[float, ...]


def groups_of(runs: Sequence[RunResult], config: ContinuedAnalysis) -> list[Group]:
    """Return old and new text, then the categories and the sources of both that some point of the stage has text of."""
    points = [point for run in runs for point in run.points if point.stage == config.stage]
    categories = {name for point in points for name, scores in point.table.get("category", {}).items() if scores.bytes}
    groups = [Group("old", "old", "old", config.old), Group("new", "new", "new", config.new)]
    groups += [Group(name, "category", "") for name in sorted(categories)]
    groups += [Group(name, "source", "old", (name,)) for name in config.old]
    groups += [Group(name, "source", "new", (name,)) for name in config.new]
    return [group for group in groups if any(group.scores(point).bytes for point in points)]


def curve_of(run: RunResult, stage: str, group: Group) -> Curve | None:
    """Return a run's curve; None where it was not measured before the first step and after, or is no number somewhere."""
    points = {point.step: point for point in run.points if point.stage == stage}
    at = [points[step] for step in sorted(points)]
    values = tuple(group.scores(point).bits_per_byte for point in at)
    if len(at) < 2 or at[0].step != 0 or not all(map(math.isfinite, values)):
        return None
    return Curve(tuple(point.tokens for point in at), values)


def text_of(runs: Sequence[RunResult], stage: str, group: Group) -> dict[str, Any]:
    """Return how many `documents` and `bytes` of a group the points of a stage are of, each the `least` and the `greatest`."""
    scores = [group.scores(point) for run in runs for point in run.points if point.stage == stage]
    counts = {"documents": [one.documents for one in scores], "bytes": [one.bytes for one in scores]}
    return {name: {"least": min(of, default=0), "greatest": max(of, default=0)} for name, of in counts.items()}


def stability_gap(curve: Curve) -> dict[str, Any]:
    """Return what a curve did, in bits per byte: `start`, the `worst` after it, `dip` = worst - start (below 0 when all after the
    start is better), `dip_percent` of the start, `worst_tokens`, `end`, `forgotten` = end - start, `regained` = worst - end, and
    `recovery_tokens`, from which on it stays at or below the start: 0 when it was never above, None when it ends above.
    """
    start, after = curve.values[0], curve.values[1:]
    worst = max(after)
    above = [place for place, value in enumerate(curve.values) if value > start]
    back = above[-1] + 1 if above else 0
    return {
        "start": start,
        "worst": worst,
        "dip": worst - start,
        "dip_percent": 100 * (worst - start) / start if start else None,
        "worst_tokens": curve.tokens[1 + after.index(worst)],
        "recovery_tokens": curve.tokens[back] if back < len(curve.tokens) else None,
        "end": after[-1],
        "forgotten": after[-1] - start,
        "regained": worst - after[-1],
    }


@cache
def expected_largest(count: int) -> float:
    """Return the mean of the largest of `count` independent standard normal draws: ∫ x·K·φ(x)·Φ(x)^(K-1) dx; 0 of one."""
    x_N = np.linspace(-9.0, 9.0, 7201)
    density_N = np.exp(-(x_N**2) / 2) / math.sqrt(2 * math.pi)
    below_N = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in x_N])
    return float(np.sum(x_N * count * density_N * below_N ** (count - 1)) * (x_N[1] - x_N[0]))


def noise_of(curves: Sequence[Curve]) -> float | None:
    """Return the standard deviation of single points about what the runs have in common; None with fewer than two runs or points.

    The model of a change since the start is: point + run + noise. So neither the shape nor what a run has throughout (the noise of
    its start, too) is counted. Curves must have the same tokens.
    """
    if len(curves) < 2 or len(curves[0].values) < 3:
        return None
    change_RK = np.array([[value - curve.values[0] for value in curve.values[1:]] for curve in curves])
    rest_RK = change_RK - change_RK.mean(axis=0) - change_RK.mean(axis=1, keepdims=True) + change_RK.mean()
    runs, points = change_RK.shape
    return math.sqrt(float(np.sum(rest_RK**2)) / ((runs - 1) * (points - 1)))


def mean_interval(values: Sequence[float | None]) -> dict[str, Any]:
    """Return `mean`, its 95 % interval `low` to `high` by Student's t (None with fewer than two), and `runs`; None do not count."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "low": None, "high": None, "runs": 0}
    told = fit(np.ones((len(known), 1)), np.array(known, dtype=np.float64)).contrast(np.ones(1))
    return {"mean": told.value, "low": told.low, "high": told.high, "runs": len(known)}


def gap_of_level(curves: Mapping[str, Curve]) -> dict[str, Any]:
    """Return the gap of a level's runs (curves by name of run) as means with intervals, the bias of `dip`, and what can be told.

    Beside the keys of `stability_gap`, each a `mean_interval`: `by_run`; `points` after the start; `noise` of one; `bias` = noise
    times `expected_largest`, None with one run; `recovered_runs`. `recovery_tokens` is a mean only where all runs come back, and
    `worst_tokens` no mean but the `least` and `greatest` of the runs, as the place of the worst of a flat stretch is chance.

    `dip_verdict`: "dips" when the lower end of the interval of the dip, or of `forgotten`, which the dip is never below, is above
    the bias; "does not dip" when the upper end of the dip's is not; else "cannot be told". `recovery_verdict`, of a dip that is
    told: "comes back" when all runs end at or below the start, "comes part of the way back" or "does not come back" by what was
    regained against the bias (regained too is of the worst point), else "cannot be told".

    `gap_verdict` puts both together: "falls and returns" (a stability gap) where dip and return are told, "only forgets" where the
    dip is told and the upper end of `regained` is within the bias, "falls, a return cannot be told" between the two, "does not
    fall", and "cannot be told" where no dip is.
    """
    rows = [{"run": run, **stability_gap(curve)} for run, curve in curves.items()]
    found: dict[str, Any] = {name: mean_interval([row[name] for row in rows]) for name in _SPREADS}
    recovered = [row["recovery_tokens"] for row in rows if row["recovery_tokens"] is not None]
    found["recovery_tokens"] = mean_interval(recovered if len(recovered) == len(rows) else [])
    same = len({curve.tokens for curve in curves.values()}) == 1
    noise = noise_of(list(curves.values())) if same else None
    points = min((len(curve.values) - 1 for curve in curves.values()), default=0)
    bias = None if noise is None else noise * expected_largest(points)
    found |= {"points": points, "noise": noise, "bias": bias, "recovered_runs": len(recovered), "by_run": rows}
    worst = [row["worst_tokens"] for row in rows]
    found["worst_tokens"] = {"least": min(worst, default=None), "greatest": max(worst, default=None)}
    return found | _verdicts(found, len(recovered) == len(rows))


def _verdicts(found: Mapping[str, Any], all_recover: bool) -> dict[str, Any]:
    bias = found["bias"]
    forgets = _beyond(found["forgotten"], bias, "dips", "") == "dips"
    dips = "dips" if forgets else _beyond(found["dip"], bias, "dips", "does not dip")
    if dips != "dips":
        gap = "does not fall" if dips == "does not dip" else dips
        return {"dip_verdict": dips, "recovery_verdict": None, "gap_verdict": gap}
    # Where every run ends at or below its start, each regains at least its dip, which is told.
    came = "comes back" if all_recover else _beyond(found["regained"], bias, "comes part of the way back", "does not come back")
    gap = {"does not come back": "only forgets", "cannot be told": "falls, a return cannot be told"}.get(came, "falls and returns")
    return {"dip_verdict": dips, "recovery_verdict": came, "gap_verdict": gap}


def _beyond(spread: Mapping[str, Any], bias: float | None, above: str, below: str) -> str:
    if bias is None or spread["low"] is None:
        return "cannot be told"
    return above if spread["low"] > bias else below if spread["high"] <= bias else "cannot be told"
