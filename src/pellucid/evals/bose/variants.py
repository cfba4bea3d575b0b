"""The ways to ask one multiple-choice question. Of each, the choice with the least cost is taken.

- `letter`: question, choices by letter, "Answer:"; cost is the nats of the letter (MMLU; Hendrycks et al. 2020).
- `option`: question, "Answer:"; cost is the nats of the choice's text. `option_bytes` divides them by its UTF-8 bytes.
- `blank` (Blank-ppl of BOSE, arXiv 2503.00812): the question becomes a statement with a blank, and each choice fills it. Cost is
  the mean nats per token from the blank to the end of the statement, that is, the log of the perplexity of what was filled in and
  of what stands after it. Where the blank is: the question's own, if it has one ("Plants need ___ to grow."); at its end, if it
  is no question ("Plants need"); else after "The answer is".

A form is a wording of the frame together with an order of the choices; form 0 has the file's own order. Only `letter` shows the
model all choices, so only it can feel their order: to the others a form is a wording.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pellucid.core.errors import DataError
from pellucid.core.seeds import derive_seed
from pellucid.core.units import utf8_bytes
from pellucid.evals.bose.question import Question
from pellucid.evals.subject import Likelihood, Pair

__all__ = ["COSTS", "FORMS", "VARIANTS", "Variant", "ask", "fill_blank"]

Variant = Literal["letter", "option", "blank"]
VARIANTS: tuple[Variant, ...] = ("letter", "option", "blank")

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BLANK = re.compile(r"_{2,}|\[blank\]|\(blank\)|…{2,}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Wording:
    """What stands before a question, before an answer, and before a blank that the question does not have."""

    question: str
    answer: str
    statement: str


_WORDINGS = (
    _Wording("Question: ", "Answer:", "The answer is"),
    _Wording("", "The right answer is:", "The right answer is"),
    _Wording("Q: ", "A:", "The answer to this is"),
)
FORMS = len(_WORDINGS)


def ask(question: Question, variant: Variant, form: int, examples: Sequence[Question]) -> tuple[Pair, ...]:
    """Return a pair for each choice, in the file's order. Examples come before in the same form, each with its right choice.

    Raises `DataError` for more choices than letters.
    """
    make: Mapping[Variant, Callable[[Question, int], tuple[Pair, ...]]] = {"letter": _letter, "option": _option, "blank": _blank}
    before = []
    for example in examples:
        context, continuation = make[variant](example, form)[example.label]
        before.append(f"{context}{continuation}\n\n")
    shown = "".join(before)
    return tuple(Pair(shown + context, continuation) for context, continuation in make[variant](question, form))


def _letter(question: Question, form: int) -> tuple[Pair, ...]:
    if len(question.choices) > len(_LETTERS):
        raise DataError(f"question {question.id} has {len(question.choices)} choices; letters reach to {len(_LETTERS)}")
    order = list(range(len(question.choices)))
    if form:
        random.Random(derive_seed(form, "order", question.id)).shuffle(order)
    lines = [f"{letter}. {question.choices[at]}" for letter, at in zip(_LETTERS, order, strict=False)]
    words = _WORDINGS[form]
    context = "\n".join([words.question + question.text, *lines, words.answer])
    return tuple(Pair(context, f" {_LETTERS[order.index(at)]}") for at in range(len(order)))


def _option(question: Question, form: int) -> tuple[Pair, ...]:
    words = _WORDINGS[form]
    context = f"{words.question}{question.text}\n{words.answer}"
    return tuple(Pair(context, f" {choice}") for choice in question.choices)


def _blank(question: Question, form: int) -> tuple[Pair, ...]:
    return tuple(fill_blank(question.text, choice, form) for choice in question.choices)


def fill_blank(question: str, choice: str, form: int = 0) -> Pair:
    """Return the statement that a question becomes with a choice in its blank: what stands before it, and the rest."""
    words = _WORDINGS[form]
    blanks = list(_BLANK.finditer(question))
    if len(blanks) == 1:
        before, after = question[: blanks[0].start()].rstrip(), question[blanks[0].end() :]
        if after.strip(" .") == "":
            after = ""
    elif question.rstrip().endswith("?"):
        before, after = f"{words.question}{question.rstrip()} {words.statement}", ""
    else:
        before, after = question.rstrip(), ""
    filled = choice + after
    end = "" if filled.rstrip()[-1:] in ".!?" else "."
    return Pair(before, f" {filled}{end}" if before else f"{filled}{end}")


def _total(found: Sequence[Likelihood], choices: Sequence[str]) -> list[float]:
    return [one.nats for one in found]


def _per_byte(found: Sequence[Likelihood], choices: Sequence[str]) -> list[float]:
    return [one.nats / max(1, utf8_bytes(choice)) for one, choice in zip(found, choices, strict=True)]


def _per_token(found: Sequence[Likelihood], choices: Sequence[str]) -> list[float]:
    return [one.nats / max(1, one.tokens) for one in found]


Cost = Callable[[Sequence[Likelihood], Sequence[str]], list[float]]
COSTS: Mapping[Variant, Mapping[str, Cost]] = {
    "letter": {"letter": _total},
    "option": {"option": _total, "option_bytes": _per_byte},
    "blank": {"blank": _per_token},
}
"""The scores that the likelihoods of a variant give, by name, each with the cost that decides it."""
