from collections.abc import Callable

import numpy as np
import pytest

from pellucid.recipe.study import SchedulesAnalysis
from pellucid.studies.results import RunResult
from pellucid.studies.schedules.cells import cells_of
from pellucid.studies.schedules.finals import claim_of, finals_at, freedom_of

Make = Callable[..., RunResult]
NAMES = ("cosine", "rsqrt", "hyb", "hyb2")


def bits(run: RunResult) -> float:
    return run.bits_per_byte()


def study(
    make_run: Make, effects: dict[str, float], noise: float, generator: np.random.Generator, lengths: tuple[str, ...] = ("long",)
) -> list[RunResult]:
    """Three seeds at each length: 2 bits, what the schedule adds, what the seed adds (0.05), and noise."""
    runs = []
    for length in lengths:
        for seed in (1, 2, 3):
            at = 2 + generator.normal(0, 0.05)
            for name, add in effects.items():
                runs.append(make_run({"schedule": name, "length": length}, seed, at + add + generator.normal(0, noise)))
    return runs


def test_each_schedule_is_compared_at_its_own_length_by_seed(schedule_run: Make) -> None:
    runs = [
        schedule_run(name, length, seed, at + add + 0.1 * seed)
        for length, at, adds in (("short", 3.0, (0.0, 0.3)), ("long", 2.0, (0.0, -0.1)))
        for seed in (1, 2, 3)
        for name, add in zip(("cosine", "hyb"), adds, strict=True)
    ]
    cells = cells_of(runs, SchedulesAnalysis(length="length"))
    short, long = (finals_at(cells, length, bits) for length in cells.lengths)
    cosine, hyb = short["rows"]
    assert short["baseline"] == "cosine" and (short["tokens"], long["tokens"]) == (2000, 8000)
    assert cosine["seeds"] == hyb["seeds"] == [1, 2, 3] and hyb["values"] == pytest.approx([3.4, 3.5, 3.6])
    assert hyb["difference"] == pytest.approx(0.3) and hyb["paired"] == pytest.approx([0.3] * 3)
    assert hyb["relative"] == pytest.approx(0.3 / 3.2) == pytest.approx(hyb["relative_low"])
    assert hyb["verdict"] == "worse" and long["rows"][1]["verdict"] == "better"
    assert short["spread"] == pytest.approx(0.1) and short["widest"]["of_spread"] == pytest.approx(3.0)
    assert (short["widest"]["best"], short["widest"]["worst"]) == ("cosine", "hyb")
    assert (long["widest"]["best"], long["widest"]["worst"]) == ("hyb", "cosine")


def test_half_the_interval_is_what_can_be_resolved(make_run: Make) -> None:
    cells = cells_of(study(make_run, dict.fromkeys(NAMES, 0.0), 0.01, np.random.default_rng(3)), SchedulesAnalysis())
    found = finals_at(cells, None, bits)
    cosine, *others = found["rows"]
    reaches = [(row["high"] - row["low"]) / 2 / cosine["mean"] for row in others]
    assert found["resolved"] == pytest.approx(max(reaches)) and reaches == pytest.approx([reaches[0]] * 3)
    assert all(row["relative_low"] < row["relative"] < row["relative_high"] for row in others)


def test_the_widest_difference_is_tested_as_one_picked_out_of_all_pairs(make_run: Make) -> None:
    """Were it tested as if it had been named beforehand, a fifth of studies in which nothing is there would find something."""
    generator, alarms, covered, draws = np.random.default_rng(0), 0, 0, 80
    truth = {"cosine": 0.0, "rsqrt": 0.03, "hyb": 0.01, "hyb2": 0.0}
    for _ in range(draws):
        cells = cells_of(study(make_run, dict.fromkeys(NAMES, 0.0), 0.01, generator), SchedulesAnalysis())
        alarms += finals_at(cells, None, bits)["widest"]["p"] < 0.05
        cells = cells_of(study(make_run, truth, 0.01, generator), SchedulesAnalysis())
        found = finals_at(cells, None, bits)
        widest, best = found["widest"], next(row["mean"] for row in found["rows"] if row["level"] == found["widest"]["best"])
        covered += widest["low"] * best <= truth[widest["worst"]] - truth[widest["best"]] <= widest["high"] * best
    # Of 80 draws at 5 %: a binomial has 10 or fewer with p = 0.998.
    assert alarms <= 10 and covered >= draws - 10


