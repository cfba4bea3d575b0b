import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pellucid.recipe.study import SchedulesAnalysis
from pellucid.studies.results import RunResult
from pellucid.studies.schedules.cells import Cells, cells_of
from pellucid.studies.schedules.curves import MOST_POINTS, loss_row, mean_row, rate_row, thinned

Make = Callable[..., RunResult]


def cells(*runs: RunResult) -> Cells:
    return cells_of(runs, SchedulesAnalysis(length="length"))


def with_losses(run: RunResult, losses: list[float]) -> RunResult:
    return replace(run, stages=(replace(run.stages[0], losses=losses),))


@pytest.mark.parametrize("count", [0, 1, 2, 199, 200, 201, 5000])
def test_thinning_keeps_both_ends_and_no_more_than_fits(count: int) -> None:
    places = thinned(count)
    assert len(places) == min(count, MOST_POINTS) == len(set(places))
    assert places == sorted(places) and (not count or (places[0], places[-1]) == (0, count - 1))
    assert max(np.diff(places), default=0) <= count / MOST_POINTS + 1


def test_rates_as_used_stand_beside_those_planned_and_a_departure_is_seen(schedule_run: Make) -> None:
    run = schedule_run("hyb", "long", 1, 2.0)
    row = rate_row(cells(run), "long", "hyb")
    assert row is not None and row["planned"] == row["used"] == run.stages[0].rates and row["departure"] == 0
    assert row["steps"] == list(range(1, 81)) and row["tokens"][-1] == 8000
    other = replace(run, stages=(replace(run.stages[0], rates=[1.01 * rate for rate in run.stages[0].rates]),))
    row = rate_row(cells(other), "long", "hyb")
    assert row is not None and row["departure"] == pytest.approx(0.01)


def test_a_schedule_whose_runs_all_failed_has_only_its_plan(schedule_run: Make) -> None:
    failed = schedule_run("hyb", "long", 1, 2.0, outcome="failed", table=None)
    row, mean = rate_row(cells(failed), "long", "hyb"), mean_row(cells(failed), "long", "hyb")
    assert row is not None and row["used"] is None and row["departure"] is None
    assert mean is not None and mean["used"] is None and mean["planned"] > 0
    assert loss_row(cells(failed), "long", "hyb", 10) is None
    assert rate_row(cells(replace(failed, stages=())), "long", "hyb") is None
    assert mean_row(cells(replace(failed, stages=())), "long", "hyb") is None


@pytest.mark.parametrize(("schedule", "share"), [("cosine", 0.5), ("hyb2", None)])
def test_means_as_planned_and_as_used_agree_to_the_width_of_a_step(schedule_run: Make, schedule: str, share: float | None) -> None:
    row = mean_row(cells(schedule_run(schedule, "long", 1, 2.0), schedule_run(schedule, "long", 2, 2.0)), "long", schedule)
    assert row is not None and row["used"] == pytest.approx(row["planned"], rel=0.5 / 80)
    assert share is None or row["planned"] == pytest.approx(share * 1e-3, rel=1e-3)


def test_the_mean_that_was_used_counts_the_shared_beginning_and_is_not_known_without_it(schedule_run: Make) -> None:
    long, short = schedule_run("hyb", "long", 1, 2.0), schedule_run("hyb", "short", 1, 2.0, first=19)
    alone = mean_row(cells(schedule_run("hyb", "short", 1, 2.0)), "short", "hyb")
    assert mean_row(cells(long, short), "short", "hyb") == alone
    lost = mean_row(cells(short), "short", "hyb")
    assert lost is not None and lost["used"] is None and alone is not None and lost["planned"] == alone["planned"]


def test_losses_are_smoothed_over_the_last_steps_and_end_with_the_loss_that_runs_are_compared_by(schedule_run: Make) -> None:
    losses = np.random.default_rng(1).normal(3, 1, 80)
    run = with_losses(schedule_run("cosine", "long", 1, 2.0), losses.tolist())
    row = loss_row(cells(run), "long", "cosine", 10)
    assert row is not None
    assert row["mean"][9:] == pytest.approx(np.convolve(losses, np.ones(10) / 10, "valid"))
    assert row["mean"][:10] == pytest.approx(np.cumsum(losses)[:10] / np.arange(1, 11))
    assert row["mean"][-1] == pytest.approx(run.final_loss(10))
    assert row["runs"] == 1 and row["low"] == row["high"] == [None] * 80


def test_the_band_is_one_standard_deviation_over_seeds_and_a_loss_that_is_no_number_leaves_a_gap(schedule_run: Make) -> None:
    runs = [with_losses(schedule_run("cosine", "short", seed, 2.0), [float(seed)] * 20) for seed in (1, 2, 3)]
    row = loss_row(cells(*runs), "short", "cosine", 5)
    assert row is not None and row["mean"] == [2.0] * 20
    assert row["low"] == pytest.approx([1.0] * 20) and row["high"] == pytest.approx([3.0] * 20)
    spoilt = with_losses(runs[0], [1.0] * 10 + [math.nan] + [1.0] * 9)
    row = loss_row(cells(spoilt, *runs[1:]), "short", "cosine", 5)
    assert row is not None and [value is None for value in row["mean"]] == [10 <= at < 15 for at in range(20)]


def test_steps_that_one_run_did_not_make_are_left_out_of_the_mean(schedule_run: Make) -> None:
    one, other = schedule_run("hyb", "short", 1, 2.0), schedule_run("hyb", "short", 2, 2.0, first=6, begins_with=None)
    row = loss_row(cells(one, other), "short", "hyb", 1)
    assert row is not None and row["tokens"] == [100 * step for step in range(6, 21)]
