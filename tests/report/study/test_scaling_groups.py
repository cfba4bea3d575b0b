from typing import Any

from pellucid.report.blocks import Figure, Heading, Table
from pellucid.report.study.scaling_groups import group_tables


def group(name: str, value: float | None, came: float | None, inside: bool | None) -> dict[str, Any]:
    ends = {"low": None if value is None else value - 0.1, "high": None if value is None else value + 0.1}
    made = {"value": value, **ends, "state": "not run" if came is None else "run", "came": came, "inside": inside}
    law = {"parameters": [{"name": "E", "value": 1.0}, {"name": "a", "value": 0.25, "low": 0.1, "high": 0.4}]}
    return {"group": name, "law": None if value is None else law, "forecasts": [{**made, "error_percent": None}]}


def test_a_group_has_its_forecast_and_how_many_lie_inside_is_counted() -> None:
    groups = {"language": [group("de", 2.0, 2.05, True), group("en", 1.8, 2.2, False), group("fr", None, None, None)]}
    heading, figure, table, note = group_tables({"groups": groups, "forecasts": [{"rung": "s5"}]})
    assert isinstance(heading, Heading) and heading.text == "By language: s5"
    assert isinstance(figure, Figure) and figure.drawing.rows == (
        ("de", 2.0, 1.9, 2.1, 2.05, None, None),
        ("en", 1.8, 1.7, 1.9000000000000001, 2.2, None, None),
    )
    assert isinstance(table, Table)
    assert [row.cells[:2] for row in table.rows] == [("de", "2.000 [1.900, 2.100]"), ("en", "1.800 [1.700, 1.900]")]
    assert [row.cells[4] for row in table.rows] == ["yes", "no"]
    assert "inside the interval for 1 of 2" in table.caption
    assert "err together" in str(note)


def test_before_a_rung_is_run_only_forecasts_are_shown() -> None:
    groups = {"category": [group("Law", 2.0, None, None)]}
    _, figure, table, _ = group_tables({"groups": groups, "forecasts": [{"rung": "s5"}]})
    assert isinstance(figure, Figure) and len(figure.drawing.columns) == 4
    assert isinstance(table, Table)
    assert table.rows[0].cells[2] == "not run"
    assert "inside" not in table.caption


def test_without_forecasts_there_is_nothing() -> None:
    assert group_tables({"groups": {"language": []}, "forecasts": [{"rung": "s5"}]}) == []
    assert group_tables({"groups": {}, "forecasts": []}) == []
