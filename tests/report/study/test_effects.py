"""The section on what effects are worked out from runs: from the values to the page."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pellucid.report.blocks import Details, Figure, Paragraph, Section, Table
from pellucid.report.html import render
from pellucid.report.study.effects import effects_section
from pellucid.studies.effects import effects_of
from pellucid.studies.results import RunResult, Scores

LEVELS = {"base": 2.0, "far": 1.8, "near": 1.99, "alike": 2.0001}
SEEDS = {1: 0.03, 2: -0.02, 3: 0.0, 4: -0.01}


def a_run(level: str, seed: int, value: float, **more: Any) -> RunResult:
    scores = {name: Scores(bits * math.log(2) * 1e4, 10_000, 5) for name, bits in (("all", value), ("de", value + 0.1))}
    table = {"all": {"all": scores["all"]}, "language": {"de": scores["de"]}}
    return RunResult(
        **{"name": f"{level}-s{seed}", "levels": {"x": level}, "seed": seed, "outcome": "done", "table": table, **more}
    )


def values(runs: list[RunResult]) -> dict[str, Any]:
    by_language = [effects_of(runs, "x", lambda run: run.bits_per_byte("language", "de"))]
    return {
        "metric": "bits_per_byte",
        "axes": [effects_of(runs, "x", RunResult.bits_per_byte)],
        "by_group": {"language": {"de": by_language}, "category": {}},
        "spread": None,
        "runs": len(runs),
    }


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    generator = np.random.default_rng(6)
    return values([a_run(x, seed, LEVELS[x] + SEEDS[seed] + generator.normal(0, 0.001)) for x in LEVELS for seed in SEEDS])


def words(section: Section) -> str:
    return " ".join(str(part) for block in section.blocks if isinstance(block, Paragraph) for part in block.parts)


def table_of(section: Section) -> Table:
    return next(block for block in section.blocks if isinstance(block, Table))


def test_effects_are_sorted_by_whether_they_are_larger_than_the_spread_and_told_apart(found: dict[str, Any]) -> None:
    told = words(effects_section(found))
    rows = {row["level"]: row for row in found["axes"][0]["rows"]}
    large, small = rows["far"], rows["near"]
    assert (
        f"Larger than the spread over seeds: far (x) is better by {-large['difference']:.4f}, {large['of_spread']:.1f} times"
        in told
    )
    assert (
        f"seen because runs are paired by seed: near (x) is better by {-small['difference']:.4f}, {small['of_spread']:.1f} times"
        in told
    )
    assert "Cannot be told apart from their baseline: alike (x); that does not make them alike." in told


def test_the_table_has_each_level_with_its_difference_interval_and_verdict(found: dict[str, Any]) -> None:
    table = table_of(effects_section(found))
    rows = {str(row.cells[0]): row for row in table.rows}
    assert rows["base"].cells[1] == "baseline" and rows["base"].cells[4:] == (None,) * 4
    far = found["axes"][0]["rows"][1]
    assert rows["far"].cells[4] == f"−{-far['difference']:.4f} [−{-far['low']:.4f}, −{-far['high']:.4f}]"
    assert rows["far"].cells[5] == f"−{-100 * far['relative']:.2f}"
    assert rows["far"].cells[1] == "better"
    assert [name for name, row in rows.items() if row.kind == "told"] == ["far", "near"]
    assert f"{found['axes'][0]['spread']:.4f}" in table.caption


def test_groups_stand_behind_a_line_that_opens_them(found: dict[str, Any]) -> None:
    (opened,) = (block for block in effects_section(found).blocks if isinstance(block, Details))
    assert opened.summary == "x by language"
    drawn, table = opened.blocks
    assert isinstance(drawn, Figure) and drawn.drawing.columns[1:3] == ("far", "far, low")
    assert isinstance(table, Table) and [row.cells[:2] for row in table.rows] == [("de", "far"), ("de", "near"), ("de", "alike")]


def test_one_seed_and_failed_levels_are_not_compared() -> None:
    runs = [a_run("base", 1, 2.0), a_run("far", 1, 1.8), a_run("gone", 1, 9.9, outcome="failed", table=None)]
    section = effects_section(values(runs))
    assert "Not compared, for want of runs: far (x) and gone (x)." in words(section)
    rows = {str(row.cells[0]): row.cells for row in table_of(section).rows}
    assert rows["far"][4] == "−0.2000"
    assert rows["gone"][3:5] == ("–", "–")
    assert "nothing tells how much of a difference is chance" in table_of(section).caption


def test_without_two_levels_nothing_is_said_of_effects() -> None:
    section = effects_section(values([a_run("base", 1, 2.0)]))
    assert "nothing can be said of effects" in words(section)
    assert len(section.blocks) == 1


def test_names_from_outside_are_shown_as_text() -> None:
    runs = [a_run(level, seed, 2.0 + seed / 50 + bits) for level, bits in (("a", 0.0), ("<i>$x$", 0.3)) for seed in (1, 2, 3)]
    page = render(effects_section(values(runs)))
    assert "<i>$x$" not in page
    assert "&lt;i&gt;$x$" in page


def test_noise_that_one_level_has_most_of_is_told_and_so_is_an_effect_that_turns_with_another_axis() -> None:
    generator = np.random.default_rng(3)
    noise = dict(zip(LEVELS, (0.001, 0.001, 0.08, 0.001), strict=True))
    told = values([a_run(x, seed, LEVELS[x] + SEEDS[seed] + generator.normal(0, noise[x])) for x in LEVELS for seed in SEEDS])
    caption = table_of(effects_section(told)).caption
    assert "That noise is not the same for all levels: near has " in caption and "by its two levels alone" in caption
    runs = [
        replace(a_run(x, seed, value + SEEDS[seed] + generator.normal(0, 0.001)), name=f"{x}-{y}-s{seed}", levels={"x": x, "y": y})
        for seed in SEEDS
        for (x, y), value in {("a", "p"): 2.0, ("a", "q"): 2.0, ("b", "p"): 1.9, ("b", "q"): 2.05}.items()
    ]
    shown = effects_section(values(runs))
    assert "Not the same everywhere, so that a mean says little: b (x): −0.0994 at p, +0.0490 at q (y)" in words(shown)
    row = table_of(shown).rows[1]
    assert str(row.cells[1]) == "better, on average; −0.0994 at p, +0.0490 at q (y)"


def test_groups_are_left_to_another_section_that_has_them(found: dict[str, Any]) -> None:
    assert not any(isinstance(block, Details) for block in effects_section(found, by_group=False).blocks)
