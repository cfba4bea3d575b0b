import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.restructure.template import Phrasing, Template, parse_phrasing
from pellucid.recipe.template import TemplateFieldConfig


def test_a_phrasing_is_cut_at_its_placeholders_and_doubled_braces_are_braces() -> None:
    phrasing = parse_phrasing("{a}: {{x}} { b.c }{a}")
    assert phrasing == Phrasing(("", "a", ": {x} ", "b.c", "", "a", ""))
    assert phrasing.names == ("a", "b.c", "a")
    assert phrasing.fill({"a": "1", "b.c": "2"}) == "1: {x} 21"


@given(value=st.text(max_size=20), around=st.text(max_size=10))
def test_a_value_is_never_interpreted_and_a_literal_stays_as_it_was_meant(value: str, around: str) -> None:
    text = around.replace("{", "{{").replace("}", "}}")
    assert parse_phrasing(f"{text}{{v}}{text}").fill({"v": value}) == around + value + around


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a { b", r"a '\{' stands alone, in 'a \{ b'"),
        ("a } b", r"a '\}' stands alone"),
        ("{}", "the placeholder {} has no name"),
        ("{a\nb}", "stands alone"),
    ],
)
def test_a_brace_that_stands_alone_is_shown(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_phrasing(text)


def test_a_template_knows_the_paths_that_it_needs() -> None:
    fields = {
        "q": TemplateFieldConfig(),
        "a": TemplateFieldConfig(path="key", pick="choices.text", labels="choices.label"),
        "c": TemplateFieldConfig(optional=True),
    }
    template = Template("t", fields, (), {})
    assert template.required == ("q", "key", "choices.text", "choices.label")
    assert template.optional == ("c",)
