"""Capabilities over training out of `curves.jsonl`: scores with bands, how far their rankings can be trusted, forecasts.

What is ranked, and by what:

- `with_steps`: checkpoints by their score, against their order in training. 1: each is better than all before it.
- `split_half`: checkpoints by their score on a random half of the items, against the other half. What other items would say.
- `items_between`: items by how well they are predicted (bits per byte of the right answer), at one checkpoint against the next.
- `stability`: checkpoints by their score on n items drawn at random, against all items. The n items are among all, so this is
  kinder than `split_half`, the more so the larger n is.
- `between_tasks`: checkpoints by one task, against another.
- `tau_of_models`: models by their score at one checkpoint, against the next, and against the last.

All are Kendall's tau-b, and better always ranks higher. Intervals are 95 %.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.core.seeds import derive_seed
from pellucid.evals.choices.item import Item
from pellucid.evals.choices.score import HIGHER_IS_BETTER, METRICS, Scored, figures_of
from pellucid.evals.forecast import MIN_POINTS, advice, forecast
from pellucid.evals.statistics import bootstrap_ratio, kendall_tau

__all__ = ["SAMPLE_SIZES", "Curve", "read_curves", "summarise_curves", "tau_of_models"]

Floats = npt.NDArray[np.float64]

SAMPLE_SIZES = (25, 50, 100, 200)
_DRAWS = 200
# The least and the largest value that a figure may tend to.
_BOUNDS: Mapping[str, tuple[float | None, float | None]] = {
    name: (0.0, 1.0 if up else None) for name, up in HIGHER_IS_BETTER.items()
}


@dataclass(frozen=True)
class Curve:
    """One figure of a task at S checkpoints on the same N items: sums of `top_SN` over sums of `bottom_SN`."""

    metric: str
    steps_S: tuple[int, ...]
    tokens_S: tuple[int, ...]
    top_SN: Floats
    bottom_SN: Floats
    groups_N: tuple[str | None, ...] = ()

    @property
    def sign(self) -> float:
        """1 where higher is better, else -1."""
        return 1.0 if HIGHER_IS_BETTER[self.metric] else -1.0

    def values(self, picked: npt.NDArray[np.integer] | slice = slice(None)) -> Floats:
        """Return the score at each checkpoint on the picked items, [S]."""
        return np.asarray(self.top_SN[:, picked].sum(axis=1) / self.bottom_SN[:, picked].sum(axis=1), dtype=np.float64)


def read_curves(lines: Iterable[Mapping[str, Any]], tasks: Mapping[str, Any]) -> dict[str, dict[str, Curve]]:
    """Return the curves by task and figure from the lines of `curves.jsonl` and the items of `curves.items.json`.

    Lines about other items (the recipe was changed in between) and lines of checkpoints that could not be scored are left out.
    """
    lines = list(lines)
    found = {}
    for name, task in tasks.items():
        items = [Item.from_json(raw) for raw in task["items"]]
        mine = [line for line in lines if "nats" in line["tasks"].get(name, {}) and line["tasks"][name]["digest"] == task["digest"]]
        if mine:
            found[name] = _curves(items, mine, name)
    return found


def _curves(items: Sequence[Item], lines: Sequence[Mapping[str, Any]], name: str) -> dict[str, Curve]:
    # What is the same at each checkpoint need not be written at each; figures by token are none of these.
    columns: dict[str, list[list[tuple[float, float]]]] = {}
    for line in lines:
        task = line["tasks"][name]
        greedy = task.get("greedy", [0] * len(items))
        row: dict[str, list[tuple[float, float]]] = {}
        for item, nats, is_greedy in zip(items, task["nats"], greedy, strict=True):
            figures = figures_of(item, Scored(tuple(nats), (1,) * len(nats), bool(is_greedy)))
            values = figures.ratios | {metric: (value, 1.0) for metric, value in figures.scores.items()}
            for metric in METRICS[item.kind]:
                row.setdefault(metric, []).append(values[metric])
        for metric, pairs in row.items():
            columns.setdefault(metric, []).append(pairs)
    steps, tokens = (tuple(line[key] for line in lines) for key in ("step", "tokens"))
    groups = tuple(item.group for item in items)
    curves = {}
    for metric, rows in columns.items():
        top_SN, bottom_SN = np.moveaxis(np.array(rows, dtype=np.float64), -1, 0)
        curves[metric] = Curve(metric, steps, tokens, top_SN, bottom_SN, groups if top_SN.shape[1] == len(items) else ())
    return curves


def summarise_curves(
    lines: Sequence[Mapping[str, Any]], tasks: Mapping[str, Any], seed: int, min_gain: float | None = None
) -> dict[str, Any]:
    """Return the JSON of `curves.json`: of each task and figure the points with bands, tau, stability and forecast.

    `min_gain` is a share of the score at the last point that a forecast is made from. All draws come from `seed`.
    """
    curves = read_curves(lines, tasks)
    table: dict[str, Any] = {}
    for name, by_metric in curves.items():
        table[name] = {
            "origin": tasks[name]["origin"],
            "kind": tasks[name]["items"][0]["kind"],
            "items": len(tasks[name]["items"]),
            "metrics": {
                metric: _summary(curve, by_metric["bits_per_byte"], derive_seed(seed, "curves", name, metric), min_gain)
                for metric, curve in by_metric.items()
            },
        }
    scored = {(name, line["step"]) for line in lines for name, task in line["tasks"].items() if "nats" in task}
    used = {(name, step) for name, by_metric in curves.items() for step in by_metric["bits_per_byte"].steps_S}
    failed = [
        {"task": name, "step": line["step"], "error": task["error"]}
        for line in lines
        for name, task in line["tasks"].items()
        if "error" in task
    ]
    return {
        "checkpoints": [{key: line[key] for key in ("step", "tokens", "seconds")} for line in lines],
        "seconds": sum(line["seconds"] for line in lines),
        "tasks": table,
        "between_tasks": _between_tasks(curves),
        "of_other_items": len(scored - used),
        "failed": failed,
        "seed": seed,
    }


def _summary(curve: Curve, answers: Curve, seed: int, min_gain: float | None) -> dict[str, Any]:
    points = []
    for at, (step, tokens) in enumerate(zip(curve.steps_S, curve.tokens_S, strict=True)):
        # One seed for all: bands of a curve then come from the same drawn items.
        band = bootstrap_ratio(curve.top_SN[at], curve.bottom_SN[at], seed)
        points.append({"step": step, "tokens": tokens, **{key: band[key] for key in ("value", "stderr", "low", "high")}})
    return {
        "higher_is_better": HIGHER_IS_BETTER[curve.metric],
        "points": points,
        "groups": _groups(curve),
        "tau": {
            "with_steps": _with_steps(curve, seed),
            "split_half": _split_half(curve, seed),
            "items_between": _items_between(answers),
        },
        "stability": _stability(curve, seed),
        "forecast": _forecasts(curve, seed, min_gain),
    }


def _groups(curve: Curve) -> dict[str, Any]:
    names = sorted({group for group in curve.groups_N if group is not None})
    found = {}
    for name in names:
        picked = np.flatnonzero([group == name for group in curve.groups_N])
        found[name] = {"items": len(picked), "values": curve.values(picked).tolist()}
    return found


def _interval(taus: Sequence[float | None]) -> dict[str, float | None]:
    """Return mean and 95 % of taus; of those that are none, where every checkpoint had the same score, nothing is counted."""
    known = [tau for tau in taus if tau is not None]
    if not known:
        return {"mean": None, "low": None, "high": None}
    low, high = np.quantile(known, [0.025, 0.975])
    return {"mean": float(np.mean(known)), "low": float(low), "high": float(high)}


def _with_steps(curve: Curve, seed: int) -> dict[str, float | None]:
    """Tau of score and step, with the interval over resampled items."""
    random, count = np.random.default_rng(derive_seed(seed, "with steps")), curve.top_SN.shape[1]
    drawn = [kendall_tau(curve.steps_S, curve.sign * curve.values(random.integers(0, count, size=(count,)))) for _ in range(_DRAWS)]
    return {"tau": kendall_tau(curve.steps_S, curve.sign * curve.values()), **_interval(drawn)}


def _split_half(curve: Curve, seed: int) -> dict[str, float | None]:
    random, count = np.random.default_rng(derive_seed(seed, "split half")), curve.top_SN.shape[1]
    taus = []
    for _ in range(_DRAWS if count >= 2 else 0):
        order = random.permutation(count)
        taus.append(kendall_tau(curve.values(order[: count // 2]), curve.values(order[count // 2 :])))
    return _interval(taus)


def _items_between(answers: Curve) -> list[dict[str, Any]]:
    cost_SN = answers.top_SN / answers.bottom_SN
    return [
        {"from": answers.steps_S[a], "to": answers.steps_S[b], "tau": kendall_tau(cost_SN[a], cost_SN[b])}
        for a, b in pairwise(range(len(answers.steps_S)))
    ]


def _stability(curve: Curve, seed: int) -> list[dict[str, Any]]:
    """Tau between the rankings of checkpoints on n items and on all, for several n."""
    count, whole = curve.top_SN.shape[1], curve.values()
    rows = []
    for size in (*(n for n in SAMPLE_SIZES if n < count), count):
        random = np.random.default_rng(derive_seed(seed, "stability", size))
        draws = _DRAWS if size < count else 1
        taus = [kendall_tau(curve.values(random.permutation(count)[:size]), whole) for _ in range(draws)]
        rows.append({"items": size, **_interval(taus)})
    return rows


def _forecasts(curve: Curve, seed: int, min_gain: float | None) -> dict[str, Any] | None:
    """The forecast of the last score from the first half of training, against what came, and when the rule would have stopped.

    None when the first half has fewer than four checkpoints after the first step.
    """
    tokens, values = np.array(curve.tokens_S, dtype=np.float64), curve.values()
    after = np.flatnonzero(tokens > 0)
    if not len(after):
        return None
    end, came = float(tokens[-1]), float(values[-1])
    half = [int(at) for at in after if tokens[at] <= end / 2]
    if len(half) < MIN_POINTS or len(half) == len(after):
        return None
    result: dict[str, Any] = {"came": came}
    for at in (int(at) for at in after if at < len(values) - 1):
        made = forecast(tokens[: at + 1].tolist(), values[: at + 1].tolist(), end, bounds=_BOUNDS[curve.metric], seed=seed)
        if made is None:
            continue
        gain = None if min_gain is None else min_gain * abs(float(values[at]))
        told = advice(made, float(values[at]), higher_is_better=HIGHER_IS_BETTER[curve.metric], min_gain=gain)
        where = {"from_step": curve.steps_S[at], "now": float(values[at])}
        if at == half[-1]:
            result |= {**made.to_json(), **where, "inside": bool(made.low <= came <= made.high), "advice": told}
        if told["stop"] and "stop_rule" not in result:
            gained = curve.sign * (came - float(values[at]))
            result["stop_rule"] = {**where, "gain_probability": told["gain_probability"], "gain_that_came": gained}
    return result


def _between_tasks(curves: Mapping[str, Mapping[str, Curve]]) -> list[dict[str, Any]]:
    each = [(name, by_metric["bits_per_byte"]) for name, by_metric in curves.items()]
    each += [(name, by_metric["acc"]) for name, by_metric in curves.items() if "acc" in by_metric]
    rows = []
    for (a, one), (b, other) in combinations(each, 2):
        common = sorted(set(one.steps_S) & set(other.steps_S))
        ranks = [[curve.sign * float(curve.values()[curve.steps_S.index(step)]) for step in common] for curve in (one, other)]
        if a != b:
            tau = kendall_tau(*ranks)
            rows.append({"tasks": [a, b], "metrics": [one.metric, other.metric], "checkpoints": len(common), "tau": tau})
    return rows


def tau_of_models(values_MS: npt.ArrayLike, *, higher_is_better: bool = True) -> dict[str, Any]:
    """Return tau between the rankings of M models at each checkpoint and the next (`next`), and the last (`last`).

    `values_MS` are scores of M models at the same S checkpoints. `next` near 1 from a checkpoint on means that models compared
    there keep their order (FineWeb, arXiv 2406.17557, calls it ordering consistency).
    """
    scores_MS = np.asarray(values_MS, dtype=np.float64) * (1.0 if higher_is_better else -1.0)
    if scores_MS.ndim != 2 or scores_MS.shape[0] < 2:
        raise ValueError(f"scores have shape {scores_MS.shape}; two or more models by checkpoints are needed")
    count = scores_MS.shape[1]
    following = [kendall_tau(scores_MS[:, at], scores_MS[:, at + 1]) for at in range(count - 1)]
    final = [kendall_tau(scores_MS[:, at], scores_MS[:, -1]) for at in range(count - 1)]
    known = [tau for tau in following if tau is not None]
    return {"next": following, "last": final, "mean_next": float(np.mean(known)) if known else None}
