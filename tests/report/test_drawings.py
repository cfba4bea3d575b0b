import csv
import io
import re
import xml.etree.ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from pellucid.report.blocks import Drawing, Figure
from pellucid.report.drawings import as_csv, figures_of, in_page, name_figures, standalone
from pellucid.report.figures import bars, curves
from pellucid.report.markup import details, figure, section

LINES = {"a": ([1.0, 2.0], [0.5, 0.25]), "b": ([1.0, 2.0], [0.125, 3e-9])}


def test_names_are_of_section_and_caption_and_differ() -> None:
    first = figure(curves(LINES, "x", "y"), "Loss, of <it>.", "a.json")
    second = figure(Drawing("<svg></svg>"), "Loss, of <it>.", "b.json")
    sections = [section("training", "T", first, details("more", second), first), section("data", "D", second)]
    assert [*figures_of(sections)] == [first, second, first, second]
    assert name_figures(sections) == {first: "training-loss-of-it", second: "training-loss-of-it--2"}


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))


@given(st.lists(st.tuples(TEXTS, st.floats(allow_nan=False) | st.none())))
def test_every_digit_is_in_the_csv(rows: list[tuple[str, float | None]]) -> None:
    heads, *read = csv.reader(io.StringIO(as_csv(Drawing("", ("name", "value"), tuple(rows))), newline=""))
    assert heads == ["name", "value"]
    assert [(name, float(value) if value else None) for name, value in read] == [(n, v) for n, v in rows]


def test_a_file_says_what_it_shows() -> None:
    drawn = figure(bars(["de"], {"Model": [1.5]}, "bits"), "Bits <per> byte", "a.json", "/x")
    root = ET.fromstring(standalone(drawn))
    title, told = root[0], root[1]
    assert (title.text, told.text) == ("Bits <per> byte", "Drawn from a.json#/x: Model; 1 rows.")
    assert root.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"


def test_drawings_of_one_page_share_no_identifiers_and_lead_only_to_their_own() -> None:
    drawn = figure(curves(LINES, "x", "y"), "c", "a.json")
    both = in_page(drawn, "f1") + in_page(drawn, "f2")
    names = re.findall(r' id="([^"]+)"', both)
    assert len(names) == len(set(names)) > 2
    assert {target for _, target in re.findall(r'(href="#|url\(#)([^")]+)', both)} <= set(names)
    assert "var(--ink)" in both and "font-family" not in both
    ET.fromstring(in_page(drawn, "f1").replace("<svg", '<svg xmlns:xlink="http://www.w3.org/1999/xlink"', 1))


def test_a_figure_without_a_file_is_described_by_its_columns() -> None:
    assert '<desc id="f1-desc">x, a, b.</desc>' in in_page(Figure(curves(LINES, "x", "y"), "c", ""), "f1")
