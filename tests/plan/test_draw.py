"""Small pictures."""

from hypothesis import given
from hypothesis import strategies as st

from pellucid.plan.draw import bar, draw_curve


def test_a_ramp_rises_from_left_to_right() -> None:
    assert draw_curve([0, 1, 2], width=3, height=2) == ["  █", " ██"]


@given(st.lists(st.floats(0, 1e6), max_size=200), st.integers(1, 80), st.integers(1, 12))
def test_a_curve_stays_in_its_frame(values: list[float], width: int, height: int) -> None:
    lines = draw_curve(values, width, height)
    assert len(lines) == (height if values else 0)
    assert all(len(line) <= width for line in lines)


def test_bars_grow_with_their_share() -> None:
    assert bar(0) == ""
    assert bar(1, 4) == "████"
    assert bar(0.5, 4) == "██"
    assert bar(1 / 32, 4) == "▏"
