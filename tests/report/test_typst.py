"""The PDF: any text stays that text, the same bytes each time, an archive's standard, and every number leads to its source."""

import io
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pellucid.report.blocks import Block, Card, Cards, Paragraph
from pellucid.report.facts import Fact, Facts
from pellucid.report.figures import bars
from pellucid.report.markup import details, figure, heading, note, paragraph, sample, section, table
from pellucid.report.page import Report, compose
from pellucid.report.typst import printable, write_pdf
from pellucid.stages.run_folder import open_recipe

pypdf = pytest.importorskip("pypdf")

FACT = Fact("1.78", 1.7812, "scores/heldout.json", "/bits_per_byte/all", "pellucid evaluate RECIPE")


def report(*blocks: Block, name: str = "a model") -> Report:
    cards = Cards((Card("Verified", ("holds",), ((FACT, " read"),), "good"),))
    sections = (section("s", "Section", *blocks),)
    return Report(name, "described", "2026-11-22", Paragraph(("It is ", FACT, ".")), cards, sections, ("Section",), False)


def pdf_of(made: Report, folder: Path) -> "pypdf.PdfReader":
    write_pdf(made, folder)
    return pypdf.PdfReader(folder / "report.pdf")


def text_of(reader: "pypdf.PdfReader") -> str:
    return "".join(page.extract_text() for page in reader.pages)


