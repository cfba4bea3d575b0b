"""Whether steps to equal loss fall from one batch size to the next, by differences within seeds: these share their target."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from pellucid.evals.paired import LEVEL, holm
from pellucid.studies.least_squares import Estimate, Fit
from pellucid.studies.level_fit import Cell, fit_levels

__all__ = ["Level", "compare_neighbours"]


class Level(NamedTuple):
    """A batch size and the steps of its runs by block (what a run shares with those of other levels, its seed and its target);
    `steps` are empty where some run did not reach its target, since the others alone would make it look too good."""

    name: str
    batch_tokens: int
    steps: Mapping[object, float]


def compare_neighbours(levels: Sequence[Level], baseline: str) -> list[dict[str, Any]]:
    """Return how steps change from each batch size to the next; `levels` are in order of batch size.

    Rows have the names `less` and `more`, `batch_tokens` of both, `runs` (blocks that both have), `ratio`, the geometric mean of
    steps of `more` over those of `less` in the same block, `low` and `high` (95 %, each by itself), `p` of a ratio of 1, `p_holm`
    (Holm, over the pairs), and `verdict` by it: "fewer", "more", "cannot be told apart", or "not compared". What cannot be had is
    None.

    Log steps are level + block + noise. The noise is what is left of them once level and block are known, pooled over all levels
    but the baseline, with the degrees of freedom that leaves: a difference of two levels over n blocks has √(2/n) of it. The
    baseline has its target by definition and no noise of its own, but all the noise of the target is in what others differ from it
    by: that has the spread over blocks, pooled over levels, over √n, see `_spread`.
    """
    order = list(dict.fromkeys(block for level in levels for block in level.steps))
    cells = [Cell(level.name, order.index(block), math.log(steps)) for level in levels for block, steps in level.steps.items()]
    fitted = fit_levels([cell for cell in cells if cell.level != baseline])
    variance, freedom = _spread([level.steps for level in levels if level.name != baseline and level.steps])
    found = []
    for less, more in pairwise(levels):
        logs = [math.log(more.steps[block] / steps) for block, steps in less.steps.items() if block in more.steps]
        told = None
        if baseline in (less.name, more.name) and logs:
            mean_P, unscaled_PP = np.array([math.fsum(logs) / len(logs)]), np.array([[1 / len(logs)]])
            told = Fit(mean_P, unscaled_PP, variance, freedom).contrast(np.ones(1))
        elif logs:
            told = None if fitted is None else fitted.contrast({more.name: 1.0, less.name: -1.0})
        found.append(_row(less, more, len(logs), told))
    for row, p in zip(found, holm([row["p"] for row in found]), strict=True):
        row["p_holm"] = p
        if p is not None:
            word = "fewer" if row["ratio"] < 1 else "more"
            row["verdict"] = word if p < LEVEL and row["ratio"] != 1 else "cannot be told apart"
    return found


def _spread(levels: Sequence[Mapping[object, float]]) -> tuple[float | None, int]:
    """Return the variance of log steps over blocks, pooled over levels, and its degrees of freedom; None where no two blocks meet.

    As levels share the targets of their blocks they are no independent witnesses of it. It is the sum of what block means vary by
    and of what is left, which have freedoms of their own, and has that of Satterthwaite (1946), rounded down. Where blocks are
    missing it has no more than one level alone.
    """
    logs = [np.log(list(steps.values())) for steps in levels if len(steps) > 1]
    if not logs:
        return None, 0
    spare = min(len(log_B) - 1 for log_B in logs)
    variance = sum(float(((log_B - log_B.mean()) ** 2).sum()) for log_B in logs) / sum(len(log_B) - 1 for log_B in logs)
    if len(levels) < 2 or not variance or any(steps.keys() != levels[0].keys() for steps in levels):
        return variance, spare
    log_LB = np.array([[math.log(steps[block]) for block in levels[0]] for steps in levels])
    of_blocks = float(log_LB.mean(axis=0).var(ddof=1))
    rest = variance - of_blocks
    return variance, int(variance**2 / (of_blocks**2 / spare + rest**2 / ((len(levels) - 1) * spare)) + 1e-9)


def _row(less: Level, more: Level, runs: int, told: Estimate | None) -> dict[str, Any]:
    ends = (None, None, None) if told is None else (told.value, told.low, told.high)
    return {
        "less": less.name,
        "more": more.name,
        "batch_tokens": [less.batch_tokens, more.batch_tokens],
        "runs": runs,
        **{name: None if end is None else math.exp(end) for name, end in zip(("ratio", "low", "high"), ends, strict=True)},
        "p": None if told is None else told.p,
        "p_holm": None,
        "verdict": "not compared",
    }
