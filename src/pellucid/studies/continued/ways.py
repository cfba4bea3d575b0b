"""In what two ways of going on differ: the learning rate's peak, the length of re-warming, the share of replay, the new text.

It is read from what the runs did (resolved schedule, shares of sources), not from what levels are called.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.evals.paired import holm
from pellucid.recipe.study import ContinuedAnalysis
from pellucid.studies.effects import Metric, effects_of
from pellucid.studies.results import RunResult, by_level, pooled

__all__ = ["Setting", "contrasts_of", "differs", "final_score", "matched", "setting_of", "way_rows"]

_SHAPE = ("kind", "min_lr", "cooldown_steps", "period_steps", "rsqrt_flat_steps")
_RATE = ("peak", "warm-up", "shape")
_VALUES = {"peak": "peak_lr", "warm-up": "warmup_steps", "replay": "replay_share"}
_SAME_SHARE = 5e-4  # the order of data serves shares to 2^-14, and epochs make them anew for each seed


@dataclass(frozen=True)
class Setting:
    """How a run went on, None and nothing where it does not say.

    `rate_before` is the learning rate that the stage before ended with, `replay_share` the old sources' part of the stage's tokens,
    `text` the new sources' shares among each other.
    """

    peak_lr: float | None
    warmup_steps: int | None
    shape: tuple[Any, ...]
    steps: int | None
    tokens: int | None
    rate_before: float | None
    replay_share: float | None
    text: Mapping[str, float]

    @property
    def replay(self) -> Mapping[str, float]:
        """The share of replay, to be compared as shares are."""
        return {} if self.replay_share is None else {"old": self.replay_share}


def setting_of(run: RunResult, config: ContinuedAnalysis) -> Setting:
    """Return how a run went on."""
    names = [stage.name for stage in run.stages]
    at = names.index(config.stage) if config.stage in names else None
    stage = None if at is None else run.stages[at]
    before = run.stages[at - 1].rates if at else ()
    schedule = {} if stage is None else stage.schedule
    weights = run.weights.get(config.stage, {})
    new = {name: weights[name] for name in config.new if weights.get(name, 0.0) > 0}
    total, total_new = math.fsum(weights.values()), math.fsum(new.values())
    return Setting(
        peak_lr=schedule.get("peak_lr"),
        warmup_steps=schedule.get("warmup_steps"),
        shape=tuple(schedule.get(key) for key in _SHAPE),
        steps=None if stage is None else stage.steps_planned,
        tokens=None if stage is None else stage.steps_planned * stage.batch_tokens,
        rate_before=float(before[-1]) if len(before) else None,
        replay_share=math.fsum(weights.get(name, 0.0) for name in config.old) / total if total else None,
        text={name: weight / total_new for name, weight in new.items()},
    )


def differs(one: Setting, other: Setting) -> tuple[str, ...]:
    """Return in what two ways differ, of: peak, warm-up, shape (of the curve after it), length, replay, text."""
    are_same = {
        "peak": one.peak_lr == other.peak_lr,
        "warm-up": one.warmup_steps == other.warmup_steps,
        "shape": one.shape == other.shape,
        "length": one.steps == other.steps,
        "replay": _same_shares(one.replay, other.replay),
        "text": _same_shares(one.text, other.text),
    }
    return tuple(name for name, is_same in are_same.items() if not is_same)


def way_rows(runs: Sequence[RunResult], axis: str, config: ContinuedAnalysis) -> list[dict[str, Any]]:
    """Return each level of an axis as its first run went: the keys of `Setting` but the shape, of which there are `kind` and
    `min_lr`; `runs` that came to their length; `differs` from the axis' first level in what; and `family` by that.

    Families are "plain" (the first level), "rate" (another schedule and nothing else), "replay" (another share of old text and
    nothing else), "text" (other new text, with or without replay) and "other".
    """
    rows: list[dict[str, Any]] = []
    first: Setting | None = None
    for level, own in by_level(runs, axis).items():
        done = [run for run in own if run.outcome == "done"]
        one = setting_of((done or own)[0], config)
        first = first or one
        what = differs(first, one)
        row: dict[str, Any] = {
            "level": level,
            "runs": len(done),
            "family": _family(what) if rows else "plain",
            "differs": list(what),
        }
        row |= {name: getattr(one, name) for name in ("peak_lr", "warmup_steps", "steps", "tokens", "rate_before", "replay_share")}
        rows.append({**row, "kind": one.shape[0], "min_lr": one.shape[1], "text": dict(one.text)})
    return rows


def matched(runs: Sequence[RunResult], axis: str, one: str, other: str) -> list[tuple[RunResult, RunResult]]:
    """Return pairs of finished runs at two levels of an axis that have the seed and all other levels in common."""
    at = {
        level: {_block(run, axis): run for run in runs if run.levels.get(axis) == level and run.outcome == "done"}
        for level in (one, other)
    }
    return [(run, at[other][block]) for block, run in at[one].items() if block in at[other]]


def final_score(sources: Sequence[str]) -> Metric:
    """Return the metric of all held-out text of these sources as one at the end, in bits per byte."""

    def bits_per_byte(run: RunResult) -> float:
        table = (run.table or {}).get("source", {})
        return pooled(table[name] for name in sources if name in table).bits_per_byte

    return bits_per_byte


def contrasts_of(
    runs: Sequence[RunResult], axes: Sequence[str], config: ContinuedAnalysis, metrics: Mapping[str, Metric]
) -> list[dict[str, Any]]:
    """Return the effects of single causes: pairs of levels of an axis that differ in one thing, and each level against the first.

    A contrast has `axis`, `one`, `other`, `cause` ("peak", "warm-up", "replay" or "text"), `also` (what else differs: of a peak the
    rest of the schedule, of text replay), `one_value` and `other_value` of the cause (None of text), and for each metric what
    `effects_of` gives of other minus one: `difference`, `stderr`, `low`, `high`, `p`, `p_holm` (corrected for all contrasts of this
    cause) and `paired`. The cause is greater at `other`; of text, `one` is the first level.
    """
    found: list[dict[str, Any]] = []
    for axis in axes:
        levels = list(by_level(runs, axis))
        told = {(base, name): _effects(runs, axis, metric, base) for base in levels for name, metric in metrics.items()}
        found += [
            row | {name: told[row["one"], name][row["other"]] for name in metrics} for row in _pairs(runs, axis, levels, config)
        ]
    for cause in dict.fromkeys(row["cause"] for row in found):
        of_cause = [row for row in found if row["cause"] == cause]
        for name in metrics:
            for row, p in zip(of_cause, holm([row[name]["p"] for row in of_cause]), strict=True):
                row[name] = {**row[name], "p_holm": p}
    return found


def _pairs(runs: Sequence[RunResult], axis: str, levels: Sequence[str], config: ContinuedAnalysis) -> Iterator[dict[str, Any]]:
    """Yield what is compared and why; levels whose runs differ now in this and now in that are not."""
    for place, one in enumerate(levels):
        for other in levels[place + 1 :]:
            settings = [(setting_of(a, config), setting_of(b, config)) for a, b in matched(runs, axis, one, other)]
            kinds = {differs(*pair) for pair in settings}
            what = kinds.pop() if len(kinds) == 1 else ()
            cause = _cause(what)
            is_wanted = cause and (place == 0 or (what == (cause,) and cause != "text"))
            values = [getattr(setting, _VALUES.get(cause, ""), None) for setting in (settings[0] if settings else ())]
            if not is_wanted or (cause in _VALUES and None in values):
                continue
            ends = list(zip((one, other), values, strict=True))
            (low, low_value), (high, high_value) = sorted(ends, key=lambda end: float(end[1] or 0))
            row: dict[str, Any] = {"axis": axis, "one": low, "other": high, "cause": cause}
            yield row | {"also": [name for name in what if name != cause], "one_value": low_value, "other_value": high_value}


def _cause(what: Sequence[str]) -> str:
    """Return the one thing that a difference is put down to; nothing where there are several."""
    if "text" in what:
        return "text" if set(what) <= {"text", "replay"} else ""
    if "peak" in what and set(what) <= set(_RATE):
        return "peak"
    return what[0] if tuple(what) in (("warm-up",), ("replay",)) else ""


def _family(what: Sequence[str]) -> str:
    if what and set(what) <= set(_RATE):
        return "rate"
    return _cause(what) or "other"


def _effects(runs: Sequence[RunResult], axis: str, metric: Metric, base: str) -> dict[str, dict[str, Any]]:
    keys = ("difference", "stderr", "low", "high", "p", "paired")
    return {row["level"]: {key: row.get(key) for key in keys} for row in effects_of(runs, axis, metric, base)["rows"]}


def _block(run: RunResult, axis: str) -> tuple[int, tuple[tuple[str, str], ...]]:
    return run.seed, tuple(sorted((name, level) for name, level in run.levels.items() if name != axis))


def _same_shares(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return all(abs(one.get(name, 0.0) - other.get(name, 0.0)) < _SAME_SHARE for name in {*one, *other})
