from collections.abc import Callable

from pellucid.evals.reflection.arithmetic import TEMPLATES, problem
from pellucid.evals.reflection.quantities import final_answer

PROBLEMS = [problem(number) for number in range(600)]


def test_worked_answers_are_right_by_another_reckoning(solve: Callable[[str], int]) -> None:
    for worked in PROBLEMS:
        assert worked.values()[worked.answer] == solve(worked.question), worked
        assert final_answer(worked.conclusion(worked.values())) == solve(worked.question)
        assert all(value > 0 for value in worked.values().values()), worked


def test_each_line_says_a_true_sum() -> None:
    for worked in PROBLEMS:
        for number in range(len(worked.steps)):
            _, _, calculation = worked.line(number).partition(": ")
            if worked.group == "digits":
                left, right = calculation.removesuffix(".").split(" = ")
                assert eval(left) == int(right), worked
            else:
                assert " is " in calculation and not any(letter.isdigit() for letter in calculation)


def test_problem_n_is_the_same_for_good() -> None:
    assert problem(0).question == "A shop has 22 boxes of 9 pencils. It sells 4 pencils. How many pencils are left?"
    assert problem(13).line(0) == "apples for each child: twenty divided by four is five."
    assert problem(7) == problem(7)


def test_templates_take_turns_in_digits_and_in_words() -> None:
    assert {worked.id.split("-")[0] for worked in PROBLEMS[: len(TEMPLATES)]} == {template.name for template in TEMPLATES}
    assert sum(worked.group == "words" for worked in PROBLEMS) == len(PROBLEMS) // 2
    assert len({worked.id for worked in PROBLEMS}) == len(PROBLEMS)
    assert len({worked.question for worked in PROBLEMS}) > 0.95 * len(PROBLEMS)
