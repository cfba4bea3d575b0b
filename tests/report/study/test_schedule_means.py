from typing import Any

import pytest

from pellucid.report.blocks import Figure, Paragraph, Table
from pellucid.report.study.schedule_means import schedule_means


def found() -> dict[str, Any]:
    points = [
        {"schedule": name, "mean_rate": mean, "value": 2.0} for name, mean in (("cosine", 2e-3), ("hyb", 1.5e-3), ("hyb2", 2.2e-3))
    ]
    at = {
        "length": "2M",
        "points": points,
        "pearson": -0.5,
        "spearman": -1.0,
        "p": 1 / 3,
        "least_p": 1 / 3,
        "verdict": "too few schedules to tell",
        "by_seed": [{"seed": 1, "spearman": -1.0}, {"seed": 2, "spearman": None}],
        "slope": {"value": -0.04, "low": -0.07, "high": -0.01, "p": 0.01},
        "beyond": {"f": 1.2, "freedom": [1, 2], "p": 0.4, "verdict": "no more than noise beyond the line"},
        "nearest": {"a": "cosine", "b": "hyb2", "ratio": 1.1, "difference": -0.01, "low": None, "high": None},
    }
    ends = {"relative_low": -0.002, "relative_high": 0.004}
    rows = [{"level": "cosine"}, {"level": "hyb", "relative": 0.001, **ends}, {"level": "hyb2", "relative": -0.001, **ends}]
    return {
        "baseline": "cosine",
        "finals": [{"length": "2M", "baseline": "cosine", "rows": rows}],
        "by_mean": [at],
        "common_peak": None,
    }


def test_it_is_said_how_many_schedules_the_conjecture_rests_on_and_what_they_cannot_show() -> None:
    text = next(str(block.parts[0]) for block in schedule_means(found()) if isinstance(block, Paragraph))
    for told in (
        "rests on 3 schedules",
        "no order has a p below 0.33",
        "are 10.0 % apart, so equal ones are not put to the test",
        "cause",
    ):
        assert told in text, told


def test_a_peak_that_all_have_is_named_as_what_may_favour_a_higher_mean() -> None:
    text = "which was not tuned for each: where a higher mean ends better, this peak may only have been too low."
    assert text not in str(schedule_means(found()))
    assert f"All have one peak rate, 3.00e-3, {text}" in str(schedule_means(found() | {"common_peak": 3e-3}))


def test_correlations_line_and_nearest_pair_have_a_table_each() -> None:
    correlations, line, nearest = (block for block in schedule_means(found()) if isinstance(block, Table))
    assert correlations.rows[0].cells == ("2M", "3", "−1.00", "0.33", "−1.00 · –", "−0.50", "too few schedules to tell")
    assert line.rows[0].cells == ("2M", "−0.0400 [−0.0700, −0.0100]", "0.01", "0.40", "no more than noise beyond the line")
    assert nearest.rows[0].cells == ("2M", "hyb2 over cosine", "1.100", "−0.0100")


def test_differences_are_drawn_over_the_mean_rate_in_its_order() -> None:
    drawing = next(block.drawing for block in schedule_means(found()) if isinstance(block, Figure))
    assert [row[:2] for row in drawing.rows] == [pytest.approx(pair) for pair in ((0.75, 0.1), (1.0, 0.0), (1.1, -0.1))]


def test_what_is_not_known_is_left_out() -> None:
    bare = found()
    bare["by_mean"][0] |= {"slope": None, "beyond": None, "least_p": None}
    blocks = schedule_means(bare)
    assert sum(isinstance(block, Table) for block in blocks) == 2
    assert "no order" not in next(str(block.parts[0]) for block in blocks if isinstance(block, Paragraph))
    bare["by_mean"][0]["slope"] = {"value": -0.04, "low": None, "high": None, "p": None}
    line = [block for block in schedule_means(bare) if isinstance(block, Table)][1]
    assert line.rows[0].cells == ("2M", "−0.0400", "–", "–", "not compared")
    bare["finals"][0]["baseline"] = "elsewhere"
    assert not any(isinstance(block, Figure) for block in schedule_means(bare))
    bare["by_mean"][0]["nearest"] = None
    assert schedule_means(bare) == []
