from typing import Any

from pellucid.report.study.effects_figure import difference_drawing


def row(level: str, value: float | None, verdict: str, paired: list[float]) -> dict[str, Any]:
    ends = {"low": None if value is None else value - 0.1, "high": None if value is None else value + 0.1}
    return {"level": level, "difference": value, **ends, "verdict": verdict, "paired": paired}


def test_each_level_has_its_interval_and_a_mark_for_each_single_difference() -> None:
    rows = [
        row("b", -0.3, "better", [-0.35, -0.25]),
        row("c", 0.05, "cannot be told apart", [0.1, 0.0]),
        row("d", None, "not compared", []),
    ]
    drawn = difference_drawing(rows, "difference")
    assert drawn == difference_drawing(rows, "difference")
    assert drawn.rows[0] == ("b", -0.3, -0.4, -0.19999999999999998)
    assert drawn.rows[1] == ("b, one of 2", -0.35, None, None)
    assert drawn.rows[-1] == ("d", None, None, None)
    assert drawn.svg.count("fill-opacity: 0.6") == 4
    assert "#6f767d" in drawn.svg
    assert "#6f767d" not in difference_drawing(rows[:1], "difference").svg
