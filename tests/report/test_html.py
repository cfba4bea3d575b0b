from pellucid.report.blocks import Block, Card, Cards, Drawing
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
        '<span class="n"><a class="fact" id="n1" tabindex="0" role="button" aria-describedby="s1">1.78</a>'
        '<span class="src" id="s1" role="tooltip"><a href="../scores/heldout.json">scores/heldout.json</a> '
        "<i>/bits_per_byte/all</i><code>pellucid evaluate RUN</code></span></span>"
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


def test_a_figure_has_its_file_its_source_and_its_numbers_behind_it() -> None:
    drawn = figure(Drawing("<svg></svg>", ("", "share"), (("Web", 0.25), ("Code", None))), "Shares.", "a.json", "/x")
    html = Html({drawn: "data-shares"}).block(drawn)
    for part in ('href="../a.json">a.json#/x</a>', 'href="figures/data-shares.svg"', 'href="figures/data-shares.csv"', ">0.25<"):
        assert part in html
    assert "<summary>The numbers behind it</summary>" in html and '<title id="f1-title">Shares.</title>' in html
    bare = Html().block(drawn)
    assert "figures/" not in bare and "<details>" not in bare


def test_many_numbers_behind_a_figure_are_only_in_its_file() -> None:
    drawn = figure(Drawing("<svg></svg>", ("x", "y"), tuple((n, n) for n in range(200))), "Many.", "a.json")
    html = Html({drawn: "many"}).block(drawn)
    assert "<details>" not in html and 'href="figures/many.csv"' in html


def test_answers_of_the_first_screen_say_how_they_are_meant() -> None:
    cards = Cards((Card("Verified", ("every check holds",), ((FACT, " read"),), "good"), Card("Cost", ("3 s",))))
    html = render(cards)
    assert '<div class="card good"><h3>Verified</h3><b>every check holds</b><p><span class="n">' in html
    assert '<div class="card"><h3>Cost</h3><b>3 s</b></div>' in html


def test_a_cell_may_hold_several_numbers_and_points_stand_below_each_other() -> None:
    html = render(table(["a", "n"], [["x", "1.25"], ["y", "10"], ["z", (FACT, " of ", FACT)]], caption=""))
    assert html.count('class="fact"') == 2 and "data-pad" not in html, "not all are plain numbers"
    html = render(table(["a", "n"], [["x", "1.25"], ["y", "10"]], caption=""))
    assert '<td class="number" data-pad=".00">10</td>' in html


def test_a_short_wide_table_may_become_a_list_and_its_cells_know_their_heads() -> None:
    rows = [["files", "every byte of every artifact is the one that its manifest names", "403 files", "0"]] * 3
    html = render(table(("Check", "What holds", "Looked at", "Faults"), rows, caption="", numbers_from=2))
    assert '<table class="stacked">' in html
    assert '<td data-head="What holds" data-long>every' in html and '<td class="number" data-head="Faults">0</td>' in html
    assert "<td>files</td>" in html, "the first cell is the row's name"
    for narrow_or_long in ([["a", "1", "2", "3"]], rows * 30):
        html = render(table(("Check", "What", "Looked", "Faults"), narrow_or_long, caption=""))
        assert "stacked" not in html and "data-head" not in html
    assert 'class="few pairs"' in render(table(("Environment", "Value"), [["code", "0.1.0" * 9]], caption=""))


def test_a_table_that_would_fill_a_page_may_be_parted_on_paper() -> None:
    def kind(rows: int, words: str) -> str:
        text = render(section("s", "S", table(("a", "b"), [(words, "1")] * rows, caption="c")))
        return text.partition('<figure class="')[2].partition('"')[0]

    assert kind(13, "a word") == kind(16, "a word") == "table short"
    assert kind(17, "a word") == "table"
    assert kind(13, "many words " * 15) == "table"
