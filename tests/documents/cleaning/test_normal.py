"""Normalisation is Python's own, also of text made to slow it down."""

import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.documents.cleaning.normal import _is_mark, normal_form


@given(
    st.text(max_size=20) | st.text("aé\u0301\u0316\u0345\u0f73\u0f81\u0344\u3099ﬁ\u1100\u1161", max_size=20),
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
    st.integers(1, 4),
)
def test_sorting_the_marks_before_changes_nothing(text: str, form: Literal["NFC", "NFD", "NFKC", "NFKD"], long_run: int) -> None:
    assert normal_form(text, form, long_run) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0f73", "\u0344\u0316"])
def test_a_megabyte_of_marks_in_the_wrong_order_is_put_into_order(marks: str) -> None:
    count = 500_000  # by insertion: 250 billion moves at least
    text = normal_form("e" + marks * count + " e\u0301", "NFC")
    assert text.endswith(" é")
    classes = [unicodedata.combining(char) for char in text[1:-2]]
    assert classes == sorted(classes)


def test_marks_are_all_characters_that_begin_with_one_when_decomposed() -> None:
    for char in map(chr, range(0x110000)):
        assert _is_mark(char) == (unicodedata.combining(unicodedata.normalize("NFD", char)[0]) != 0)
