"""What is told beforehand is never less than what is made."""

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import SecurityError

from pellucid.tokenizer.template_growth import GROWING, MOST_DEPTH, growth, reachable, searched, sizes

texts = st.text("ab %\n\t\r\u2028{}", max_size=30)
values = st.recursive(
    st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\'")) | st.integers() | st.floats() | st.none(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner) | st.tuples(inner, inner),
    max_leaves=20,
)
widths = st.integers(-5, 300)


@given(texts, texts, widths)
def test_operators_make_no_more_than_was_told(left: str, right: str, count: int) -> None:
    assert len(left + right) <= growth("+", left, (right,), {})
    assert len(left * count) == growth("*", left, (count,), {}) == growth("*", count, (left,), {})
    assert len([left, right, left]) <= growth("+", [left, right], ([left],), {})
    assert len(operator.mod("%*d|%s", (count, 1, left))) <= growth("%", "%*d|%s", ((count, 1, left),), {})
    assert (count**20).bit_length() <= 8 * growth("**", count, (20,), {})
    assert (count**3 * count**9).bit_length() <= 8 * growth("*", count**3, (count**9,), {})


@given(texts, texts, texts, widths)
def test_methods_make_no_more_than_was_told(text: str, old: str, new: str, width: int) -> None:
    for name in ("center", "ljust", "rjust", "zfill", "expandtabs"):
        assert name in GROWING
        assert len(getattr(text, name)(width)) <= growth(name, text, (width,), {})
    if old:
        assert len(text.replace(old, new)) <= growth("replace", text, (old, new), {})
    assert len(text.join([old, new])) <= growth("join", text, ([old, new],), {}) + len(old) + len(new)
    assert len(f"{text:{abs(width)}}|{old}") <= growth("format", "{:{}}|{}", (text, abs(width), old), {})


@given(texts, st.integers(0, 50))
def test_filters_that_set_in_count_every_line(text: str, width: int) -> None:
    made = ("\n" + " " * width).join(text.splitlines())
    assert len(made) <= growth("indent", text, (width,), {})
    assert len(made) <= growth("indent", text, (), {"width": " " * width})


def test_what_makes_nothing_longer_costs_nothing() -> None:
    assert growth("strip", "text", (), {}) == growth("upper", "text", (), {}) == 0


@given(values)
def test_a_value_written_as_text_is_no_longer_than_its_sizes(value: Any) -> None:
    assert len(str(value)) <= sum(sizes(value))
    assert len("%s %s" % (value, value)) <= growth("%", "%s %s", ((value, value),), {})  # noqa: UP031 (what is tested)
    assert len(f"{value}|{value}") <= growth("format", "{0}|{0}", (value,), {})


@pytest.mark.parametrize("form", ["{:{}}", "{:>{}}", "{!s:>{}}", "{:{}d}"])
def test_a_width_that_comes_from_a_value_counts_as_number_and_as_text(form: str) -> None:
    assert growth("format", form, ("x", 10**10), {}) > 10**10
    assert growth("format", form, ("x", f">{10**10}"), {}) > 10**10


def test_values_are_gone_through_only_so_deep() -> None:
    value: list[Any] = []
    for _ in range(MOST_DEPTH - 1):
        value = [value]
    assert sum(sizes(value)) > 0
    with pytest.raises(SecurityError, match=f"nested deeper than {MOST_DEPTH}"):
        sum(sizes([value]))


def test_shared_parts_count_as_often_as_they_are_gone_through() -> None:
    value: Any = "x" * 1000
    for _ in range(10):
        value = (value, value)
    assert sum(sizes(value)) > 1000 * 2**10


def test_searches_that_python_does_in_the_product_of_both_lengths_cost_it() -> None:
    text, sought = "a" * 10**6, "b" * 10**5
    for name in ("rfind", "rsplit", "strip"):
        assert searched(name, text, (sought,)) >= 10**10
    assert searched("find", text, ("</think>",)) == searched("startswith", text, ("</think>",)) == 10**6
    assert searched("split", "a,b", (",",)) >= 8 * len(["a", "b"])


def test_only_what_is_listed_of_a_value_is_within_reach() -> None:
    assert reachable("x", "strip") and reachable({}, "items") and reachable([1], "index")
    for owner, name in (("x", "encode"), ("x", "translate"), (1, "to_bytes"), (b"x", "ljust"), (range(3), "index"), ({}, "pop")):
        assert not reachable(owner, name)
