import re
import xml.etree.ElementTree as ET

from pellucid.report.blocks import Figure
from pellucid.report.drawings import in_page
from pellucid.report.figures import HeatMap, bars, curves, dots, heat_map, stacked_share


def test_the_same_numbers_give_the_same_bytes_and_text_stays_text() -> None:
    for draw in (
        lambda: curves({"raw": ([1, 2, 3], [3, 2, 1]), "mean": ([1, 2, 3], [3, 2.5, 2])}, "tokens", "loss", faint=("raw",)),
        lambda: bars(["German", "English"], {"Model": [1.5, 1.7], "xz": [2.1, None]}, "bits per byte"),
        lambda: stacked_share({"Web": 0.7, "Code": 0.3}),
        lambda: heat_map([HeatMap("mean", [[0.5, None], [1.0, 0.0]], (0, 1))], ["500", "1000"], ["0", "100"], "tokens", "depth"),
        lambda: dots(["arc", "piqa"], {"A": [(30.0, 28.0, 32.0), None], "B": [(31.0, None, None), (5.0, 1.0, 9.0)]}, "accuracy, %"),
    ):
        drawn = draw()
        assert drawn == draw()
        svg = drawn.svg
        root = ET.fromstring(svg)
        assert root.tag.endswith("svg")
        assert "<text" in svg


def test_every_series_and_every_value_is_drawn() -> None:
    svg = bars(["German", "English"], {"Model": [1.53, 1.71], "xz": [2.11, None]}, "bits per byte").svg
    for text in ("German", "English", "Model", "xz", "1.53", "1.71", "2.11"):
        assert text in svg


def test_a_band_is_shaded_around_its_line() -> None:
    lines = {"acc": ([1.0, 2.0, 3.0], [0.2, 0.4, 0.5])}
    band = {"acc": [(0.1, 0.3), (0.3, 0.5), (0.4, 0.6)]}
    plain, banded = curves(lines, "step", "acc").svg, curves(lines, "step", "acc", bands=band).svg
    assert "fill-opacity: 0.18" in banded and "fill-opacity: 0.18" not in plain


def test_a_line_of_one_point_is_a_dot_and_its_band_a_bar() -> None:
    lines = {"many": ([1.0, 2.0], [0.2, 0.4]), "one": ([3.0], [0.5])}
    alone, barred = curves(lines, "step", "acc"), curves(lines, "step", "acc", bands={"one": [(0.3, 0.8)]})
    marks = re.findall(r"<use [^>]*>", alone.svg)
    assert [sum(colour in mark for mark in marks) for colour in ("#0072b2", "#e69f00")] == [0, 2]  # its own and the legend's
    assert (
        "fill-opacity: 0.18" not in barred.svg and "stroke-opacity: 0.55" in barred.svg and "stroke-opacity: 0.55" not in alone.svg
    )
    assert barred.rows[-1] == (3.0, None, 0.5, 0.3, 0.8)


def test_a_heat_map_writes_few_values_and_names_some_of_many_rows() -> None:
    few = heat_map([HeatMap("mean", [[0.25, None], [1.0, 0.5]], (0, 1))], ["500", "1000"], ["top", "end"], "tokens", "depth").svg
    for text in ("0.25", "0.5", "top", "end", "500", "1000", "tokens", "depth", "mean"):
        assert f">{text}</text>" in few
    many = [[value / 280 for value in range(row * 8, row * 8 + 8)] for row in range(35)]
    svg = heat_map(
        [HeatMap("mean", many, (0, 1))] * 2, [str(500 * n) for n in range(1, 9)], [f"d{n}" for n in range(35)], "x", "y"
    ).svg
    named = [n for n in range(35) if f">d{n}</text>" in svg]
    assert len(named) == 9
    assert (named[0], named[-1]) == (0, 34)
    assert ">0.01</text>" not in svg
    assert "<image" not in svg


def test_the_first_row_is_on_top_and_colour_goes_with_the_value_over_the_whole_range() -> None:
    def cells(values: list[list[float | None]], limits: tuple[float, float]) -> list[str]:
        svg = heat_map([HeatMap("m", values, limits)], ["a"], ["b"] * len(values), "x", "y").svg
        mesh = svg[svg.index('id="QuadMesh_1"') :]
        return re.findall(r"fill: (#[0-9a-f]{6})", mesh[: mesh.index("</g>")])

    low, high = cells([[0.0], [1.0]], (0, 1))
    assert cells([[1.0], [10.0]], (1, 10)) == [low, high]
    assert cells([[0.0], [None]], (0, 1))[0] == low != high
    between = cells([[0.0], [0.5]], (0, 1))
    assert between[0] == low
    assert between[1] not in (low, high)


def test_dots_have_a_row_for_each_name_and_an_interval_where_it_is_known() -> None:
    series = {"A": [(30.0, 28.0, 32.0), None], "B": [(31.0, None, None), (5.0, 1.0, 9.0)]}
    svg = dots(["arc", "piqa"], series, "accuracy, %").svg
    for text in ("arc", "piqa", "A", "B", "accuracy, %"):
        assert f">{text}<" in svg
    # One marker a value and one in the legend for each series; each interval is a line of its own colour.
    assert svg.count("<use") - svg.count('y="0"') >= 5
    assert svg.count("stroke-opacity: 0.55") == 2


def test_names_are_shown_as_they_are() -> None:
    names = ["cost $5$", "_hidden", "$\\frac$"]
    svg = dots(names, {name: [(1.0, 0.5, 2.0)] * 3 for name in names}, "in $").svg
    shown = [text.lstrip("\u200b") for text in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]
    for name in names:
        assert shown.count(name) == 2, "as a row and in the legend"
    assert "in $" in shown


def test_more_series_than_colours_are_told_apart() -> None:
    marks = re.findall(r'<path id="(m[0-9a-f]+)"', dots(["arc"], {f"m{n}": [(1.0, None, None)] for n in range(9)}, "x").svg)
    more = re.findall(r'<path id="(m[0-9a-f]+)"', dots(["arc"], {f"m{n}": [(1.0, None, None)] for n in range(12)}, "x").svg)
    assert len(set(more)) > len(set(marks))
    line = ([1.0, 2.0], [1.0, 2.0])
    assert "stroke-dasharray" in curves({f"m{n}": line for n in range(12)}, "x", "y").svg
    assert "m11" in bars(["a"], {f"m{n}": [1.0] for n in range(12)}, "y").svg


def test_letters_follow_the_pages_colours_in_the_dark_too() -> None:
    line = ([1.0, 2.0], [1.0, 2.0])
    drawings = (
        curves({"one": line, "two": line}, "x", "y"),
        curves({f"m{n}": line for n in range(12)}, "x", "y"),
        bars(["de"], {"Model": [1.5], "xz": [2.0]}, "bits"),
        dots(["arc"], {"A": [(1.0, 0.5, 2.0)], "B": [(1.0, 0.5, 2.0)]}, "x"),
    )
    for drawing in drawings:
        page = in_page(Figure(drawing, "Drawn.", "a.json"), "f1")
        styles = re.findall(r'<text style="([^"]*)"', page)
        assert styles and [style for style in styles if "fill: var(--ink)" not in style] == []
        assert "#000000" not in page, "no line is black"


def test_names_that_turn_round_what_stands_beside_them_do_not() -> None:
    assert "\u202e" not in bars(["red\u202egnp.exe"], {"a\u202eb": [1.0]}, "x").svg
