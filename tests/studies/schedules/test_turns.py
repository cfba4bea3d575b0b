from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.study import SchedulesAnalysis
from pellucid.recipe.training import ScheduleConfig
from pellucid.studies.results import RunResult
from pellucid.studies.schedules.cells import cells_of
from pellucid.studies.schedules.turns import common_peak, not_turned, turn_step

Make = Callable[..., RunResult]
LENGTHS = ("short", "middle", "long")
CONFIG = SchedulesAnalysis(length="length")


@given(
    kind=st.sampled_from(["hyb", "hyb2"]),
    warmup=st.integers(0, 50),
    period=st.one_of(st.none(), st.integers(100, 500)),
    low=st.floats(0, 5e-4),
)
def test_a_hybrid_is_half_way_between_its_peak_and_its_minimum_where_it_turns(
    kind: str, warmup: int, period: int | None, low: float
) -> None:
    """Eq. 1: the cosine is at its middle there, and it is the curve's steepest place."""
    config = ScheduleConfig(kind=kind, peak_lr=1e-3, min_lr=low, warmup_steps=warmup, period_steps=period)  # type: ignore[arg-type]
    turn = turn_step(config, 1000)
    assert turn is not None and learning_rate(config, turn, 1000) == pytest.approx((1e-3 + low) / 2)
    at = [learning_rate(config, turn + shift, 1000) for shift in (-20, -10, 0, 10, 20)]
    falls = [before - after for before, after in pairwise(at)]
    assert falls[0] < falls[1] and falls[2] > falls[3]


def test_other_curves_do_not_turn() -> None:
    for kind in ("cosine", "linear", "constant", "rsqrt"):
        assert turn_step(ScheduleConfig(kind=kind, peak_lr=1e-3, warmup_steps=4), 100) is None
    assert turn_step(ScheduleConfig(kind="hyb", peak_lr=1e-3, min_lr=1e-3), 100) is None


def test_runs_that_are_cooled_down_before_they_turn_are_named(schedule_run: Make) -> None:
    """4 steps of warm-up and a period of 76: hyb turns at 23, hyb2 at 42; cool-downs begin after 18, 36 and 72."""
    runs = [schedule_run(name, length, 1, 2.0) for name in ("cosine", "rsqrt", "hyb", "hyb2") for length in LENGTHS]
    assert [tuple(row.values()) for row in not_turned(cells_of(runs, CONFIG))] == [
        ("hyb", "short", 23.0, 18),
        ("hyb2", "short", 42.0, 18),
        ("hyb2", "middle", 42.0, 36),
    ]
    failed = [replace(run, stages=()) for run in runs]
    assert not_turned(cells_of(failed, CONFIG)) == [] and common_peak(cells_of(failed, CONFIG)) is None


def test_a_peak_is_common_only_where_all_schedules_have_it(schedule_run: Make) -> None:
    runs = [schedule_run(name, "long", 1, 2.0) for name in ("cosine", "rsqrt", "hyb")]
    assert common_peak(cells_of(runs, CONFIG)) == 1e-3
    assert common_peak(cells_of(runs[:1], CONFIG)) is None
    stage = replace(runs[0].stages[0], schedule={**runs[0].stages[0].schedule, "peak_lr": 2e-3})
    assert common_peak(cells_of([replace(runs[0], stages=(stage,)), *runs[1:]], CONFIG)) is None
