"""Runs of studies made by hand: what analyses are given."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pellucid.studies.results import RunResult, Scores


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
