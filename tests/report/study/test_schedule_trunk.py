from typing import Any

from pellucid.report.blocks import Paragraph, Table
from pellucid.report.study.schedule_trunk import schedule_trunk


def found(**more: Any) -> dict[str, Any]:
    costs = {"length": "1M", "tokens": 983_040, "runs": 3, "trained_tokens": 294_912, "steps": 240, "common_steps": 216}
    ends = {"trunk": 2.61, "baseline": 2.6, "relative": 0.004, "relative_low": -0.001, "relative_high": 0.009}
    row = costs | ends | {"verdict": "cannot be told apart"}
    unknown = {
        **row,
        "length": None,
        "tokens": None,
        "common_steps": None,
        "trunk": None,
        "relative": None,
        "verdict": "not compared",
    }
    trunk = {"schedule": "hyb", "baseline": "cosine", "runs": 9, "trained_tokens": 6_340_608, "separate_tokens": 10_321_920}
    trunk |= {"saved": 0.3857, "baseline_runs": 8, "baseline_tokens": 8_355_840, "rows": [row, unknown]}
    return {"trunk": trunk | more}


def test_what_was_saved_and_what_it_costs_stand_together() -> None:
    _, text, table = schedule_trunk(found())
    assert isinstance(text, Paragraph) and isinstance(table, Table)
    told = str(text.parts[0])
    for part in (
        "9 runs of hyb trained on 6.34 M tokens",
        "would take 10.3 M; 39 % of that was saved",
        "The 8 runs of cosine took 8.36 M.",
    ):
        assert part in told, part
    assert table.rows[0].cells == (
        *("1M", "983 k", "295 k", "216 of 240", "2.6100", "2.6000", "+0.40 [−0.10, +0.90]", "cannot be told apart"),
    )
    assert table.rows[1].cells == ("its only length", None, "295 k", None, "–", "2.6000", "–", "not compared")


def test_a_trunk_that_saved_nothing_says_so_and_one_without_runs_says_nothing() -> None:
    _, text, _ = schedule_trunk(found(saved=0.0))
    assert isinstance(text, Paragraph) and "each from its first step: nothing was shared." in str(text.parts[0])
    assert schedule_trunk(found(runs=0)) == schedule_trunk({"trunk": None}) == []


def test_a_trunk_that_is_itself_the_baseline_is_not_compared() -> None:
    rows = [{**found()["trunk"]["rows"][0], "verdict": None, "relative": None}]
    _, text, table = schedule_trunk(found(baseline="hyb", rows=rows))
    assert isinstance(text, Paragraph) and "runs of hyb took" not in str(text.parts[0])
    assert isinstance(table, Table) and table.rows[0].cells[-1] == "is the baseline"
