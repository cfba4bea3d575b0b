"""One wrong number in a worked answer, and what follows from it."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from pellucid.core.seeds import derive_seed
from pellucid.evals.reflection.quantities import in_digits
from pellucid.evals.reflection.worked import Worked

__all__ = ["CannotPlantError", "Planted", "plant"]

_SHORTLIST = 8
_OFFSETS = (1, 2, 3, 5, 10, 20)


class CannotPlantError(ValueError):
    """No step of a worked answer can take an error that changes its answer and leaves the rest sayable."""


@dataclass(frozen=True)
class Planted:
    """A worked answer with one wrong result: `quantity`, worked out in step `step`, is said to be `wrong`."""

    worked: Worked
    step: int
    quantity: str
    wrong: Fraction

    @cached_property
    def right_values(self) -> dict[str, Fraction]:
        """All quantities as they are."""
        return self.worked.values()

    @cached_property
    def carried_values(self) -> dict[str, Fraction]:
        """All quantities as they follow from the error, carried on without another."""
        return self.worked.values({self.quantity: self.wrong})

    @property
    def right_answer(self) -> Fraction:
        """What is asked for."""
        return self.right_values[self.worked.answer]

    @property
    def carried_answer(self) -> Fraction:
        """What comes out when the error is carried on."""
        return self.carried_values[self.worked.answer]

    def line(self, number: int, *, planted: bool) -> str:
        """Return a step's text, as it is or as it follows from the error."""
        return self.worked.line(number, self.carried_values if planted else self.right_values)

    def conclusion(self, *, planted: bool) -> str:
        """Return the sentence that tells the right answer, or the one that follows from the error."""
        return self.worked.conclusion(self.carried_values if planted else self.right_values)


def plant(worked: Worked, seed: int) -> Planted:
    """Return the worked answer with one error, chosen by the seed and the item's id.

    The error is in the last result of a step. It is off by a round amount, or has two digits swapped, stays a whole number where
    it was one, changes the answer, and leaves every later number positive and sayable. Of the errors of a step those are preferred
    whose carried-on text is as long as the right one: likelihoods of the two are compared. Raises `CannotPlantError` where there is
    none.
    """
    generator = random.Random(derive_seed(seed, "plant", worked.id))
    places = [(number, step.results[-1]) for number, step in enumerate(worked.steps) if step.results]
    generator.shuffle(places)
    for step, quantity in places:
        if found := list(_errors(worked, step, quantity)):
            shortlist = sorted(found, key=lambda planted: (_difference(planted), abs(planted.wrong)))
            least = _difference(shortlist[0])
            return generator.choice([planted for planted in shortlist if _difference(planted) == least][:_SHORTLIST])
    raise CannotPlantError("no step takes an error that changes the answer and can be carried on")


def _errors(worked: Worked, step: int, quantity: str) -> Iterator[Planted]:
    right = worked.values()
    for wrong in _near(right[quantity]):
        planted = Planted(worked, step, quantity, wrong)
        try:
            carried = planted.carried_values
            if carried[worked.answer] == right[worked.answer] or not _alike(right, carried):
                continue
            for number in range(len(worked.steps)):
                planted.line(number, planted=True)
            planted.conclusion(planted=True)
        except ValueError:
            continue
        yield planted


def _near(value: Fraction) -> Iterator[Fraction]:
    digits = in_digits(value)
    # Errors are as round as the number: 120 000 becomes 130 000, 0.25 becomes 0.26.
    decimals = len(digits.partition(".")[2]) if value.denominator != 1 else len(digits.rstrip("0")) - len(digits)
    unit = Fraction(10) ** -decimals
    for offset in _OFFSETS:
        yield value + offset * unit
        yield value - offset * unit
    if value.denominator == 1 and len(digits) > 1 and value > 0:
        swapped = digits[:-2] + digits[-1] + digits[-2]
        if swapped != digits and swapped[0] != "0":
            yield Fraction(swapped)


def _alike(right: Mapping[str, Fraction], carried: Mapping[str, Fraction]) -> bool:
    """Tell whether what changed is still positive, and whole where it was whole."""
    changed = [(right[name], carried[name]) for name in right if right[name] != carried[name]]
    return all(new > 0 and (new.denominator == 1 or old.denominator != 1) for old, new in changed)


def _difference(planted: Planted) -> int:
    """Return by how many characters the carried-on text and the right one differ, from the planted step on."""
    lines = range(planted.step, len(planted.worked.steps))
    changes = [len(planted.line(number, planted=True)) - len(planted.line(number, planted=False)) for number in lines]
    changes.append(len(planted.conclusion(planted=True)) - len(planted.conclusion(planted=False)))
    return sum(map(abs, changes))
