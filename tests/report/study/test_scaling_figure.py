import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any

import pytest

from pellucid.report.study.scaling_figure import ladder_drawing


def rung(name: str, flops: float, values: list[float], is_forecast: bool = False) -> dict[str, Any]:
    mean = sum(values) / len(values) if values else None
    return {"rung": name, "flops": flops, "values": values, "mean": mean, "is_forecast": is_forecast}


@pytest.fixture
def found() -> dict[str, Any]:
    curve = [{"flops": flops, "value": 2.0, "low": 1.9, "high": 2.1} for flops in (1e12, 4e12, 1.6e13)]
    return {
        "rungs": [rung("s1", 1e12, [2.5, 2.6]), rung("s2", 4e12, [2.2]), rung("s3", 1.6e13, [1.9, 2.0], is_forecast=True)],
        "curve": curve,
        "forecasts": [{"rung": "s3", "flops": 1.6e13, "value": 1.95, "low": 1.8, "high": 2.1}],
    }


def test_the_numbers_behind_the_drawing_are_all_there_and_it_is_the_same_each_time(found: dict[str, Any]) -> None:
    drawn = ladder_drawing(found, "bits per byte")
    assert drawn == ladder_drawing(found, "bits per byte")
    assert ET.fromstring(drawn.svg).tag.endswith("svg")
    assert ("s1, a run", 1e12, 2.6, None, None) in drawn.rows
    assert ("s3, forecast", 1.6e13, 1.95, 1.8, 2.1) in drawn.rows
    assert sum(row[0] == "law" for row in drawn.rows) == 3
    assert drawn.columns == ("", "FLOPs", "bits per byte", "low", "high")


def test_ticks_of_logs_are_written_out(found: dict[str, Any]) -> None:
    svg = ladder_drawing(found, "bits per byte").svg
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert {"10¹²", "2·10¹²", "5·10¹²", "10¹³"} <= set(shown)
    assert {"2", "2.2", "2.4"} <= set(shown)


def test_equal_steps_of_a_power_law_are_equally_far_apart(found: dict[str, Any]) -> None:
    found["curve"] = [{"flops": 10.0**power, "value": 8 * 2.0**-power, "low": None, "high": None} for power in range(4)]
    found["rungs"] = [rung("s1", 1.0, [8.0]), rung("s2", 1000.0, [1.0])]
    found["forecasts"] = []
    path = next(
        match for match in re.findall(r'<path d="([^"]*)" clip-path', ladder_drawing(found, "loss").svg) if match.count("L") == 3
    )
    points = [tuple(map(float, pair.split())) for pair in re.findall(r"[ML] ([-\d.]+ [-\d.]+)", path)]
    steps = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(points)]
    assert all(step == pytest.approx(steps[0], abs=1e-3) for step in steps)


def test_without_a_law_or_scores_there_are_still_axes(found: dict[str, Any]) -> None:
    found.update(curve=None, forecasts=[{"rung": "s3", "flops": 1.6e13, "value": None, "low": None, "high": None}])
    found["rungs"] = [rung("s1", 1e12, [2.5]), rung("s3", 1.6e13, [], is_forecast=True)]
    assert ladder_drawing(found, "loss").rows == (("s1, mean", 1e12, 2.5, None, None), ("s1, a run", 1e12, 2.5, None, None))
