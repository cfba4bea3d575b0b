import re

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.points import Points, Spans, fractions, lay_out, points_of, powers, repeats

PIECES = ["a", "bc", " ", "\n", "\n\n", "\r", "\r\n", "\u2028", "\x85", "\x1c", "\t", "日", "🙂", "\ud800", "\0"]
texts_strategy = st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=10), max_size=6)


def lay(texts: list[str]) -> Points:
    return lay_out(texts, np.arange(len(texts)))


def parts(points: Points, spans: Spans, text: int) -> list[str]:
    own = spans.keep(spans.text_L == text)
    return [points.text[begin:end] for begin, end in zip(own.begin_L.tolist(), own.end_L.tolist(), strict=True)]


@given(texts_strategy)
def test_lines_pieces_and_paragraphs_are_those_of_python(texts: list[str]) -> None:
    points = lay(texts)
    for index, text in enumerate(texts):
        assert parts(points, points.lines, index) == text.splitlines()
        assert parts(points, points.pieces, index) == text.split("\n")
        assert parts(points, points.paragraphs, index) == re.split(r"\n{2,}", text.strip())
        begin, end = points.stripped(points.begin_N[index : index + 1], points.end_N[index : index + 1])
        assert points.text[begin[0] : end[0]] == text.strip()
    assert points.chars.tolist() == list(map(len, texts))


@given(texts_strategy)
def test_numbers_are_equal_where_the_parts_are_wherever_they_stand(texts: list[str]) -> None:
    points = lay(texts)
    spans = points.lines
    numbers = points.numbers(spans.begin_L, spans.end_L).tolist()
    strings = [points.text[begin:end] for begin, end in zip(spans.begin_L.tolist(), spans.end_L.tolist(), strict=True)]
    assert len(set(numbers)) == len(set(strings)) == len(set(zip(numbers, strings, strict=True)))
    for text in texts:
        alone = lay([text])
        own = alone.numbers(alone.lines.begin_L, alone.lines.end_L).tolist()
        assert own == [numbers[strings.index(line)] for line in text.splitlines()]


@given(st.lists(st.lists(st.integers(0, 3), max_size=8), max_size=5))
def test_repeats_are_what_stood_before_in_the_same_text(values: list[list[int]]) -> None:
    flat = np.array([value for row in values for value in row], dtype=np.uint64)
    text = np.array([index for index, row in enumerate(values) for _ in row], dtype=np.int64)
    assert repeats(flat, text).tolist() == [value in row[:place] for row in values for place, value in enumerate(row)]


def test_points_are_of_the_documents_still_there_and_forgotten_with_the_texts() -> None:
    batch = TextBatch(["one", "two", "three"], ["en"] * 3)
    batch.drop(1, "gone")
    points = points_of(batch)
    assert points.rows_N.tolist() == [0, 2] and points.text == "one\nthree\n"
    assert points_of(batch) is points
    points.drop_where(batch, np.array([False, True]), "late", np.array([0.0, 3.0]))
    assert batch.reasons == [None, "gone", "late"] and batch.details[2] == "3"
    batch.replace(0, "four")
    assert points_of(batch).text == "four\n"


def test_powers_have_inverses_and_nothing_divides_by_zero() -> None:
    ups, downs = powers(1000)
    assert np.array_equal(ups * downs, np.ones(1000, dtype=np.uint64))
    assert fractions(np.array([1, 1]), np.array([2, 0])).tolist() == [0.5, 0.0]
