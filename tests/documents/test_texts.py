from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import RecipeError
from pellucid.documents.texts import TextOf, UnfitError, Wanted
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]


def reason(text_of: TextOf, fields: dict[str, object]) -> tuple[str, str]:
    with pytest.raises(UnfitError) as caught:
        text_of(fields, "a.jsonl", "a.jsonl:1", None)
    return caught.value.reason, caught.value.detail


def test_the_text_may_lie_deep_in_a_record(tmp_path: Path, make_source: MakeSource) -> None:
    text_of = TextOf(make_source("*", text_column="message.parts.0"), tmp_path)
    assert text_of({"message": {"parts": ["hello", "there"]}}, "a.jsonl", "1", None) == "hello"
    assert reason(text_of, {"message": {"parts": []}})[0] == "no text"


def test_why_there_is_no_text_is_said_with_what_is_there(tmp_path: Path, make_source: MakeSource) -> None:
    text_of = TextOf(make_source("*"), tmp_path)
    assert reason(text_of, {"txt": 1, "url": 2}) == ("no text", "has no field 'text' (its fields: txt, url)")
    assert reason(text_of, {"text": None}) == ("no text", "has null in 'text'")
    assert reason(text_of, {"text": ""}) == ("empty text", "has an empty 'text'")
    assert reason(text_of, {"text": {"de": "x", "n": 1}}) == (
        "text is not a string",
        "has a dict in 'text' (strings in it: text.de)",
    )
    assert reason(text_of, {"text": ["x"]}) == ("text is not a string", "has a list in 'text'")


def test_several_fields_make_a_text_through_a_template(tmp_path: Path, make_source: MakeSource) -> None:
    text_of = TextOf(make_source("*", template="Q: {question}\nA: {answers.text.0}"), tmp_path)
    assert text_of.wanted == Wanted(("question", "answers.text.0"))
    assert text_of({"question": "{why}?", "answers": {"text": ["so"]}}, "a", "1", None) == "Q: {why}?\nA: so"
    assert reason(text_of, {"question": "why"})[0] == "template: field missing"
    assert reason(text_of, {"question": {"x": 1}, "answers": {"text": ["so"]}})[0] == "template: field is no text"
    with pytest.raises(RecipeError, match="no template of that name"):
        TextOf(make_source("*", template="nothing-like-it"), tmp_path)


def test_the_columns_of_a_table_that_are_read_are_those_of_the_text_and_what_it_says_of_itself() -> None:
    wanted = Wanted(("a.b", "c"), ("d", "e"))
    names = ["id", "x", "c", "a", "d", "url", "license"]
    assert wanted.columns(names, names) == ["a", "c", "d", "id", "license", "url"]
    assert wanted.columns(names, ["url", "x"]) == ["a", "c", "d", "url"]
    assert wanted.columns(["a.b", "a"], []) == ["a.b"]


def test_html_becomes_its_main_text_or_is_dropped(tmp_path: Path, make_source: MakeSource) -> None:
    pytest.importorskip("trafilatura", exc_type=ImportError)
    text_of = TextOf(make_source("*", html=True, text_column="page"), tmp_path)
    paragraph = "A long paragraph about the tides, which rise and fall twice a day along this coast. " * 3
    assert (
        text_of({"page": f"<html><body><article><p>{paragraph}</p></article></body></html>"}, "a", "1", None) == paragraph.strip()
    )
    assert reason(text_of, {"page": "<html><body></body></html>"}) == ("html: no text", "holds no main text")


def test_whoever_wants_whole_records_gets_every_column() -> None:
    assert Wanted(everything=True).columns(["b", "a"], []) == ["b", "a"]
