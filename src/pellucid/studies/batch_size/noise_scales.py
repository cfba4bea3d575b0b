"""The gradient noise scale over training, and how it compares with the critical batch size that the runs show."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult

__all__ = ["compare_noise", "noise_over_training"]

ORDER_OF_MAGNITUDE = 10.0


def noise_over_training(runs: Sequence[RunResult], axis: str) -> list[dict[str, Any]]:
    """Return the gradient noise scale by level and checkpoint, in order of appearance and of steps.

    Each row has `level`, `step`, `tokens`, `runs`, and, over its runs, the mean `trace` and `gradient_norm_squared` and their ratio
    `noise_scale_tokens` (None where the gradient is lost in noise), with a 95 % interval `low` to `high`: by the spread of logs
    over seeds, pooled over all rows, with as many degrees of freedom as levels have seeds to spare, since a run's checkpoints are
    not independent; where no two seeds meet it is the run's own. `values` are those of the single runs.
    """
    cells: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for run in runs:
        for one in run.noise if axis in run.levels else ():
            if one.get("trace") is not None and one.get("gradient_norm_squared") is not None:
                cells.setdefault((run.levels[axis], int(one["step"])), []).append(one)
    order = list(dict.fromkeys(level for level, _ in cells))
    freedom = sum(max(len(of) for (own, _), of in cells.items() if own == level) - 1 for level in order)
    reach = _reach(list(cells.values()), freedom)
    return [
        _row(level, step, cells[level, step], reach) for level, step in sorted(cells, key=lambda at: (order.index(at[0]), at[1]))
    ]


def _reach(cells: Sequence[Sequence[Mapping[str, Any]]], freedom: int) -> float | None:
    """Return how far an interval reaches for one run, in logs; None where no two runs meet."""
    logs = [np.log(known) for cell in cells if len(known := [scale for one in cell if (scale := one["noise_scale_tokens"])]) > 1]
    if not logs or freedom < 1:
        return None
    squares = sum(float(((log_R - log_R.mean()) ** 2).sum()) for log_R in logs)
    return math.sqrt(squares / sum(len(log_R) - 1 for log_R in logs)) * float(scipy_part("stats").t.ppf(0.975, freedom))


def _row(level: str, step: int, cell: Sequence[Mapping[str, Any]], reach: float | None) -> dict[str, Any]:
    trace, square = (math.fsum(one[name] for one in cell) / len(cell) for name in ("trace", "gradient_norm_squared"))
    scale = trace / square if square > 0 else None
    low = high = None
    if scale and reach is not None:
        low, high = (scale * math.exp(sign * reach / math.sqrt(len(cell))) for sign in (-1, 1))
    elif len(cell) == 1:
        low, high = cell[0]["low"], cell[0]["high"]
    return {
        "level": level,
        "step": step,
        "tokens": cell[0]["tokens"],
        "runs": len(cell),
        "noise_scale_tokens": scale,
        "low": low,
        "high": high,
        "trace": trace,
        "gradient_norm_squared": square,
        "values": [one["noise_scale_tokens"] for one in cell],
    }


def compare_noise(rows: Sequence[Mapping[str, Any]], level: str, law: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the noise scale of a level beside the critical batch size of a law; None where it was not measured there.

    `first`, `last`, `least` and `greatest` are rows; `mean_tokens` is the mean of the noise scale over the level's checkpoints;
    `b_crit_tokens` is the law's. `ratio` is the last noise scale over B_crit, `mean_ratio` the mean one, and `same_order` whether
    the first of the two is within a factor of ten, either way; all three are None without a B_crit.
    """
    own = [row for row in rows if row["level"] == level and row["noise_scale_tokens"] is not None]
    if not own:
        return None
    scales = [float(row["noise_scale_tokens"]) for row in own]
    mean, b_crit = math.fsum(scales) / len(scales), law["b_crit_tokens"]["value"] if law else None
    ratio = scales[-1] / b_crit if b_crit else None
    return {
        "level": level,
        "first": own[0],
        "last": own[-1],
        "least": own[scales.index(min(scales))],
        "greatest": own[scales.index(max(scales))],
        "mean_tokens": mean,
        "b_crit_tokens": law["b_crit_tokens"] if law else None,
        "ratio": ratio,
        "mean_ratio": mean / b_crit if b_crit else None,
        "same_order": 1 / ORDER_OF_MAGNITUDE < ratio < ORDER_OF_MAGNITUDE if ratio is not None else None,
    }
