"""Runs of studies made by hand: what analyses are given."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.training import ScheduleConfig
from pellucid.studies.results import Cost, Point, RunResult, Scores, Stage, Table, pooled


@pytest.fixture
def make_run() -> Callable[..., RunResult]:
    """Return a maker of runs: `make_run(levels, seed, value)` scores `value` bits per byte; by group in `groups`."""

    def make(
        levels: Mapping[str, str], seed: int, value: float, groups: Mapping[str, Mapping[str, float]] | None = None, **more: Any
    ) -> RunResult:
        def scores(bits: float) -> Scores:
            return Scores(bits * math.log(2) * 10_000, 10_000, 7)

        table = {"all": {"all": scores(value)}}
        for kind, of_kind in (groups or {}).items():
            table[kind] = {group: scores(bits) for group, bits in of_kind.items()}
        name = "-".join([*levels.values(), f"s{seed}"])
        return RunResult(**{"name": name, "levels": dict(levels), "seed": seed, "outcome": "done", "table": table, **more})

    return make


CURVES: dict[str, dict[str, Any]] = {
    "cosine": {"kind": "cosine"},
    "rsqrt": {"kind": "rsqrt", "rsqrt_flat_steps": 4},
    "hyb": {"kind": "hyb", "period_steps": 76},
    "hyb2": {"kind": "hyb2", "period_steps": 76},
}
STEPS = {"short": 20, "middle": 40, "long": 80}


@pytest.fixture
def schedule_run(make_run: Callable[..., RunResult]) -> Callable[..., RunResult]:
    """Return a maker of runs of a study of schedules: `schedule_run("hyb", "short", seed, value)` trained with hyb for 20 steps of
    100 tokens, all but cosine cooled down over the last tenth; with `first`, from that step of the run at "long" on."""

    def make(schedule: str, length: str, seed: int, value: float, first: int = 1, **more: Any) -> RunResult:
        total = STEPS[length]
        given = {
            "peak_lr": 1e-3,
            "warmup_steps": 4,
            "cooldown_steps": 0 if schedule == "cosine" else total // 10,
            **CURVES[schedule],
        }
        config = ScheduleConfig(**given)
        steps = range(first, total + 1)
        rates = [learning_rate(config, step, total) for step in steps]
        losses = [value + 1 / step + 0.01 * math.sin(step * seed) for step in steps]
        stage = Stage("pretrain", total, 100, 10, config.model_dump(mode="json"), list(steps), rates, losses, [1.0 for _ in steps])
        shared = 100 * (first - 1)
        source = f"{schedule}-long-s{seed}" if shared else None
        cost = Cost(tokens=100 * total - shared, shared_tokens=shared)
        given = {"stages": (stage,), "cost": cost, "begins_with": source, **more}
        return make_run({"schedule": schedule, "length": length}, seed, value, **given)

    return make


@pytest.fixture
def make_continued() -> Callable[..., RunResult]:
    """Return a maker of runs with a stage `continue` on text of `new.a` after one on `old.a` and `old.b`.

    `make_continued(levels, seed, old, new)` has those bits per byte before the stage and every 1000 tokens on; the last ones are
    the final scores too. Of two categories, Books is `old.a`, and Web is `old.b` and `new.a`.
    """

    def make(
        levels: Mapping[str, str],
        seed: int,
        old: Sequence[float],
        new: Sequence[float],
        schedule: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        **more: Any,
    ) -> RunResult:
        def table(old_bits: float, new_bits: float) -> Table:
            sources = {"old.a": (old_bits, 6000), "old.b": (old_bits, 2000), "new.a": (new_bits, 2000)}
            scores = {name: Scores(bits * math.log(2) * size, size, 3) for name, (bits, size) in sources.items()}
            categories = {"Books": scores["old.a"], "Web": pooled([scores["old.b"], scores["new.a"]])}
            return {"all": {"all": pooled(scores.values())}, "source": scores, "category": categories}

        plain = {"kind": "cosine", "peak_lr": 4e-3, "min_lr": 4e-4, "warmup_steps": 8}
        stages = [
            Stage("pretrain", 100, 100, 10, plain, [99, 100], [5e-4, 4e-4], [3.0, 3.0], [1.0, 1.0]),
            Stage("continue", 10 * (len(old) - 1), 100, 10, {**plain, **(schedule or {})}, [1], [4e-4], [4.0], [1.0]),
        ]
        points = tuple(Point("continue", 10 * at, 1000 * at, table(*bits)) for at, bits in enumerate(zip(old, new, strict=True)))
        values: dict[str, Any] = {
            "name": "-".join([*levels.values(), f"s{seed}"]),
            "levels": dict(levels),
            "seed": seed,
            "outcome": "done",
            "stages": tuple(stages),
            "points": points,
            "table": table(old[-1], new[-1]),
            "weights": {"pretrain": {"old.a": 0.5, "old.b": 0.5}, "continue": weights or {"new.a": 1.0}},
        }
        return RunResult(**{**values, **more})

    return make
