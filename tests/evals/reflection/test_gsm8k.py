import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from pellucid.evals.reflection.gsm8k import UnusableError, read_worked
from pellucid.evals.reflection.plant import CannotPlantError, plant

DATA = Path(__file__).parents[4] / "shared" / "data" / "bench" / "gsm8k" / "test.jsonl"
QUESTION = "A hall has 1,500 seats in 30 rows. 40% are free. Each of the others costs $12. What is taken?"
SOLUTION = (
    "There are 40/100*1500 = <<40/100*1500=600>>600 free seats.\n"
    "So 1500 - 600 = <<1500-600=900>>900 seats are taken, for $12*900 = $<<12*900=10800>>10,800."
)


def test_numbers_are_named_and_follow_from_each_other() -> None:
    worked = read_worked("a", QUESTION, SOLUTION, "10,800")
    assert worked.line(0) == "There are 40/100*1500 = 600 free seats."
    assert worked.line(1) == "So 1500 - 600 = 900 seats are taken, for $12*900 = $10,800."
    assert worked.values()[worked.answer] == 10800
    first = worked.steps[0].results[0]
    changed = worked.values({first: Fraction(500)})
    assert changed[worked.answer] == 12000
    assert worked.line(1, changed) == "So 1500 - 500 = 1000 seats are taken, for $12*1000 = $12,000."


def test_a_result_that_the_question_also_names_is_told_apart_from_nothing() -> None:
    worked = read_worked("a", "Of 6 boxes with 2 balls half are sold.", "6/2=<<6/2=3>>3\n3*2=<<3*2=6>>6\n6-1=<<6-1=5>>5", "5")
    assert worked.values({worked.steps[1].results[0]: Fraction(8)})[worked.answer] == 5  # 6 is the question's
    assert plant(worked, 1).step == 2


@pytest.mark.parametrize(
    ("solution", "answer", "reason"),
    [
        ("he has 3", "3", "no calculation"),
        ("1/3=<<1/3=.33>>.33", ".33", "a calculation that is not exact"),
        ("2**3=<<2**3=8>>8", "8", "a calculation that cannot be read"),
        ("1/0=<<1/0=8>>8", "8", "a calculation that cannot be read"),
        ("<<2+2=4>>four", "4", "the result is not written after its calculation"),
        ("<<2+2=4>>4", "5", "the last calculation is not the answer"),
        ("<<2+2=4>>4", "four", "the answer is not a number"),
    ],
)
def test_what_cannot_be_used_says_why(solution: str, answer: str, reason: str) -> None:
    with pytest.raises(UnusableError, match=reason):
        read_worked("a", "?", solution, answer)


@pytest.mark.skipif(not DATA.is_file(), reason="GSM8K is not here")
def test_most_worked_answers_of_gsm8k_can_be_used() -> None:
    usable = 0
    for number, line in enumerate(DATA.read_text(encoding="utf-8").splitlines()[::4]):
        row = json.loads(line)
        solution, _, answer = row["answer"].partition("####")
        try:
            worked = read_worked(str(number), row["question"], solution, answer)
            planted = plant(worked, 1)
        except (UnusableError, CannotPlantError):
            continue
        usable += 1
        shown = "\n".join(worked.line(at) for at in range(len(worked.steps)))
        without = "\n".join(part.strip() for part in solution.splitlines() if part.strip())
        assert shown == re.sub(r"<<[^>]*>>", "", without)
        assert planted.carried_answer != planted.right_answer
    assert usable > 0.85 * 330
