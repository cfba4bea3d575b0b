from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.release.markdown import as_code, cell, listed, number, plain, table


def test_cells_stay_cells() -> None:
    assert cell("a | b\n<script>") == "a \\| b &lt;script&gt;"
    assert cell(None) == "–"


def test_a_table_says_which_columns_are_numbers() -> None:
    assert table(("A", "B"), [("x", 1)], right=(1,)) == "| A | B |\n| --- | ---: |\n| x | 1 |\n"
    assert table(("A",), []) == "" and listed(["a", "b"]) == "- a\n- b\n"


@pytest.mark.parametrize(("value", "shown"), [(None, None), (1234567, "1 234 567"), (2.0, "2"), (0.12345, "0.123"), (0, "0")])
def test_numbers(value: float | None, shown: str | None) -> None:
    assert number(value) == shown


HOSTILE = (
    "![](http://evil.example/t.png)",
    "[here](http://evil.example)",
    "<script>alert(1)</script>",
    "**bold** _x_ `code` ~~gone~~",
    "# heading",
    "- point",
    "1. point",
    "---",
    "a | b",
    "&lt;b&gt;",
    "\\[a\\](b)",
    "a\n\n# b",
    "two_words and __three__",
)


def read(text: str) -> list[Any]:
    """What a reader of CommonMark with tables makes of a text, as a flat list of tokens."""
    markdown = pytest.importorskip("markdown_it")
    tokens = markdown.MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [part for token in tokens for part in (token, *(token.children or ()))]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["{}\n", "- {}\n", "| A | B |\n| --- | --- |\n| {} | x |\n"])
def test_a_reader_of_markdown_shows_the_letters_of_a_text_and_nothing_else(text: str, place: str) -> None:
    tokens = read(place.format(plain(text)))
    shown = "".join(token.content for token in tokens if token.type in ("text", "text_special"))
    assert " ".join(text.split()) in shown
    kinds = {token.type.rpartition("_")[0] or token.type for token in tokens if not token.type.endswith("_close")}
    assert kinds <= {"paragraph", "text", "inline", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td"}


@given(st.text(max_size=60))
def test_no_text_steers_or_hides_or_gets_out_of_its_cell(text: str) -> None:
    row = f"| {cell(text)} | x |"
    assert not {"\x1b", "\u202e", "\n", "<", "\u2028"} & set(row)
    tokens = read(f"| A | B |\n| --- | --- |\n{row}\n")
    assert sum(token.type == "td_open" for token in tokens) == 2
    assert not {token.type for token in tokens} & {"image", "link_open", "html_inline", "html_block", "em_open", "strong_open"}


def test_control_and_direction_characters_are_signs() -> None:
    assert plain("a\x1b[31mb\u202ec") == "a␛\\[31mb⟨U+202E⟩c"
    assert as_code("x `y`\n\x1b") == "`x 'y' ␛`"
