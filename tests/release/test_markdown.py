import pytest

from pellucid.release.markdown import cell, listed, number, table


def test_cells_stay_cells() -> None:
    assert cell("a | b\n<script>") == "a \\| b &lt;script&gt;"
    assert cell(None) == "–"


def test_a_table_says_which_columns_are_numbers() -> None:
    assert table(("A", "B"), [("x", 1)], right=(1,)) == "| A | B |\n| --- | ---: |\n| x | 1 |\n"
    assert table(("A",), []) == "" and listed(["a", "b"]) == "- a\n- b\n"


@pytest.mark.parametrize(("value", "shown"), [(None, None), (1234567, "1 234 567"), (2.0, "2"), (0.12345, "0.123"), (0, "0")])
def test_numbers(value: float | None, shown: str | None) -> None:
    assert number(value) == shown
