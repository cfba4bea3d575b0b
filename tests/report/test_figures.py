import xml.etree.ElementTree as ET

from pellucid.report.figures import bars, curves, dots, stacked_share


def test_the_same_numbers_give_the_same_bytes_and_text_stays_text() -> None:
    for draw in (
        lambda: curves({"raw": ([1, 2, 3], [3, 2, 1]), "mean": ([1, 2, 3], [3, 2.5, 2])}, "tokens", "loss", faint=("raw",)),
        lambda: bars(["German", "English"], {"Model": [1.5, 1.7], "xz": [2.1, None]}, "bits per byte"),
        lambda: stacked_share({"Web": 0.7, "Code": 0.3}),
        lambda: dots(["arc", "piqa"], {"A": [(30.0, 28.0, 32.0), None], "B": [(31.0, None, None), (5.0, 1.0, 9.0)]}, "accuracy, %"),
    ):
        svg = draw()
        assert svg == draw()
        root = ET.fromstring(svg)
        assert root.tag.endswith("svg")
        assert "<text" in svg


def test_every_series_and_every_value_is_drawn() -> None:
    svg = bars(["German", "English"], {"Model": [1.53, 1.71], "xz": [2.11, None]}, "bits per byte")
    for text in ("German", "English", "Model", "xz", "1.53", "1.71", "2.11"):
        assert text in svg


def test_dots_have_a_row_for_each_name_and_an_interval_where_it_is_known() -> None:
    series = {"A": [(30.0, 28.0, 32.0), None], "B": [(31.0, None, None), (5.0, 1.0, 9.0)]}
    svg = dots(["arc", "piqa"], series, "accuracy, %")
    for text in ("arc", "piqa", "A", "B", "accuracy, %"):
        assert f">{text}<" in svg
    # One marker a value and one in the legend for each series; each interval is a line of its own colour.
    assert svg.count("<use") - svg.count('y="0"') >= 5
    assert svg.count("stroke-opacity: 0.55") == 2
