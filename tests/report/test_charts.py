import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from pellucid.report.charts import histogram, share_bar, size_range

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_a_bar_is_parted_in_proportion_without_gaps() -> None:
    rects = parse(share_bar([("kept <1>", 60, "#000"), ("none", 0, "#111"), ("dropped", 20, "#222")], "what & why")).findall(
        f"{SVG}rect"
    )
    assert [(float(r.attrib["x"]), float(r.attrib["width"])) for r in rects] == [(0, 750), (750, 250)]
    assert [r.findtext(f"{SVG}title") for r in rects] == ["kept <1>: 60", "dropped: 20"]
    assert parse(share_bar([("kept", 0, "#000")], "empty")).findall(f"{SVG}rect") == []


def test_a_histogram_has_a_bar_for_each_size_in_its_place_and_as_high_as_its_share() -> None:
    rects = parse(histogram({"11": 50, "12": 100, "14": 25}, "sizes")).findall(f"{SVG}rect")
    assert [r.findtext(f"{SVG}title") for r in rects] == ["1 KiB to 2 KiB: 50", "2 KiB to 4 KiB: 100", "8 KiB to 16 KiB: 25"]
    heights = [float(r.attrib["height"]) for r in rects]
    assert heights[0] == pytest.approx(heights[1] / 2, abs=0.01)
    places = [float(r.attrib["x"]) for r in rects]
    assert places[2] - places[1] == pytest.approx(2 * (places[1] - places[0]), abs=0.02), "a size that no document has leaves a gap"


@pytest.mark.parametrize("lengths", [{"0": 1}, {"1": 3}, {str(bits): 1 for bits in range(41)}])
def test_bars_and_letters_stay_inside_whatever_the_sizes_are(lengths: dict[str, int]) -> None:
    root = parse(histogram(lengths, "sizes"))
    assert len(root.findall(f"{SVG}rect")) == len(lengths)
    for rect in root.findall(f"{SVG}rect"):
        assert float(rect.attrib["x"]) >= 0
        assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= 360
        assert float(rect.attrib["y"]) >= 16
    ticks = [float(text.attrib["x"]) for text in root.findall(f"{SVG}text") if text.attrib["text-anchor"] == "start"]
    assert ticks and all(b - a >= 40 for a, b in pairwise(ticks))


def test_ranges_of_sizes_are_powers_of_two() -> None:
    assert [size_range(bits) for bits in (0, 1, 8, 21)] == ["0 B", "1 B to 2 B", "128 B to 256 B", "1 MiB to 2 MiB"]