def bare(text: str) -> str:
    """Without blanks, and as one way of writing each letter: where lines end is the page's affair."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


@settings(max_examples=40)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
@example('#panic("x") $x$ *a* _b_ `c` <l> @r // = /* \\ " \' -- --- ... ~ [x] #{1}')
@example("漢字 Жук ελ \u0301 a\u0301 \u202egnp.exe \x00 \x1b[31m \ue000 \U0001f600")
def test_any_text_survives(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("pdf")
    found = bare(text_of(pdf_of(report(table(["head"], [[f"BEGIN{text}END"]], caption="")), folder)))
    inside = re.search("BEGIN(.*)END", found)
    assert inside is not None and _letters(inside[1]) == _letters(bare(printable(text)))


def _letters(text: str) -> str:
    """Letters that are set from right to left, and marks on letters, are read back in another order."""
    ordered = unicodedata.normalize("NFD", text)
    return "".join(sorted(ordered))


def test_what_no_font_has_is_shown_by_its_number() -> None:
    assert printable("a漢\u202e\x1b\ue000\U0001f923z") == "a⟨U+6F22⟩⟨U+202E⟩⟨U+001B⟩⟨U+E000⟩⟨U+1F923⟩z"
    assert printable("Größe ≤ 5 ‰, ελ, Жук\nx") == "Größe ≤ 5 ‰, ελ, Жук\nx"


def test_every_block_is_set_and_the_archives_standard_is_named(tmp_path: Path) -> None:
    rows = [["row", FACT], ["short"], ["all", (FACT, " of ", FACT)]]
    drawn = figure(bars(["de <x>"], {"Model": [1.5]}, "bits"), "Drawn.", "a.json", "/x")
    blocks = [heading("Inner"), paragraph("Text ", FACT), note("remark"), table(["a", "b"], rows, caption="Told.", total=True)]
    reader = pdf_of(report(*blocks, drawn, sample("Asked", ("After", FACT)), details("More", paragraph("hidden"))), tmp_path)
    text = text_of(reader)
    for part in (
        "Inner",
        "remark",
        "Told.",
        "Drawn.",
        "a.json#/x",
        "Asked",
        "After",
        "More",
        "hidden",
        "de <x>",
        "Where the numbers",
    ):
        assert part in text
    raw = (tmp_path / "report.pdf").read_bytes()
    data = reader.trailer["/Root"]["/Metadata"].get_data()
    assert b"<pdfaid:part>2</pdfaid:part><pdfaid:conformance>A</pdfaid:conformance>" in data and b"<pdfuaid:part>1<" in data
    assert b"2026-11-22" in data and raw.startswith(b"%PDF-1.7")
    assert [one["/Title"] for one in reader.outline if isinstance(one, dict)] == ["Section", "Where the numbers are from"]
    fonts = {
        str(font["/BaseFont"]) for page in reader.pages for font in (o.get_object() for o in page["/Resources"]["/Font"].values())
    }
    assert all("+" in font for font in fonts), "every font is in the file"


def test_numbers_lead_to_the_line_that_tells_their_source(tmp_path: Path) -> None:
    reader = pdf_of(report(paragraph("Text ", FACT)), tmp_path)
    links = [one.get_object() for page in reader.pages for one in page.get("/Annots", ())]
    assert len([one for one in links if "/Dest" in one or "/A" in one]) >= 3
    assert "/bits_per_byte/all" in bare(text_of(reader).replace("\u200b", "")) and "pellucid evaluate RECIPE" in text_of(reader)


def test_long_tables_have_their_heads_on_every_page_and_wide_ones_a_page_on_its_side(tmp_path: Path) -> None:
    long = table(["Source of it", "Tokens"], [[f"name {n}", str(n)] for n in range(150)], caption="Long.")
    wide = table([f"Column {n}" for n in range(24)], [["a longer word"] + ["123456"] * 23], caption="Wide.")
    reader = pdf_of(report(long, wide), tmp_path)
    pages = [page.extract_text() for page in reader.pages]
    assert sum("Source of it" in page for page in pages) >= 3
    flipped = [page for page in reader.pages if page.mediabox.width > page.mediabox.height]
    assert len(flipped) == 1 and "Wide." in flipped[0].extract_text()


def test_short_tables_and_samples_are_not_parted_and_long_ones_begin_with_more_than_a_line(tmp_path: Path) -> None:
    for lines in range(24, 46, 3):
        filled = [paragraph(f"Filled {n}.") for n in range(lines)]
        short = table(["Head", "Value"], [[f"short-{n}", "1"] for n in range(12)], caption="Short.")
        long = table(["Other", "Value"], [[f"long-{n}", "1"] for n in range(90)], caption="Long.")
        asked = sample("Asked", ("Before", "said before\n" * 6), ("After", "said after\n" * 6))
        for block, words in ((short, [f"short-{n}" for n in range(12)]), (asked, ["Before", "said after"])):
            pages = [page.extract_text() for page in pdf_of(report(*filled, block), tmp_path).pages]
            on = {number for number, page in enumerate(pages) for word in words if word in page}
            assert len(on) == 1, lines
        pages = [page.extract_text() for page in pdf_of(report(*filled, long), tmp_path).pages]
        assert {number for number, page in enumerate(pages) if "long-0" in page} == {
            number for number, page in enumerate(pages) if "long-2\n" in page or "Long." in page
        }


_AGAIN = """
import sys
from pathlib import Path
from pellucid.report.facts import Facts
from pellucid.report.page import compose, write_page
from pellucid.report.typst import write_pdf
from pellucid.stages.run_folder import open_recipe
run, out = Path(sys.argv[1]), Path(sys.argv[2])
made = compose(Facts(run), open_recipe(run))
write_page(made, out)
write_pdf(made, out)
"""


def test_a_copy_of_a_run_gives_the_same_bytes_in_another_place_time_zone_and_order_of_hashes(
    finished_run: Path, run_copy: Path, tmp_path: Path
) -> None:
    found = []
    for number, run in enumerate((finished_run, run_copy)):
        out = tmp_path / f"out-{number}"
        told = {"TZ": ("UTC", "Asia/Tokyo")[number], "PYTHONHASHSEED": str(number + 1), "LC_ALL": ("C", "C.UTF-8")[number]}
        subprocess.run([sys.executable, "-c", _AGAIN, str(run), str(out)], env={**os.environ, **told}, check=True, timeout=300)
        found.append({path.relative_to(out): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()})
    assert found[0].keys() == found[1].keys() and len(found[0]) > 10
    assert [name for name in found[0] if found[0][name] != found[1][name]] == []


def test_the_pdf_of_a_run_says_what_its_page_says(finished_run: Path) -> None:
    made = compose(Facts(finished_run), open_recipe(finished_run))
    text = bare(text_of(pypdf.PdfReader(io.BytesIO((finished_run / "report" / "report.pdf").read_bytes()))))
    for one in made.sections:
        assert bare(one.title) in text
