"""How many steps and tokens runs need until they are as good as the baseline of their seed was in the end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pellucid.studies.batch_size.critical_batch import Reached, fit_critical_batch
from pellucid.studies.batch_size.crossing import Curve, first_below, reached_for_good
from pellucid.studies.batch_size.neighbours import Level, compare_neighbours
from pellucid.studies.least_squares import scipy_part
from pellucid.studies.results import RunResult

__all__ = ["Trace", "to_equal_loss"]

Block = tuple[object, ...]


@dataclass(frozen=True)
class Trace:
    """One run's curve of one measure. `block` is what it shares with runs of other levels: its seed, and other axes' levels.

    With `is_log` the curve's x is the log of tokens, over which points that lie far apart are joined by straight lines.
    """

    run: RunResult
    level: str
    batch_tokens: int
    block: Block
    curve: Curve
    trained_tokens: int
    is_log: bool = False

    def tokens_at(self, x: float) -> float:
        """Return the tokens that a place of the curve stands for."""
        return math.exp(x) if self.is_log else float(x)


class _Target(NamedTuple):
    tokens: float
    value: float
    batch_tokens: int


def to_equal_loss(traces: Sequence[Trace], baseline: str, seed: int, what: str, notes: list[str]) -> dict[str, Any] | None:
    """Return how levels compare by one measure; None where no baseline run came to its end. Adds to `notes` what is left out.

    The values are those under `loss` and `bits_per_byte` of `analyse_batch_size`. `what` names the measure in notes, `seed` is that
    of the law's resampling.
    """
    traces = [trace for trace in traces if len(trace.curve.x_N)]
    targets = {
        trace.block: _Target(trace.tokens_at(trace.curve.x_N[-1]), float(trace.curve.y_N[-1]), trace.batch_tokens)
        for trace in traces
        if trace.level == baseline and trace.run.outcome == "done"
    }
    if not targets:
        notes.append(f"By {what} nothing is compared: no run of the baseline has one that came to its end.")
        return None
    of_level: dict[str, list[tuple[Trace, dict[str, Any]]]] = {}
    for trace in traces:
        if trace.level == baseline and trace.run.outcome != "done":
            continue  # what it ended with is no target, and itself it has none
        if trace.block in targets:
            told = _of_run(trace, targets[trace.block], is_baseline=trace.level == baseline)
            of_level.setdefault(trace.level, []).append((trace, told))
        else:
            notes.append(f"By {what} {trace.run.name} is left out: the baseline of its seed did not come to its end.")
    spread, freedom = _spread([[told for _, told in of] for level, of in of_level.items() if level != baseline])
    reach = None if spread is None else float(scipy_part("stats").t.ppf(0.975, freedom)) * spread
    rows = [
        _row(level, of[0][0].batch_tokens, [told for _, told in of], None if level == baseline else reach)
        for level, of in of_level.items()
    ]
    notes += [
        f"By {what} {row['runs'] - row['reached']} of {row['runs']} runs of {row['level']} did not come to the target and stay."
        for row in rows
        if row["reached"] < row["runs"]
    ]
    whole = {row["level"] for row in rows if row["reached"] == row["runs"]}
    points = [
        Reached(trace.block, trace.batch_tokens, told["tokens"])
        for level in of_level
        if level in whole
        for trace, told in of_level[level]
    ]
    levels = [
        Level(level, of[0][0].batch_tokens, {trace.block: told["steps"] for trace, told in of} if level in whole else {})
        for level, of in of_level.items()
    ]
    base = next(row for row in rows if row["level"] == baseline)
    base["spread"] = None  # it is where it is by definition
    return {
        "baseline_tokens": base["tokens"]["value"],
        "baseline_steps": base["steps"]["value"],
        "rows": rows,
        "between": compare_neighbours(levels, baseline),
        "spread": spread,
        "freedom": freedom,
        "law": fit_critical_batch(points, seed),
    }


def _of_run(trace: Trace, target: _Target, *, is_baseline: bool) -> dict[str, Any]:
    curve = trace.curve
    # The baseline ends with its target, wherever noise may have touched it before.
    places = (curve.x_N[-1],) * 2 if is_baseline else (reached_for_good(curve, target.value), first_below(curve, target.value))
    tokens, first = (None if place is None else trace.tokens_at(place) for place in places)
    steps = None if tokens is None else tokens / trace.batch_tokens
    return {
        "name": trace.run.name,
        "seed": trace.run.seed,
        "outcome": trace.run.outcome,
        "target": target.value,
        "reached": tokens is not None,
        "tokens": tokens,
        "first_tokens": first,
        "steps": steps,
        "token_factor": None if tokens is None else tokens / target.tokens,
        "step_factor": None if steps is None else target.tokens / target.batch_tokens / steps,
        "end_tokens": trace.tokens_at(curve.x_N[-1]),
        "end_value": float(curve.y_N[-1]),
        "trained_tokens": trace.trained_tokens,
    }


def _spread(levels: Sequence[Sequence[dict[str, Any]]]) -> tuple[float | None, int]:
    """Return the standard deviation over seeds of the log of tokens, pooled over levels, and its degrees of freedom."""
    logs = [np.log([one["token_factor"] for one in of if one["reached"]]) for of in levels]
    freedom = sum(max(0, len(log_R) - 1) for log_R in logs)
    squares = sum(float(((log_R - log_R.mean()) ** 2).sum()) for log_R in logs if len(log_R))
    return (math.sqrt(squares / freedom) if freedom else None), freedom


def _row(level: str, batch_tokens: int, of: Sequence[dict[str, Any]], reach: float | None) -> dict[str, Any]:
    """Return a level's figures over its runs; `reach` is how far a 95 % interval of one run reaches in logs, None without any."""
    reached = [one for one in of if one["reached"]]
    is_whole = len(reached) == len(of)

    def figure(name: str) -> dict[str, float | None]:
        if not is_whole:
            return {"value": None, "low": None, "high": None}
        middle = _geometric([one[name] for one in of])
        ends = (None, None) if reach is None else (middle * math.exp(sign * reach / math.sqrt(len(of))) for sign in (-1, 1))
        return dict(zip(("value", "low", "high"), (middle, *ends), strict=True))

    return {
        "level": level,
        "batch_tokens": batch_tokens,
        "runs": len(of),
        "reached": len(reached),
        **{name: figure(name) for name in ("tokens", "steps", "token_factor", "step_factor")},
        "spread": float(np.std(np.log([one["token_factor"] for one in reached]), ddof=1)) if len(reached) > 1 else None,
        "at_least_tokens": None if is_whole else _geometric([one["tokens"] or one["end_tokens"] for one in of]),
        "of_runs": list(of),
    }


def _geometric(values: Sequence[float]) -> float:
    return math.exp(math.fsum(map(math.log, values)) / len(values))
