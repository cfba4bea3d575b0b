"""The page of a comparison: self-contained, printed rows apart and marked, and no text of an item comes alive."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pellucid.evals.comparing import compare, group_models
from pellucid.evals.stored import open_results
from pellucid.report.compare import printed_kinds, write_comparison

Write = Callable[..., Path]


def page_of(tmp_path: Path, *, printed: bool) -> str:
    models = group_models({name: open_results(tmp_path / name) for name in ("weak", "strong")})
    write_comparison(compare(models, 1), tmp_path / "page.html", printed=printed)
    return (tmp_path / "page.html").read_text()


@pytest.fixture
def two(write_result: Write, tmp_path: Path) -> Path:
    for label, shift in (("weak", 0.0), ("strong", 0.15)):
        tasks = {"arc_challenge": 0.3 + shift, "hellaswag": 0.4}
        write_result(tmp_path / label, "open_llm", label, tasks, metric="acc_norm", dirty=9, complete=label == "weak")
        write_result(tmp_path / label, "choices", label, {"<script>alert(1)</script>": 0.4 + shift})
    return tmp_path


class Outline(HTMLParser):
    """Rows of every table with their classes, and the tags that are open at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "img", "input", "path", "use", "rect", "line"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append((dict(attrs).get("class") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open and self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.rows and "td" in self.open:
            self.rows[-1] = (self.rows[-1][0], f"{self.rows[-1][1]} {data}".strip())


def outline(page: str) -> Outline:
    read = Outline()
    read.feed(page)
    return read


def test_printed_rows_are_apart_and_marked_and_ours_never_are(two: Path) -> None:
    rows = outline(page_of(two, printed=True)).rows
    printed = [(name, text) for name, text in rows if "†" in text]
    assert len(printed) == 11 and all(name.startswith("printed") for name, _ in printed)
    assert [name for name, _ in printed].count("printed first") == 1
    assert all("†" in text for name, text in rows if name.startswith("printed"))
    assert not any("±" in text for _, text in printed), "the print has no errors"
    assert "†" not in page_of(two, printed=False)


def test_the_page_has_tables_figures_tests_and_disagreements(two: Path) -> None:
    page = page_of(two, printed=True)
    assert page.count("<svg") == 2 and page.count("</html>") == 1
    for text in (
        "strong compared with weak",
        "cannot be told apart",
        "Only one right",
        "clean items",
        "In training text",
        "arXiv 2402.17834",
    ):
        assert text in page
    assert "strong (incomplete)" in page and "Items on which they disagree" in page
    assert re.search(r'<tr class="told"><td>arc_challenge</td>.*?better</td></tr>', page)


def test_nothing_is_loaded_and_no_text_comes_alive(two: Path) -> None:
    page = page_of(two, printed=True)
    assert "<script" not in page and "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "which <b>letter" not in page and "which &lt;b&gt;letter" in page
    assert not re.search(r'(src|href)="(?!#)', page) and "@import" not in page and "url(" not in page.replace("url(#", "")
    assert outline(page).open == []


def test_the_same_comparison_gives_the_same_page(two: Path) -> None:
    assert page_of(two, printed=True) == page_of(two, printed=True)


def test_printed_rows_are_told_by_their_kind_and_the_first_by_a_line() -> None:
    assert printed_kinds(1, 4) == {1: "printed first", 2: "printed", 3: "printed"}
    assert printed_kinds(2, 2) == {}


def test_needle_in_a_haystack_has_a_heat_map_for_each_model(write_result: Write, tmp_path: Path) -> None:
    table = {"limits": [0, 1], "mean": [[0.25, 1.0]], "deviation": [[0.0, 0.0]], "count": [[4, 4]]}
    facts = {"lengths": [500], "depths_percent": [0.0, 100.0], "seeds": 4, "tables": {"exact": table}}
    for label in ("weak", "strong"):
        write_result(tmp_path / label, "needle", label, {"needle": 0.5}, metric="exact", items=8, facts=facts)
    page = page_of(tmp_path, printed=False)
    assert "weak: needle in a haystack" in page and "strong: needle in a haystack" in page and "exact match, mean (0 to 1)" in page


def test_cut_items_and_counts_of_each_model_are_said(write_result: Write, tmp_path: Path) -> None:
    write_result(tmp_path / "weak", "choices", "weak", {"piqa": 0.4}, items=40)
    write_result(tmp_path / "strong", "choices", "strong", {"piqa": 0.4}, items=30)
    file = tmp_path / "strong" / "choices" / "result.json"
    raw = json.loads(file.read_text())
    raw["tasks"]["piqa"]["cut_items"] = 3
    file.write_text(json.dumps(raw))
    page = page_of(tmp_path, printed=False)
    assert "<td>40 / 30</td>" in re.sub(r"<td[^>]*>", "<td>", page)
    assert "Items longer than the model&#x27;s context, cut at their beginning: strong: 3." in page
