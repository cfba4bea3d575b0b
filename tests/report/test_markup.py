import pytest

from pellucid.report.blocks import Details, Drawing, Figure, Heading, Note, Paragraph, Row, Sample
from pellucid.report.facts import Fact
from pellucid.report.markup import cell, details, figure, heading, note, paragraph, sample, section, table

FACT = Fact("1.78", 1.7812, "scores/heldout.json", "/bits_per_byte/all")


def test_the_words_give_the_blocks_of_their_names() -> None:
    drawing = Drawing("<svg></svg>")
    assert heading("a") == Heading("a")
    assert paragraph("a ", FACT) == Paragraph(("a ", FACT))
    assert note("a") == Note(("a",))
    assert figure(drawing, "c", "a.json", "/x") == Figure(drawing, "c", "a.json", "/x")
    assert sample("asked", ("after", FACT), text="t") == Sample("asked", "t", (("after", FACT),))
    assert details("more", [heading("a")]) == Details("more", (Heading("a"),))


def test_a_section_takes_blocks_lists_of_blocks_and_nothing() -> None:
    made = section("a", "A", heading("x"), [paragraph("y"), note("z")], None, "", [])
    assert [type(block) for block in made.blocks] == [Heading, Paragraph, Note]


def test_text_that_is_no_block_is_refused() -> None:
    with pytest.raises(TypeError, match=r"'<' is no block: text goes into paragraph\(\)"):
        section("a", "A", "<h3>x</h3>")  # type: ignore[arg-type]


def test_rows_know_how_they_are_set_apart_and_their_colour() -> None:
    rows = [["a", "1"], ["b", FACT], ["all", None]]
    made = table(["Name", "N"], rows, caption="c", total=True, marks=["#111", "#222"], kinds={1: "printed"})
    assert made.rows == (Row(("a", "1"), "", "#111"), Row(("b", FACT), "printed", "#222"), Row(("all", None), "total", ""))
    assert made.columns == ("Name", "N") and made.numbers_from == 1


def test_nothing_is_a_dash_in_a_line_of_text() -> None:
    assert (cell(None), cell("a"), cell(FACT)) == ("–", "a", FACT)
