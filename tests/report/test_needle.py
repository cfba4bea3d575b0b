import xml.etree.ElementTree as ET
from typing import Any

import pytest

from pellucid.report.needle import needle_figure, needle_score


def facts(**tables: tuple[float, float]) -> dict[str, Any]:
    return {
        "lengths": [500, 1000],
        "depths_percent": [0.0, 50.0, 100.0],
        "seeds": 4,
        "tables": {
            name: {
                "limits": list(limits),
                "mean": [[limits[0], 0.31, limits[1]], [0.42, None, 0.86]],
                "deviation": [[0.0, 0.17, 0.0], [0.26, None, None]],
                "count": [[4, 4, 4], [4, 0, 1]],
            }
            for name, limits in tables.items()
        },
    }


def test_both_tables_of_a_score_are_drawn_with_the_range_that_is_possible() -> None:
    svg = needle_figure(facts(exact=(0, 1), recall=(0, 1))).svg
    assert svg == needle_figure(facts(exact=(0, 1), recall=(0, 1)), "exact").svg
    texts = [element.text for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]
    for shown in (
        "exact match, mean (0 to 1)",
        "standard deviation over 4 seeds",
        "500",
        "1000",
        "50",
        "100",
        "0.31",
        "0.86",
        "0.17",
    ):
        assert shown in texts
    assert texts.count("0.577") == 1  # the scale of the deviation: half of the range, by n - 1
    assert "None" not in texts


def test_a_judges_rating_is_drawn_first() -> None:
    both = facts(exact=(0, 1), judge=(1, 10))
    assert needle_score(both) == "judge"
    assert needle_score(facts(exact=(0, 1))) == "exact"
    assert "judge's rating, mean (1 to 10)" in needle_figure(both).svg
    assert "share of key words" in needle_figure(facts(exact=(0, 1), recall=(0, 1)), "recall").svg
    with pytest.raises(KeyError):
        needle_figure(facts(exact=(0, 1)), "judge")


def test_one_seed_has_no_deviation() -> None:
    assert "deviation" not in needle_figure({**facts(exact=(0, 1)), "seeds": 1}).svg
