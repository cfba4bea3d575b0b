"""Prompts of open questions: the bare question, worked examples, and worked examples under a light instruction.

- `plain`: the question and "Answer:", nothing else.
- `shots`: worked examples before it, as benchmarks are commonly given to base models.
- `iclip` (in-context light-instruction prompt of BOSE, arXiv 2503.00812): worked examples under one sentence that says what an
  answer looks like. The examples show the format, the sentence names it; a base model needs no more, and is not asked to follow
  orders.
"""

from typing import Literal

from pellucid.evals.bose.open_questions import OpenQuestion, OpenTask

__all__ = ["FORMS", "OpenVariant", "open_prompt"]

OpenVariant = Literal["plain", "shots", "iclip"]

_INSTRUCTIONS = {
    "number": (
        'Solve each problem step by step, and end with "The answer is" and the number.',
        'Below are problems with solutions. The last line of a solution gives the result: "The answer is", and a number.',
        'Here are some word problems. Work each of them out, and write "The answer is" before the result.',
    ),
    "text": (
        "Answer each question in a few words.",
        "Below are questions with short answers, one line each.",
        "Here are some questions. A name, a date or a few words are enough as an answer.",
    ),
}
_FRAMES = (("Question: ", "Answer:"), ("Problem: ", "Solution:"), ("Q: ", "A:"))
FORMS = len(_FRAMES)


def open_prompt(task: OpenTask, question: OpenQuestion, variant: OpenVariant, form: int = 0) -> str:
    """Return the text after which the model answers. A form is a wording of instruction and frame."""
    parts = [_INSTRUCTIONS[task.kind][form]] if variant == "iclip" else []
    if variant != "plain":
        parts += [_asked(example, form) + _answered(task, example) for example in task.examples]
    return "\n\n".join([*parts, _asked(question, form)])


def _asked(question: OpenQuestion, form: int) -> str:
    before, answer = _FRAMES[form]
    return f"{before}{question.text}\n{answer}"


def _answered(task: OpenTask, example: OpenQuestion) -> str:
    if task.kind == "text":
        return f" {example.answers[0]}"
    worked = f"{example.worked.strip()}\n" if example.worked else ""
    return f"\n{worked}The answer is {example.answers[0]}." if worked else f" The answer is {example.answers[0]}."
