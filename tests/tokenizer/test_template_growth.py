"""What is told beforehand is never less than what is made."""

import operator

from hypothesis import given
from hypothesis import strategies as st

from pellucid.tokenizer.template_growth import GROWING, growth

texts = st.text("ab %\n\t{}", max_size=30)
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
    assert len(text.replace("\n", "\n" + " " * width)) <= growth("indent", text, (width,), {})
    assert len(text.replace("\n", "\n" + " " * width)) <= growth("indent", text, (), {"width": " " * width})


def test_what_makes_nothing_longer_costs_nothing() -> None:
    assert growth("strip", "text", (), {}) == growth("upper", "text", (), {}) == growth("%", 7, (3,), {}) == 0
