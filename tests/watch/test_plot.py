import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.watch.curves import Curve
from pellucid.watch.plot import Drawn, Marker, bar, draw, short, sparkline


def curve(values: list[float], high: list[float] | None = None) -> Curve:
    mean = np.array(values)
    return Curve(np.arange(len(values)) + 1.0, mean, mean, mean if high is None else np.array(high))


def dots(lines: list) -> set[tuple[int, int]]:
    """Which dots are set, as (row, column) from the top left of the field."""
    found = set()
    for row, line in enumerate(lines[:-2]):
        for column, char in enumerate(line.plain[8:]):
            code = ord(char) - 0x2800 if char != " " else 0
            for bit, (y, x) in enumerate([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]):
                if code >> bit & 1:
                    found.add((4 * row + y, 2 * column + x))
    return found


@given(
    st.lists(st.floats(-1e9, 1e9), max_size=50), st.integers(1, 200), st.integers(1, 60), st.booleans(),
    st.lists(st.floats(-10, 100), max_size=3),
)  # fmt: skip
def test_a_picture_has_the_size_that_was_asked_for(
    values: list[float], width: int, height: int, log: bool, marks: list[float]
) -> None:
    lines = draw([Drawn(curve(values), "cyan", "dim")], width, height, log=log, markers=[Marker(x, "◆", "red") for x in marks])
    assert [line.cell_len for line in lines] == [width] * height


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values", [[1e308, -1e308, 1e308], [1.7e308] * 3, [math.inf, 2.0, -math.inf], [1.0, 1e308], [5e-324, 1e-310]]
)
def test_losses_beyond_all_reason_are_drawn_and_labelled(values: list[float], log: bool) -> None:
    lines = draw([Drawn(curve(values), "cyan", "dim")], 40, 9, log=log)
    told = "".join(line.plain for line in lines)
    assert [line.cell_len for line in lines] == [40] * 9 and len(dots(lines)) > 3
    assert "inf" not in told and "nan" not in told and "–" not in told and "T" not in told
    assert sparkline(np.array(values), 3).strip()


def test_a_straight_line_goes_from_corner_to_corner_without_gaps() -> None:
    lines = draw([Drawn(curve([float(n) for n in range(400)], None))], 48, 12)
    found = dots(lines)
    assert min(column for _, column in found) == 0
    assert max(column for _, column in found) == 79
    assert {column for _, column in found} == set(range(80))
    assert max(row for row, column in found if column == 0) == 39
    assert min(row for row, _ in found) <= 2
    heights = [min(row for row, at in found if at == column) for column in range(80)]
    assert heights == sorted(heights, reverse=True)


def test_one_high_step_among_thousands_is_seen_in_the_band() -> None:
    high = [1.0] * 2000
    high[1200] = 9.0
    found = dots(draw([Drawn(curve([1.0] * 2000, high), "cyan", "dim")], 60, 10))
    column = int(1200 / 1999 * 103)
    assert {(row, column) for row in range(28)} <= found  # below lies the line itself, whose cells are its own


def test_logarithms_are_drawn_only_where_there_are_any() -> None:
    values = [10.0 ** (-n / 100) for n in range(400)]
    straight = dots(draw([Drawn(curve(values))], 48, 12, log=True))
    middle = [row for row, column in straight if column == 40]
    assert abs(sum(middle) / len(middle) - 20) < 3
    assert draw([Drawn(curve([0.0, *values]))], 48, 12, log=True)[0].plain.startswith("      1┤")


def test_axes_say_where_things_are() -> None:
    lines = draw([Drawn(curve([2.0, 4.0] * 50))], 60, 8, last_x=200, markers=[Marker(200, "✕", "red"), Marker(300, "◆", "red")])
    assert lines[0].plain[:8] == "      4┤"
    assert lines[5].plain[:8] == "      2┤"
    assert lines[6].plain.endswith("✕")
    assert "◆" not in lines[6].plain
    assert lines[7].plain.split() == ["1", "51", "100", "150", "200"]


def test_a_sparkline_goes_from_low_to_high() -> None:
    assert sparkline(np.arange(8.0), 8) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.ones(2), 4) == "  ▁▁"
    assert sparkline(np.array([math.nan]), 3) == "   "
    assert sparkline(np.repeat([0.0, math.nan, 1.0], 50), 2) == "▁█"
    assert sparkline(np.ones(5), 0) == ""


@given(st.floats(0, 1), st.integers(1, 100))
def test_a_bar_is_as_long_as_its_share(share: float, width: int) -> None:
    drawn = bar(share, width)
    assert len(drawn) == width
    eighths = sum(8 if char == "█" else " ▏▎▍▌▋▊▉".index(char) for char in drawn)
    assert abs(eighths - 8 * width * share) <= 0.5


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.3213, "4.321"), (0.0123, "0.0123"), (7.1e-6, "7.1e-06"), (10800, "10.8k"), (1.234e6, "1.23M"), (2e12, "2T"), (0, "0"),
     (1172, "1172"),
     (math.nan, "–"), (-3.25, "-3.25"), (123456, "123k"), (5e9, "5G"), (1e15, "1e+15"), (-1e300, "-1e+300")],
)  # fmt: skip
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
