"""Runs of studies made by hand: what analyses are given."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pellucid.studies.results import Point, RunResult, Scores, Stage, Table, pooled


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
