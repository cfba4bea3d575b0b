"""What a model is shown, with and without the error, with and without a trigger, and the two ways in which it can go on.

The prompt is: worked examples without error, the question, and the answer so far, up to and including the step with the error (or,
with `carried`, up to its wrong end). The control is the same prompt with the right step. A trigger is a line of its own that the
model goes on with: "Wait," asks for reflection (Shah et al. 2025, arXiv 2504.04022). There, reflection is situational where another
wrote the wrong answer, which `voice: other` says in so many words, and self-reflection where the model did, which is the task
NAME:own of `run`; `voice: own` shows the planted error as if it were the model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pellucid.evals.reflection.plant import Planted
from pellucid.evals.reflection.worked import Worked
from pellucid.evals.subject import Pair

__all__ = ["CONDITIONS", "Condition", "Frame"]

_HEADERS = {"own": "Answer:", "other": "Another student's answer:"}
# Words with which a sentence may begin and that are no names: written small after a trigger.
_COMMON = """
    the a an he she it they we i his her their its there this that these those in on at for of from to by with so if after before
    then next now first since each every all both one two altogether together thus therefore and but when while as total
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """One of the four prompts of an item."""

    name: str
    planted: bool
    triggered: bool


CONDITIONS = (
    Condition("error_trigger", planted=True, triggered=True),
    Condition("error", planted=True, triggered=False),
    Condition("right_trigger", planted=False, triggered=True),
    Condition("right", planted=False, triggered=False),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """How items are written down."""

    examples: Sequence[Worked] = ()
    trigger: str = "Wait,"
    voice: Literal["own", "other"] = "own"
    carried: bool = False

    def prompt(self, planted: Planted, condition: Condition) -> str:
        """Return the text that the model goes on with."""
        last = len(planted.worked.steps) if self.carried else planted.step + 1
        lines = [capital(planted.line(number, planted=condition.planted)) for number in range(last)]
        if condition.triggered:
            lines.append(self.trigger)
        return self._before(planted.worked, _HEADERS[self.voice]) + "\n".join(lines)

    def question(self, worked: Worked) -> str:
        """Return the text after which the model answers the question by itself."""
        return self._before(worked, _HEADERS["own"]).removesuffix("\n")

    def pair(self, planted: Planted, condition: Condition, *, right: bool) -> Pair:
        """Return the prompt with one of two ways to go on: as it is `right`, or with the error carried on.

        Both hold the remaining steps and the answer. After a trigger they stand on its line.
        """
        first = len(planted.worked.steps) if self.carried else planted.step + 1
        lines = [planted.line(number, planted=not right) for number in range(first, len(planted.worked.steps))]
        lines.append(planted.conclusion(planted=not right))
        lines[1:] = map(capital, lines[1:])
        start = f" {_small(lines[0])}" if condition.triggered else f"\n{capital(lines[0])}"
        return Pair(self.prompt(planted, condition), "\n".join((start, *lines[1:])))

    def _before(self, worked: Worked, header: str) -> str:
        parts = []
        for example in self.examples:
            lines = [example.line(number) for number in range(len(example.steps))] + [example.conclusion(example.values())]
            parts.append("\n".join([f"Question: {example.question}", _HEADERS["own"], *map(capital, lines)]))
        parts.append(f"Question: {worked.question}\n{header}\n")
        return "\n\n".join(parts)


def capital(text: str) -> str:
    """Return a line with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def _small(text: str) -> str:
    first = text.partition(" ")[0]
    return text[:1].lower() + text[1:] if first.lower() in _COMMON.split() else text
