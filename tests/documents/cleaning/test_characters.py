import re
import sys

import numpy as np

from pellucid.documents.cleaning.characters import (
    ALPHA,
    CLOSING,
    LINE_BREAKS,
    NON_DIGIT,
    NON_LETTER,
    NON_PUNCTUATION,
    NON_SPACE,
    NON_SYMBOL,
    code_mixes,
    code_traits,
    parse_ranges,
    sentence_ends,
    terminal_marks,
)


def test_letters_and_spaces_are_those_of_python_over_all_of_unicode() -> None:
    traits = code_traits()
    chars = [chr(code) for code in range(sys.maxunicode + 1)]
    letters = np.fromiter((char.isalpha() for char in chars), dtype=bool)
    spaces = np.fromiter((char.isspace() for char in chars), dtype=bool)
    assert np.array_equal((traits & ALPHA) != 0, letters)
    assert np.array_equal((traits & NON_LETTER) == 0, letters | spaces)
    assert np.array_equal(traits == 0, spaces)
    assert np.array_equal((traits & NON_SPACE) == 0, spaces)


def test_line_breaks_are_those_of_splitlines() -> None:
    assert [code for code in range(sys.maxunicode + 1) if len(f"a{chr(code)}b".splitlines()) == 2] == list(LINE_BREAKS)


def test_marks_have_the_traits_that_rules_ask_for() -> None:
    traits = code_traits()
    assert not any(traits[ord(char)] & NON_SYMBOL for char in ".,#-—…?!{}()«»。、\x01\x9f")
    assert all(traits[ord(char)] & NON_SYMBOL for char in "a1é日🙂€•")
    assert not any(traits[ord(char)] & NON_PUNCTUATION for char in ".,-—…?!{}。")
    assert all(traits[ord(char)] & NON_PUNCTUATION for char in "a$+<€")
    assert [chr(code) for code in np.flatnonzero((traits & NON_DIGIT) == 0) if not chr(code).isspace()] == list("0123456789")
    assert all(traits[ord(char)] & CLOSING for char in ",.")


def test_what_ends_a_sentence_ends_a_line_like_one() -> None:
    assert not (sentence_ends() & ~terminal_marks()).any()
    assert (int(sentence_ends().sum()), int(terminal_marks().sum())) == (128, 159)
    assert all(terminal_marks()[ord(char)] for char in ".?!。؟।") and not terminal_marks()[ord("…")]


def test_numbers_of_code_points_are_all_different_and_ranges_are_read() -> None:
    assert len(np.unique(code_mixes())) == sys.maxunicode + 1
    assert parse_ranges("2a 30-39") == [(0x2A, 0x2A), (0x30, 0x39)]
    assert re.fullmatch(r"\S", chr(parse_ranges("2a")[0][0]))
