from pellucid.report.blocks import Block, Drawing
from pellucid.report.facts import Fact
from pellucid.report.html import Html, render
from pellucid.report.markup import details, figure, heading, note, paragraph, sample, section, table

FACT = Fact("1.78", 1.7812, "scores/heldout.json", "/bits_per_byte/all", "pellucid evaluate RUN")


def test_text_is_escaped_everywhere() -> None:
    evil = '<script>"x"&'
    fact = Fact(evil, evil, evil, "/" + evil, evil)
    blocks: list[Block] = [heading(evil), paragraph(evil, fact), note(evil), sample(evil, (evil, fact), (evil, evil), text=evil)]
    blocks += [table([evil], [[evil], [fact]], caption=evil, marks=[evil], kinds={0: evil})]
    blocks += [figure(Drawing("<svg></svg>"), evil, evil, evil)]
    page = render(section(evil, evil, details(evil, blocks)))
    assert "<script>" not in page and page.count("&lt;script&gt;&quot;x&quot;&amp;") >= 20


def test_a_number_is_a_link_to_itself_with_its_file_place_and_command_beside_it() -> None:
    html = Html()
    assert html.cell(FACT) == (
        '<span class="n"><a class="fact" id="n1" href="#n1" aria-describedby="s1">1.78</a><span class="src" id="s1" role="tooltip">'
        '<a href="../scores/heldout.json">scores/heldout.json</a> <i>/bits_per_byte/all</i>'
        "<code>pellucid evaluate RUN</code></span></span>"
    )
    assert 'id="n2"' in html.cell(FACT) and html.numbers == [FACT, FACT]
    assert "–" in html.cell(None) and len(html.numbers) == 2


def test_number_columns_are_right_aligned_and_a_total_is_set_apart() -> None:
    html = render(table(["Name", "N"], [["a", "1"], ["all", "2"]], caption="c", total=True))
    assert html.count('class="number"') == 3
    assert html.count('class="total"') == 1


def test_marks_stand_before_the_first_cell_of_their_rows() -> None:
    html = render(table(["Name", "N"], [["a", "1"], ["b", "2"], ["all", "3"]], caption="c", total=True, marks=["#111", "#222"]))
    assert html.count('class="mark"') == 2
    assert '<td><i class="mark" style="background:#222"></i>b</td>' in html
    assert '<tr class="total"><td>all</td>' in html


def test_a_drawing_may_be_shown_in_another_way() -> None:
    shown = Html(lambda one: f"[{one.caption}]").block(figure(Drawing("<svg></svg>"), "c", "a.json"))
    assert "[c]" in shown and "<svg" not in shown
