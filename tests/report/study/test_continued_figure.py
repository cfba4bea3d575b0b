import re

from pellucid.report.study.continued_figure import tradeoff_drawing


def test_each_way_is_named_and_has_both_of_its_intervals_and_the_numbers_behind() -> None:
    ways = {"plain": ((1.0, 0.9, 1.1), (1.5, 1.4, 1.6)), "replay $5": ((0.2, None, None), (1.4, 1.3, 1.5))}
    drawing = tradeoff_drawing(ways, "forgotten", "learnt")
    assert drawing == tradeoff_drawing(ways, "forgotten", "learnt")
    for text in ("plain", "replay $5", "forgotten", "learnt"):
        assert f">{text}</text>" in drawing.svg
    # Two lines for the first way, one for the second, whose other interval is not known.
    assert len(re.findall(r"stroke-opacity: 0.55", drawing.svg)) == 3
    assert drawing.columns == ("", "forgotten", "forgotten, low", "forgotten, high", "learnt", "learnt, low", "learnt, high")
    assert drawing.rows == (("plain", 1.0, 0.9, 1.1, 1.5, 1.4, 1.6), ("replay $5", 0.2, None, None, 1.4, 1.3, 1.5))


def test_more_forgotten_lies_to_the_right_and_more_learnt_above() -> None:
    ways = {"a": ((0.0, None, None), (0.0, None, None)), "b": ((1.0, None, None), (2.0, None, None))}
    svg = tradeoff_drawing(ways, "x", "y").svg
    # Okabe and Ito's first two colours; the first mark of each is in the axes, the second in the legend.
    places = [re.findall(rf'x="([0-9.]+)" y="([0-9.]+)" style="fill: {colour}', svg)[0] for colour in ("#0072b2", "#e69f00")]
    (a_x, a_y), (b_x, b_y) = [tuple(map(float, place)) for place in places]
    assert b_x > a_x
    assert b_y < a_y