def test_intervals_are_wider_where_more_lengths_are_looked_at(make_run: Make) -> None:
    runs = study(make_run, dict.fromkeys(NAMES, 0.0), 0.01, np.random.default_rng(1), ("short", "middle", "long"))
    of_all = finals_at(cells_of(runs, SchedulesAnalysis(length="length")), "long", bits)["widest"]
    of_one = finals_at(cells_of(runs[-12:], SchedulesAnalysis(length="length")), "long", bits)["widest"]
    assert of_all["p"] == of_one["p"] and of_all["low"] < of_one["low"] < of_one["high"] < of_all["high"]


@pytest.mark.parametrize(
    ("effect", "noise", "is_within", "verdict"),
    [(0.002, 0.0005, True, "within 1 %"), (0.002, 0.05, None, "cannot be told"), (0.2, 0.005, False, "beyond 1 %")],
)
def test_the_reports_one_percent_is_held_against_the_intervals(
    make_run: Make, effect: float, noise: float, is_within: bool | None, verdict: str
) -> None:
    effects = {"cosine": 0.0, "hyb": effect}
    cells = cells_of(
        study(make_run, effects, noise, np.random.default_rng(6), ("short", "long")), SchedulesAnalysis(length="length")
    )
    finals = [finals_at(cells, length, bits) for length in cells.lengths]
    claim = claim_of(finals, "widest")
    assert claim is not None and claim["verdict"] == verdict and claim["limit"] == 0.01
    assert is_within is None or claim["is_within"] is is_within
    at = max(finals, key=lambda one: one["widest"]["relative"])
    assert (claim["length"], claim["relative"]) == (at["length"], at["widest"]["relative"])


def test_the_reports_one_percent_is_of_its_three_schedules_only(schedule_run: Make) -> None:
    values = {"rsqrt": 2.1, "cosine": 2.0, "hyb2": 2.004, "hyb": 2.01}
    runs = [schedule_run(name, "long", seed, value + seed / 100) for name, value in values.items() for seed in (1, 2, 3)]
    found = finals_at(cells_of(runs, SchedulesAnalysis()), None, bits)
    assert (found["widest"]["worst"], found["widest_of_report"]["worst"]) == ("rsqrt", "hyb")
    assert found["widest_of_report"]["relative"] == pytest.approx(0.01 / 2.02)
    of_all, of_three = (claim_of([found], "widest"), claim_of([found], "widest_of_report"))
    assert of_all is not None and of_three is not None and (of_all["is_within"], of_three["is_within"]) == (False, True)
    two = finals_at(cells_of(runs[:6], SchedulesAnalysis()), None, bits)
    assert two["widest"] is not None and two["widest_of_report"] is None and claim_of([two], "widest_of_report") is None


def test_one_seed_gives_differences_without_any_certainty(schedule_run: Make) -> None:
    cells = cells_of([schedule_run(name, "long", 1, 2 + at / 100) for at, name in enumerate(NAMES)], SchedulesAnalysis())
    found = finals_at(cells, None, bits)
    known = {"best": "cosine", "worst": "hyb2", "difference": pytest.approx(0.03), "relative": pytest.approx(0.015)}
    assert found["widest"] == known | dict.fromkeys(("of_spread", "p", "low", "high"))
    assert found["resolved"] is None and found["rows"][1]["relative_low"] is None
    claim = claim_of([found], "widest")
    assert claim is not None and claim["verdict"] == "cannot be told" and not claim["is_within"]


def test_schedules_without_a_seed_in_common_and_one_schedule_alone(schedule_run: Make) -> None:
    apart = cells_of([schedule_run("cosine", "long", 1, 2.0), schedule_run("hyb", "long", 2, 2.1)], SchedulesAnalysis())
    widest = finals_at(apart, None, bits)["widest"]
    assert widest["difference"] == pytest.approx(0.1) and widest["p"] is None
    alone = cells_of([schedule_run("cosine", "long", seed, 2.0) for seed in (1, 2)], SchedulesAnalysis())
    found = finals_at(alone, None, bits)
    assert found["widest"] is None and claim_of([found], "widest") is None and claim_of([], "widest") is None
    equal = cells_of([schedule_run(name, "long", seed, 2.0) for name in NAMES for seed in (1, 2)], SchedulesAnalysis())
    assert finals_at(equal, None, bits)["widest"]["difference"] == 0


def test_degrees_of_freedom_are_those_of_a_two_way_layout(make_run: Make) -> None:
    runs = study(make_run, dict.fromkeys(NAMES, 0.0), 0.01, np.random.default_rng(0))
    assert freedom_of(runs, "schedule", bits) == (4 - 1) * (3 - 1)
    assert freedom_of(runs[:-1], "schedule", bits) == (4 - 1) * (3 - 1) - 1
