from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.evals.reflection.quantities import evaluate, final_answer, in_digits, in_words, read_digits, read_words

HALF = Fraction(1, 2)


@given(st.integers(0, 999_999))
def test_a_number_in_words_reads_back(number: int) -> None:
    words = in_words(Fraction(number))
    assert read_words(words) == number
    assert final_answer(f"the answer is {words}.") == number
    if number != 1:
        assert final_answer(f"so it is {words}.") == number
        assert final_answer(words.replace("hundred ", "hundred and ")) == number


@given(st.fractions(min_value=-10_000, max_value=10_000, max_denominator=8).filter(lambda x: x.denominator in (1, 2, 4, 5, 8)))
def test_a_number_in_digits_reads_back(number: Fraction) -> None:
    assert read_digits(in_digits(number)) == number


def test_words_are_english() -> None:
    assert in_words(Fraction(0)) == "zero"
    assert in_words(Fraction(120_342)) == "one hundred twenty thousand three hundred forty-two"
    assert in_digits(Fraction(-1, 4)) == "-0.25"


@pytest.mark.parametrize("value", [Fraction(1, 3), Fraction(1, 100_000)])
def test_what_cannot_be_written_is_said(value: Fraction) -> None:
    with pytest.raises(ValueError, match="more than 4 decimals"):
        in_digits(value)
    with pytest.raises(ValueError, match="whole number"):
        in_words(value)


def test_sums_are_exact_and_nothing_else_runs() -> None:
    values = {"a": Fraction(1), "b": Fraction(3)}
    assert evaluate("a / b + a / b - (a - b) * a", values) == Fraction(2, 3) + 2
    assert evaluate("-a", values) == -1
    for text in ("a / (b - b)", "c", "a ** b", "f(a)", "a +", "1 + a", "__import__('os')"):
        with pytest.raises(ValueError):
            evaluate(text, values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So the answer is 18.", 18),
        ("the answer is 7 apples. Wait, the answer is $1,250.50 now. Then 3 more.", Fraction(125050, 100)),
        ("The answer is forty-two.", 42),
        ("9 * 2 = 18", 18),
        ("18 eggs. #### 19", 19),
        ("it is -5", -5),
        ("someone often weighed it", None),
        ("", None),
        ("The answer is unknown", None),
        ("There are 4. The answer is unknown", 4),
        ("we have one hundred and five", 105),
        ("the answer is -3", -3),
        ("She has 12 apples. Tom ate the last one.", 12),
        ("Tom ate the last one.", None),
        ("The answer is one.", 1),
        ("It is 2 thousand", 2000),
        ("The answer is 1.5 million.", 1_500_000),
        ("3 of the two hundred", 3),
    ],
)
def test_a_final_answer_is_found(text: str, expected: Fraction | None) -> None:
    assert final_answer(text) == expected
