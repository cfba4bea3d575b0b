"""The section on what the analysis makes of runs: from the values to the page."""

import math
import re
from dataclasses import replace

import pytest

from pellucid.optim.schedules import learning_rate
from pellucid.recipe.study import CompareConfig, SchedulesAnalysis
from pellucid.recipe.training import ScheduleConfig
from pellucid.report.blocks import Figure, Section, Table
from pellucid.report.drawings import name_figures
from pellucid.report.html import render
from pellucid.report.study.schedules import schedules_section
from pellucid.studies.results import Cost, RunResult, Scores, Stage
from pellucid.studies.schedules.analyse import analyse_schedules

CONFIG = SchedulesAnalysis(length="length", trunk="hyb")
VALUES = {"cosine": 0.0, "rsqrt": 0.05, "hyb": 0.002}


def a_run(schedule: str, length: str, seed: int) -> RunResult:
    total, value = {"1k": 100, "2k": 200}[length], 2.0 + VALUES[schedule] + 0.01 * seed + 0.001 * math.sin(seed * len(schedule))
    is_trunk = schedule == "hyb"
    config = ScheduleConfig(
        kind=schedule,  # type: ignore[arg-type]
        peak_lr=1e-3,
        warmup_steps=10,
        rsqrt_flat_steps=10,
        period_steps=190 if is_trunk else None,
        cooldown_steps=0 if schedule == "cosine" else total // 10,
    )
    steps = range(1, total + 1)
    rates = [learning_rate(config, step, total) for step in steps]
    losses = [value + 3 * math.exp(-step / 20) for step in steps]
    stage = Stage("pretrain", total, 10, 5, config.model_dump(mode="json"), list(steps), rates, losses, [1.0] * total)
    shared = 900 if is_trunk and length == "1k" else 0
    return RunResult(
        name=f"{schedule}-{length}-s{seed}",
        levels={"schedule": schedule, "length": length},
        seed=seed,
        outcome="done",
        stages=(stage,),
        table={"all": {"all": Scores(value * math.log(2) * 1e4, 10_000, 5)}},
        cost=Cost(tokens=10 * total - shared, shared_tokens=shared),
    )


@pytest.fixture(scope="module")
def runs() -> list[RunResult]:
    return [a_run(schedule, length, seed) for length in ("1k", "2k") for schedule in VALUES for seed in (1, 2, 3)]


def section_of(runs: list[RunResult], config: SchedulesAnalysis = CONFIG, metric: str = "bits_per_byte") -> Section:
    compare = CompareConfig(metric=metric, loss_steps=10)  # type: ignore[arg-type]
    return schedules_section(analyse_schedules(runs, config, compare))


@pytest.fixture(scope="module")
def whole(runs: list[RunResult]) -> Section:
    return section_of(runs)


def test_the_section_shows_rates_losses_ends_means_and_the_trunk(whole: Section) -> None:
    figures = [block for block in whole.blocks if isinstance(block, Figure)]
    assert [one.caption.partition(".")[0].partition(":")[0] for one in figures] == [
        "Rates by step at the longest length, as planned",
        "Rates of the trunk and of what branches off it, as planned",
        "Training loss at the longest length, from a quarter of it on",
        "Training loss of the trunk and of what was cooled down from it, from a tenth on",
        "Final bits per byte of held-out text, by length",
        "Difference to cosine at the same length, with 95 % intervals; left of 0 is better",
        "Difference to cosine over the mean rate, with 95 % intervals, a line for each length",
    ]
    assert len(set(name_figures([whole]).values())) == len(figures)
    page = render(whole)
    for told in (
        "3 schedules at 2 lengths with 3 seeds",
        "The rates that training used are exactly these.",
        "The report prints that the final losses",
        "of 2 lengths: worse at 2.",
        "too few schedules to tell",
        "30 % of that was saved",
        "The report&#x27;s average rates",
    ):
        assert told in page, told


def test_curves_are_those_of_the_runs(whole: Section, runs: list[RunResult]) -> None:
    rates, trunk, loss, of_trunk, *_ = (block.drawing for block in whole.blocks if isinstance(block, Figure))
    assert rates.columns == ("step", *VALUES) and len(rates.rows) == 200
    assert trunk.columns == ("step", "hyb, 2k", "hyb, 1k")
    shared = [row for row in trunk.rows if row[2] is not None]
    assert len(shared) == 100 and all((row[1] == row[2]) == (row[0] <= 90) for row in shared)
    assert loss.columns[:4] == ("tokens, millions", "cosine", "cosine, low", "cosine, high") and loss.rows[0][0] == 500 / 1e6
    assert of_trunk.rows[0][0] == 200 / 1e6
    at_end = [run.stages[0].losses for run in runs if run.name.startswith("cosine-2k")]
    assert loss.rows[-1][1] == pytest.approx(sum(sum(losses[-10:]) / 10 for losses in at_end) / 3)


def test_mean_rates_as_planned_and_used_stand_side_by_side(whole: Section) -> None:
    table = next(block for block in whole.blocks if isinstance(block, Table))
    assert table.columns == ("Schedule", "1k, planned", "1k, used", "2k, planned", "2k, used")
    cosine = next(row.cells for row in table.rows if row.cells[0] == "cosine")
    assert cosine == ("cosine", "5.00e-4", "5.00e-4", "5.00e-4", "5.00e-4")


def test_a_departure_from_the_plan_is_told(runs: list[RunResult]) -> None:
    stage = replace(runs[0].stages[0], rates=[2 * rate for rate in runs[0].stages[0].rates])
    page = render(section_of([replace(runs[0], stages=(stage,))]))
    assert "depart from these by up to 1 of their value" in page


def test_little_or_nothing_still_makes_a_page(runs: list[RunResult]) -> None:
    failed = replace(runs[0], outcome="failed", table=None, message="<b>it diverged</b>", stages=())
    no_number = replace(runs[3], stages=(replace(runs[3].stages[0], losses=[math.nan] * 100),))
    for few in ([], [failed], [failed, runs[3]], [runs[0], no_number]):
        page = render(section_of(few, metric="loss"))
        assert "average rates" in page and "<b>it" not in page and not re.search(r"\bnan\b", page)
    assert "One seed only" in page and "not compared" in page


def test_a_study_needs_no_axis_of_lengths_nor_a_trunk(runs: list[RunResult]) -> None:
    page = render(section_of(runs[:9], SchedulesAnalysis()))
    assert "3 schedules at 1 length with 3 seeds" in page and "at its only length" in page and "trunk" not in page
    assert "No run has a level of the axis of schedules." in render(section_of(runs[:1], SchedulesAnalysis(schedule="elsewhere")))
