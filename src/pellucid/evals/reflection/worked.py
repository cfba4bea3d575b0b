"""A worked answer whose numbers hang together: change one and those that follow from it change too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from pellucid.evals.reflection.quantities import evaluate, in_digits

__all__ = ["Quantity", "Shown", "Step", "Worked"]

NOTHING: Mapping[str, Fraction] = {}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number: given (no expression), or worked out of earlier ones by name."""

    name: str
    value: Fraction
    expression: str | None = None


class Shown(NamedTuple):
    """A place of a text where a quantity stands, and how it was written there."""

    quantity: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a worked answer: texts and numbers. `results` are the quantities worked out in it, in order."""

    parts: tuple[str | Shown, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Worked:
    """A question with its worked answer. `quantities` stand in the order in which they are worked out."""

    id: str
    question: str
    quantities: tuple[Quantity, ...]
    steps: tuple[Step, ...]
    answer: str
    """The quantity that is asked for."""
    group: str | None = None
    say: Callable[[Fraction], str] = field(default=in_digits)
    """How a changed number is written; raises `ValueError` for one that cannot be."""

    def values(self, changed: Mapping[str, Fraction] = NOTHING) -> dict[str, Fraction]:
        """Return each quantity's value when some are `changed` and the rest is worked out from them.

        Raises `ValueError` where that divides by zero.
        """
        found: dict[str, Fraction] = {}
        for quantity in self.quantities:
            if quantity.name in changed:
                found[quantity.name] = changed[quantity.name]
            elif quantity.expression is None:
                found[quantity.name] = quantity.value
            else:
                found[quantity.name] = evaluate(quantity.expression, found)
        return found

    def line(self, number: int, values: Mapping[str, Fraction] = NOTHING) -> str:
        """Return a step's text; a number that differs from the worked answer's own is written anew."""
        own = {quantity.name: quantity.value for quantity in self.quantities}
        texts = []
        for part in self.steps[number].parts:
            if isinstance(part, str):
                texts.append(part)
            elif (value := values.get(part.quantity, own[part.quantity])) == own[part.quantity]:
                texts.append(part.text)
            else:
                texts.append(f"{value.numerator:,}" if "," in part.text and value.denominator == 1 else self.say(value))
        return "".join(texts)

    def conclusion(self, values: Mapping[str, Fraction]) -> str:
        """Return the sentence that tells the answer."""
        return f"the answer is {self.say(values[self.answer])}."
