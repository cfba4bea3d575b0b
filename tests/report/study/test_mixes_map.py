"""The map of differences: what is written in cells, and which are marked."""

import re
import xml.etree.ElementTree as ET

from pellucid.report.study.mixes_map import Difference, difference_map


def test_cells_have_their_sign_and_those_that_may_be_0_are_in_brackets() -> None:
    assert Difference(-0.1234, True).text == "−0.123"
    assert Difference(0.0604, False).text == "(+0.060)"
    assert Difference(1.2345, True).text == "+1.23"
    assert Difference(0.0002, False).text == "(0.000)"


def test_each_value_is_written_unsure_cells_are_hatched_and_missing_ones_are_empty() -> None:
    cells = [[Difference(-0.5, True), Difference(0.01, False)], [None, Difference(0.25, True)]]
    drawing = difference_map(cells, ["mix1", "mix2"], ["de", "$Law"], "held-out text", "bits per byte")
    texts = [element.text for element in ET.fromstring(drawing.svg).iter() if element.tag.endswith("text")]
    for shown in ("−0.500", "(+0.010)", "+0.250", "mix1", "mix2", "de", "$Law"):
        assert texts.count(shown) == 1, shown
    assert len(set(re.findall(r'<pattern id="(\w+)"', drawing.svg))) == 1, "one hatching"
    assert drawing.rows == (
        ("mix1", "de", -0.5, "yes"),
        ("mix1", "$Law", 0.01, "no"),
        ("mix2", "de", None, None),
        ("mix2", "$Law", 0.25, "yes"),
    )


def test_better_is_purple_worse_is_orange_as_strong_as_the_greatest_sure_difference() -> None:
    def fills(*values: float) -> list[tuple[int, int, int]]:
        svg = difference_map([[Difference(value, True) for value in values]], ["a"], [*map(str, values)], "x", "y").svg
        found = re.findall(r"fill: #([0-9a-f]{6})(?=; stroke: #e3e6e8)", svg)
        return [(int(one[:2], 16), int(one[2:4], 16), int(one[4:], 16)) for one in found]

    better, little, worse = fills(-0.4, 0.1, 0.4)
    assert better[2] > better[1] and worse[0] > worse[2]
    assert sum(little) > sum(worse)
    assert fills(-4, 1, 4) == [better, little, worse]


def test_the_same_numbers_give_the_same_drawing() -> None:
    one, other = (difference_map([[Difference(0.1, False)]], ["a"], ["b"], "x", "y") for _ in range(2))
    assert one.svg == other.svg
