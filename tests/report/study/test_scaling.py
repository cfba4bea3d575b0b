"""The section on what the analysis makes of runs: from the values to the page."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pellucid.recipe.study import CompareConfig, ScalingAnalysis
from pellucid.report.blocks import Figure, Note, Paragraph, Section, Table
from pellucid.report.html import render
from pellucid.report.study.scaling import scaling_section
from pellucid.studies.results import RunResult, Scores, Stage
from pellucid.studies.scaling.analyse import analyse_scaling

PARAMETERS = {"s1": 275_000, "s2": 420_000, "s3": 630_000, "s4": 1_010_000, "s5": 1_650_000}


def a_run(rung: str, seed: int, value: float) -> RunResult:
    parameters = PARAMETERS[rung]
    scores = Scores(value * math.log(2) * 1e4, 10_000, 5)
    return RunResult(
        name=f"{rung}-s{seed}",
        levels={"rung": rung},
        seed=seed,
        outcome="done",
        parameters=parameters,
        embedding_parameters=parameters // 2,
        planned_flops=24.0 * parameters**2,
        stages=(Stage("pretrain", parameters // 250, 1000, 250, {}, (), (), (), ()),),
        table={"all": {"all": scores}, "language": {"de": scores, "en": scores}},
    )


def ladder(last: float = 1.0) -> list[RunResult]:
    generator, runs = np.random.default_rng(2), []
    for rung, parameters in PARAMETERS.items():
        for seed in (1, 2, 3):
            value = (1.2 + 1.1 * (parameters / 275_000) ** -0.4) * math.exp(generator.normal(0, 0.004))
            runs.append(a_run(rung, seed, value * (last if rung == "s5" else 1.0)))
    return runs


def values(runs: list[RunResult], forecast: tuple[str, ...] = ("s5",)) -> dict[str, Any]:
    return analyse_scaling(runs, ScalingAnalysis(forecast=forecast), CompareConfig())


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return values(ladder())


def texts(section: Section) -> str:
    lines = [block.parts for block in section.blocks if isinstance(block, Paragraph | Note)]
    return " ".join(part for parts in lines for part in parts if isinstance(part, str))


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def test_the_forecast_is_told_in_a_sentence_beside_what_came(found: dict[str, Any]) -> None:
    told = texts(scaling_section(found))
    (made,) = found["forecasts"]
    assert "The law is fitted to s1, s2, s3 and s4, and forecasts s5." in told
    assert f"was forecast at {made['value']:.3f} [{made['low']:.3f}, {made['high']:.3f}]." in told
    assert f"The mean of its 3 runs is {made['came']:.3f}" in told
    side = "high" if made["error_percent"] > 0 else "low"
    assert f"the forecast was {abs(made['error_percent']):.2f} % too {side}. What came lies inside the interval" in told


def test_what_comes_outside_its_interval_is_said_to() -> None:
    told = texts(scaling_section(values(ladder(last=1.3))))
    assert "What came lies outside the interval; 0 of 3 single runs do." in told


def test_a_rung_that_was_not_run_has_its_forecast_alone() -> None:
    runs = [replace(run, outcome="not begun", table=None) if run.levels["rung"] == "s5" else run for run in ladder()]
    section = scaling_section(values(runs))
    assert "It has not been run." in texts(section)
    forecast = next(one for one in tables(section) if "Forecast by" in one.columns)
    assert {row.cells[3] for row in forecast.rows} == {"not run"}
    assert {row.cells[4] for row in forecast.rows} == {"–"}


def test_every_rung_parameter_step_and_group_is_in_a_table(found: dict[str, Any]) -> None:
    section = scaling_section(found)
    rungs, forecasts, law, steps, groups = tables(section)
    assert [row.cells[0] for row in rungs.rows] == ["s1", "s2", "s3", "s4", "s5, forecast"]
    assert rungs.rows[0].cells[7] == f"{found['rungs'][0]['mean']:.4f}"
    assert [row.cells[1] for row in forecasts.rows][:1] == ["the law"]
    assert [row.cells[0] for row in law.rows][:3] == ["E", "A", "a"]
    assert [row.kind for row in law.rows] == ["", "", "", "printed first", *["printed"] * 4]
    assert all("printed" in str(row.cells[0]) for row in law.rows[3:])
    assert [row.cells[1] for row in steps.rows] == ["better"] * 4
    assert [row.cells[0] for row in groups.rows] == ["de", "en"]
    assert "lies inside the interval for 2 of 2" in groups.caption
    assert "cannot be read from this ladder" in texts(section)


def test_steps_smaller_than_what_seeds_do_are_said_not_to_be_told_apart() -> None:
    runs = [a_run(rung, seed, 2.0 + value + 0.1 * seed) for rung, value in (("s1", 0.01), ("s2", 0.0)) for seed in (1, 2, 3)]
    steps = next(one for one in tables(scaling_section(values(runs))) if "Step" in one.columns)
    assert [row.cells[1] for row in steps.rows] == ["cannot be told apart"]
    one_seed = [run for run in runs if run.seed == 1]
    steps = next(one for one in tables(scaling_section(values(one_seed))) if "Step" in one.columns)
    assert [row.cells[1] for row in steps.rows] == ["not known"]


def test_the_page_shows_text_from_outside_as_text(found: dict[str, Any]) -> None:
    runs = [replace(run, levels={"rung": run.levels["rung"].replace("s1", "<b>$s$")}) for run in ladder()]
    page = render(scaling_section(values(runs)))
    assert "<b>$s$" not in page
    assert "&lt;b&gt;$s$" in page
    assert len(re.findall(r"<figure class=\"drawing\">", page)) == 2


def test_runs_without_a_law_have_a_section_all_the_same() -> None:
    few = scaling_section(values([a_run("s1", 1, 2.5), a_run("s5", 1, 2.0)]))
    assert "s5: no law, no forecast." in texts(few)
    assert "One size is no ladder" in texts(few)
    assert any(isinstance(block, Figure) for block in few.blocks)
    none = scaling_section(values([]))
    assert "No run is of a rung whose size is known." in texts(none)


def test_a_law_of_parameters_and_tokens_says_what_compute_is_best_spent_on() -> None:
    runs = []
    for n in (1_000_000, 2_000_000, 4_000_000):
        for d in (10_000_000, 30_000_000, 90_000_000):
            for seed in (1, 2):
                run = a_run("s1", seed, (1.2 + 30 / n**0.3 + 200 / d**0.35) * (1 + 0.001 * seed))
                stage = Stage("pretrain", d // 1000, 1000, 250, {}, (), (), (), ())
                more = {"levels": {"rung": f"{n}-{d}"}, "parameters": n, "stages": (stage,), "planned_flops": 6.0 * n * d}
                runs.append(replace(run, **more))
    found = values(runs, ())
    section = scaling_section(found)
    best = tables(section)[-1]
    assert best.rows[3].cells[0] == "Power of compute that parameters grow with"
    assert best.rows[3].cells[1] == f"{found['optimum']['parameters_exponent']['value']:.3g}"
    assert "cannot be read from this ladder" not in texts(section)
