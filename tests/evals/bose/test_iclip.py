import pytest

from pellucid.evals.bose.iclip import FORMS, open_prompt
from pellucid.evals.bose.open_questions import OpenQuestion, OpenTask

QUESTION = OpenQuestion("q", "What is 2 + 3?", ("5",))
TASK = OpenTask("n", "number", (QUESTION,), (OpenQuestion("e", "What is 1 + 1?", ("2",), "1 + 1 = 2."),), {})
WORDS = OpenTask("t", "text", (), (OpenQuestion("e", "Capital of Peru?", ("Lima", "Ciudad de los Reyes")),), {})


def test_examples_and_instruction_are_what_tells_variants_apart() -> None:
    plain, shots, iclip = (open_prompt(TASK, QUESTION, variant) for variant in ("plain", "shots", "iclip"))
    assert plain == "Question: What is 2 + 3?\nAnswer:"
    assert shots == f"Question: What is 1 + 1?\nAnswer:\n1 + 1 = 2.\nThe answer is 2.\n\n{plain}"
    assert iclip == f'Solve each problem step by step, and end with "The answer is" and the number.\n\n{shots}'


def test_short_answers_are_shown_short() -> None:
    prompt = open_prompt(WORDS, OpenQuestion("q", "Of Chile?", ("Santiago",)), "iclip")
    assert prompt == (
        "Answer each question in a few words.\n\nQuestion: Capital of Peru?\nAnswer: Lima\n\nQuestion: Of Chile?\nAnswer:"
    )


@pytest.mark.parametrize("task", [TASK, WORDS])
def test_forms_say_the_same_in_other_words(task: OpenTask) -> None:
    prompts = [open_prompt(task, QUESTION, "iclip", form) for form in range(FORMS)]
    assert len(set(prompts)) == FORMS and all(QUESTION.text in prompt for prompt in prompts)
