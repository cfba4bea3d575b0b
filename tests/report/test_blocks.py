from pellucid.report.blocks import Drawing, facts_of
from pellucid.report.facts import Fact
from pellucid.report.html import Html
from pellucid.report.markup import details, figure, heading, note, paragraph, sample, section, table


def test_the_numbers_of_a_block_come_in_the_order_of_the_page() -> None:
    a, b, c, d, e = (Fact(name, name, "f.json", f"/{name}") for name in "abcde")
    told = table(["x", "y"], [[a, "1"], [None, b]], caption="")
    drawn = figure(Drawing("<svg></svg>"), "", "f.json")
    made = section("s", "S", told, heading("h"), details("more", paragraph("x", c), note(d)), drawn, sample("q", ("after", e)))
    assert list(facts_of(made)) == [a, b, c, d, e]
    html = Html()
    html.block(made)
    assert html.numbers == [a, b, c, d, e]
