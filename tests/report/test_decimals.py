import re

from hypothesis import given
from hypothesis import strategies as st

from pellucid.report.decimals import paddings
from pellucid.report.facts import Fact
from pellucid.report.markup import table


def column(*texts: str | None) -> list[str]:
    return [row[1] for row in paddings(table(["a", "n"], [["x", text] for text in texts], caption=""))]


def test_what_is_missing_behind_the_point_is_filled_up() -> None:
    assert column("1.25", "10", "3.5", None, "–") == [".00"[:0], ".00", "0", "", ""]


def test_columns_of_other_things_and_of_equal_places_are_left_alone() -> None:
    assert column("1.25", "10 %") == ["", ""]
    assert column("1.25", "9.75") == ["", ""]
    assert column("12", "1\u202f234") == ["", ""]


def test_numbers_that_know_their_source_are_read_by_their_text() -> None:
    told = table(["a", "n"], [["x", Fact("1.5", 1.5, "a.json", "/x")], ["y", ("2", "")]], caption="")
    assert paddings(told) == [["", ""], ["", ".0"]]


@given(st.lists(st.decimals(-1000, 1000, places=None, allow_nan=False).map(lambda value: f"{value:f}"), min_size=1))
def test_all_points_of_a_column_stand_alike(texts: list[str]) -> None:
    ends = {len(re.sub(r"^[^.]*", "", text + pad)) for text, pad in zip(texts, column(*texts), strict=True)}
    assert len(ends) == 1
