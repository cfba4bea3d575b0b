from fractions import Fraction

import pytest

from pellucid.evals.reflection.arithmetic import problem
from pellucid.evals.reflection.plant import CannotPlantError, Planted, plant
from pellucid.evals.reflection.quantities import final_answer
from pellucid.evals.reflection.worked import Quantity, Step, Worked

PLANTED = [plant(problem(number), 1) for number in range(400)]


def lines(planted: Planted, *, wrong: bool) -> list[str]:
    return [planted.line(number, planted=wrong) for number in range(len(planted.worked.steps))]


def test_the_error_is_in_one_result_and_carries_to_the_answer() -> None:
    for planted in PLANTED:
        right, wrong = lines(planted, wrong=False), lines(planted, wrong=True)
        assert right[: planted.step] == wrong[: planted.step]
        before, after = right[planted.step].rsplit(" ", 1), wrong[planted.step].rsplit(" ", 1)
        assert right[planted.step] != wrong[planted.step]
        if planted.worked.group == "digits":  # in words a number has spaces
            assert before[0] == after[0] and before[1] != after[1]
        assert planted.right_answer != planted.carried_answer
        assert final_answer(planted.conclusion(planted=True)) == planted.carried_answer
        changed = {name for name, value in planted.carried_values.items() if value != planted.right_values[name]}
        assert planted.quantity in changed and all(planted.carried_values[name] > 0 for name in changed)


def test_both_ways_to_go_on_are_about_as_long() -> None:
    differences = [
        len("".join(lines(planted, wrong=True))) - len("".join(lines(planted, wrong=False)))
        for planted in PLANTED
        if planted.worked.group == "digits"
    ]
    assert max(map(abs, differences)) <= 2 and sum(map(bool, differences)) < 0.05 * len(differences)


def test_any_step_can_have_it_and_the_seed_decides() -> None:
    assert {planted.step for planted in PLANTED} == {0, 1, 2, 3}
    other = [plant(problem(number), 2) for number in range(400)]
    assert plant(problem(3), 1) == PLANTED[3]
    assert sum(a != b for a, b in zip(PLANTED, other, strict=True)) > 200


def test_an_answer_that_no_error_can_reach_is_refused() -> None:
    with pytest.raises(CannotPlantError, match="no step"):
        plant(Worked("0", "?", (Quantity("x", Fraction(1)),), (Step(("it is plain",), ()),), "x"), 1)
