from fractions import Fraction

import pytest

from pellucid.evals.reflection.arithmetic import problem
from pellucid.evals.reflection.gsm8k import read_worked
from pellucid.evals.reflection.plant import Planted, plant
from pellucid.evals.reflection.prompts import CONDITIONS, Frame

ERROR_TRIGGER, ERROR, RIGHT_TRIGGER, RIGHT = CONDITIONS
PLANTED = plant(problem(5), 1)  # 29 * 8 = 232; 232 + 60 = 289 (292)


def test_the_prompt_ends_with_the_step_of_the_error() -> None:
    frame = Frame((problem(1_000_000),))
    assert frame.prompt(PLANTED, ERROR).endswith(
        "\n\nQuestion: Omar reads 29 pages on each of 8 days. His book has 60 pages more than that. He reads 14 of the pages that"
        " are left. How many pages are there still to read?\nAnswer:\n"
        "Pages read at first: 29 * 8 = 232.\nPages of the book: 232 + 60 = 289."
    )
    assert frame.prompt(PLANTED, ERROR).count("Question: ") == 2 and frame.prompt(PLANTED, ERROR).count("The answer is") == 1
    assert frame.prompt(PLANTED, ERROR_TRIGGER) == frame.prompt(PLANTED, ERROR) + "\nWait,"
    assert Frame(voice="other").prompt(PLANTED, ERROR).split("\n")[1] == "Another student's answer:"
    assert Frame(carried=True).prompt(PLANTED, ERROR).endswith("\nPages still to read: 289 - 246 = 43.")


@pytest.mark.parametrize("carried", [False, True])
def test_controls_are_equal_but_for_the_error(carried: bool) -> None:
    frame = Frame((problem(1_000_000),), carried=carried)
    for number in range(0, 200, 2):
        planted = plant(problem(number), 1)
        wrong, right = (frame.prompt(planted, condition).split("\n") for condition in (ERROR, RIGHT))
        differing = [at for at, (a, b) in enumerate(zip(wrong, right, strict=True)) if a != b]
        assert differing[0] == len(wrong) - (len(planted.worked.steps) - planted.step if carried else 1)
        assert carried or len(differing) == 1
        assert frame.prompt(planted, RIGHT_TRIGGER) == "\n".join([*right, "Wait,"])
        for condition in CONDITIONS:  # the ways to go on are the same under all conditions
            ways = [frame.pair(planted, condition, right=side).continuation for side in (True, False)]
            plain = [frame.pair(planted, RIGHT, right=side).continuation for side in (True, False)]
            assert [way.strip().lower() for way in ways] == [way.strip().lower() for way in plain]
            assert frame.pair(planted, condition, right=True).context == frame.prompt(planted, condition)


def test_the_ways_to_go_on_hold_the_rest_of_the_answer() -> None:
    frame = Frame()
    right, wrong = (frame.pair(PLANTED, ERROR, right=side).continuation for side in (True, False))
    assert right == "\nPages read in all: 232 + 14 = 246.\nPages still to read: 292 - 246 = 46.\nThe answer is 46."
    assert wrong == "\nPages read in all: 232 + 14 = 246.\nPages still to read: 289 - 246 = 43.\nThe answer is 43."
    assert frame.pair(PLANTED, ERROR_TRIGGER, right=True).continuation.startswith(" pages read in all:")
    ended = Planted(PLANTED.worked, 3, PLANTED.worked.answer, PLANTED.right_answer + 1)
    assert frame.pair(ended, ERROR_TRIGGER, right=False).continuation == " the answer is 47."


def test_names_keep_their_capital_after_a_trigger() -> None:
    worked = read_worked("a", "Ann eats?", "She takes 2+2=<<2+2=4>>4\nAnn eats 4*2=<<4*2=8>>8\nHe has 8-1=<<8-1=7>>7", "7")
    starts = [Frame().pair(Planted(worked, at, worked.steps[at].results[0], Fraction(9)), ERROR_TRIGGER, right=True)
              for at in range(2)]  # fmt: skip
    assert [pair.continuation.split()[0] for pair in starts] == ["Ann", "he"]


def test_the_question_alone_asks_for_the_models_own_answer() -> None:
    assert Frame(voice="other").question(PLANTED.worked).endswith("still to read?\nAnswer:")
