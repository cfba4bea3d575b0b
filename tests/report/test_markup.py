from pellucid.report.facts import Fact
from pellucid.report.markup import cell, figure, section, table


def test_text_is_escaped_everywhere() -> None:
    evil = '<script>"x"&'
    page = table([evil], [[evil]], caption=evil) + section("a", evil, cell(Fact(evil, evil, "a.json", "/" + evil)))
    page += figure("<svg></svg>", evil, "a.json")
    assert "<script>" not in page


def test_a_fact_links_to_its_file_and_a_missing_value_is_a_dash() -> None:
    html = cell(Fact("1.78", 1.7812, "scores/heldout.json", "/bits_per_byte/all"))
    assert 'href="../scores/heldout.json"' in html
    assert 'data-pointer="/bits_per_byte/all"' in html
    assert 'data-value="1.7812"' in html
    assert "–" in cell(None)


def test_number_columns_are_right_aligned_and_a_total_is_set_apart() -> None:
    html = table(["Name", "N"], [["a", "1"], ["all", "2"]], caption="c", total=True)
    assert html.count('class="number"') == 3
    assert html.count('class="total"') == 1


def test_marks_stand_before_the_first_cell_of_their_rows() -> None:
    html = table(["Name", "N"], [["a", "1"], ["b", "2"], ["all", "3"]], caption="c", total=True, marks=["#111", "#222"])
    assert html.count('class="mark"') == 2
    assert '<td><i class="mark" style="background:#222"></i>b</td>' in html
    assert '<tr class="total"><td>all</td>' in html
