import xml.etree.ElementTree as ET

from pellucid.report.figures import bars, curves, stacked_share


def test_the_same_numbers_give_the_same_bytes_and_text_stays_text() -> None:
    for draw in (
        lambda: curves({"raw": ([1, 2, 3], [3, 2, 1]), "mean": ([1, 2, 3], [3, 2.5, 2])}, "tokens", "loss", faint=("raw",)),
        lambda: bars(["German", "English"], {"Model": [1.5, 1.7], "xz": [2.1, None]}, "bits per byte"),
        lambda: stacked_share({"Web": 0.7, "Code": 0.3}),
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


def test_a_band_is_shaded_around_its_line() -> None:
    lines = {"acc": ([1.0, 2.0, 3.0], [0.2, 0.4, 0.5])}
    plain, banded = curves(lines, "step", "acc"), curves(lines, "step", "acc", bands={"acc": [(0.1, 0.3), (0.3, 0.5), (0.4, 0.6)]})
    assert "fill-opacity: 0.18" in banded and "fill-opacity: 0.18" not in plain
