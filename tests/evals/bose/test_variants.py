import pytest

from pellucid.core.errors import DataError
from pellucid.evals.bose.question import Question
from pellucid.evals.bose.variants import COSTS, FORMS, VARIANTS, ask, fill_blank
from pellucid.evals.subject import Likelihood, Pair

QUESTION = Question("q", "Which is hot?", ("ice", "the sun", "snow"), 1)
EXAMPLE = Question("e", "Which is cold?", ("fire", "ice"), 1)


def test_letters_options_and_blanks_are_shown_so() -> None:
    assert ask(QUESTION, "letter", 0, ()) == tuple(
        Pair("Question: Which is hot?\nA. ice\nB. the sun\nC. snow\nAnswer:", f" {letter}") for letter in "ABC"
    )
    assert ask(QUESTION, "option", 0, ())[1] == Pair("Question: Which is hot?\nAnswer:", " the sun")
    assert ask(QUESTION, "blank", 0, ())[1] == Pair("Question: Which is hot? The answer is", " the sun.")


@pytest.mark.parametrize(
    ("question", "choice", "expected"),
    [
        ("Plants need ___ to grow.", "light", ("Plants need", " light to grow.")),
        ("Plants need _____.", "light", ("Plants need", " light.")),
        ("____ grow", "Plants", ("", "Plants grow.")),
        ("Predators eat", "prey.", ("Predators eat", " prey.")),
        ("To open it,", "pull!", ("To open it,", " pull!")),
        ("Is ___ or ___ hot?", "fire, sun", ("Question: Is ___ or ___ hot? The answer is", " fire, sun.")),
    ],
)
def test_the_blank_is_the_questions_own_or_its_end(question: str, choice: str, expected: tuple[str, str]) -> None:
    assert fill_blank(question, choice) == Pair(*expected)


def test_examples_come_before_with_their_right_choice() -> None:
    shown = [ask(QUESTION, variant, 0, (EXAMPLE,))[0].context.split("\n\n")[0] for variant in VARIANTS]
    assert shown == [
        "Question: Which is cold?\nA. fire\nB. ice\nAnswer: B",
        "Question: Which is cold?\nAnswer: ice",
        "Question: Which is cold? The answer is ice.",
    ]


def test_a_form_changes_the_wording_and_of_letters_the_order() -> None:
    many = Question("m", "Which?", tuple("pqrstuvw"), 0)
    for variant in VARIANTS:
        assert len({ask(many, variant, form, ())[0].context for form in range(FORMS)}) == FORMS
    lines = [ask(many, "letter", form, ())[0].context.split("\n") for form in range(FORMS)]
    assert [line[3] for line in lines[0][1:-1]] == list("pqrstuvw")
    assert sorted(line[3] for line in lines[1][1:-1]) == list("pqrstuvw") and lines[1][1:-1] != lines[0][1:-1]
    for form in range(FORMS):  # the letter scored for a choice is the one that it stands by
        for choice, pair in zip(many.choices, ask(many, "letter", form, ()), strict=True):
            assert f"\n{pair.continuation.strip()}. {choice}\n" in pair.context
    assert [pair.continuation for pair in ask(many, "option", 2, ())] == [f" {choice}" for choice in many.choices]


def test_each_cost_is_what_it_says() -> None:
    found = [Likelihood(6.0, 2, False), Likelihood(4.0, 1, False)]
    choices = ("né", "x")
    assert COSTS["option"]["option"](found, choices) == [6, 4]
    assert COSTS["option"]["option_bytes"](found, choices) == [2, 4]
    assert COSTS["blank"]["blank"](found, choices) == [3, 4]


def test_more_choices_than_letters_are_refused() -> None:
    with pytest.raises(DataError, match="27 choices; letters reach to 26"):
        ask(Question("q", "?", tuple(map(str, range(27))), 0), "letter", 0, ())
