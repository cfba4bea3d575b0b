import pytest

from pellucid.evals.needle.needles import PLACES, Needle
from pellucid.evals.needle.prompts import decoding, frame, judge_conversation, rating


@pytest.mark.parametrize("style", ["complete", "chat"])
def test_the_question_stands_behind_the_haystack_and_nothing_in_front_depends_on_it(style: str) -> None:
    one, other = (frame(style, question) for question in ("Which number?", "Which word?"))  # type: ignore[arg-type]
    assert one.before == other.before
    assert "Which number?" in one.after
    assert not any(place in one.before for place in PLACES)


def test_a_base_model_ends_with_its_line() -> None:
    assert decoding("complete", 9).stop == ("\n",)
    assert decoding("chat", 9).stop == ()
    assert decoding("chat", 9).temperature == 0


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("It gives all of it.\nRating: 10", 10),
        ("**Rating:** 7", 7),
        ("rating: [[3]].", 3),
        ("Rating: 5/10", 5),
        ("Rating: 2. No: it says more. Rating: 7", 7),
        ("Rating 8.5", 8.5),
        ("Rating (1-10): 8", 8),
        ("<think>Rating: 3</think>\nRating: 6", 6),
        ("<think>Rating: 3", None),
        ("Rating: 0", None),
        ("Rating: 11", None),
        ("Rating: 100", None),
        ("The number is 10.", None),
        ("", None),
    ],
)
def test_the_last_rating_from_1_to_10_counts(words: str, value: float | None) -> None:
    assert rating(words) == value


def test_a_judge_sees_question_fact_and_answer_even_when_there_is_none() -> None:
    needle = Needle("The lamp is {red}.", "Which lamp?", ("red",))
    (message,) = judge_conversation(needle, "  \n")
    assert message["role"] == "user"
    for shown in (needle.sentence, needle.question, "(nothing)"):
        assert shown in message["content"]
