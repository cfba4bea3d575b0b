"""Word problems made by program, each with its worked answer: no data are needed, and no training text holds them.

Problem n is the same everywhere and for good: its template, its numbers and whether they are written in digits or in words depend
on n and on `VERSION` alone.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from pellucid.core.seeds import derive_seed
from pellucid.evals.reflection.quantities import in_digits, in_words
from pellucid.evals.reflection.worked import Quantity, Shown, Step, Worked

__all__ = ["TEMPLATES", "VERSION", "Template", "problem"]

VERSION = 1
_SPOKEN = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "=": "is"}
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Template:
    """A word problem: ranges of its given numbers, and each step as (what is worked out, name, expression).

    A given number may be a multiple of others: `multiples` says of which, so that divisions come out even.
    """

    name: str
    question: str
    ranges: Mapping[str, tuple[int, int]]
    steps: tuple[tuple[str, str, str], ...]
    multiples: Mapping[str, str] | None = None


TEMPLATES: tuple[Template, ...] = (
    Template(
        "pencils",
        "A shop has {a} boxes of {b} pencils. It sells {c} pencils. How many pencils are left?",
        {"a": (4, 30), "b": (6, 24), "c": (3, 20)},
        (("pencils in all boxes", "x", "a * b"), ("pencils left", "y", "x - c")),
    ),
    Template(
        "bakery",
        "A bakery makes {a} loaves in the morning and {b} loaves in the afternoon. Each loaf costs {c} dollars. How many dollars"
        " does it take when all of them are sold?",
        {"a": (11, 80), "b": (11, 80), "c": (2, 9)},
        (("loaves in all", "x", "a + b"), ("dollars for them", "y", "x * c")),
    ),
    Template(
        "savings",
        "Nora has {a} dollars. She earns {b} dollars a week for {c} weeks and then spends {d} dollars. How many dollars has she"
        " now?",
        {"a": (10, 90), "b": (5, 40), "c": (2, 12), "d": (3, 19)},
        (("dollars earned", "x", "b * c"), ("dollars before she spends any", "y", "a + x"), ("dollars now", "z", "y - d")),
    ),
    Template(
        "apples",
        "{a} apples are shared evenly by {b} children. Each child then eats {c} of them. How many apples has each child left?",
        {"a": (5, 12), "b": (3, 12), "c": (1, 4)},
        (("apples for each child", "x", "a / b"), ("apples left", "y", "x - c")),
        {"a": "b"},
    ),
    Template(
        "train",
        "A train goes {a} miles an hour for {b} hours, and then {c} miles an hour for {d} hours. How many miles does it go in all?",
        {"a": (31, 90), "b": (2, 8), "c": (31, 90), "d": (2, 8)},
        (("miles in the first part", "x", "a * b"), ("miles in the second part", "y", "c * d"), ("miles in all", "z", "x + y")),
    ),
    Template(
        "books",
        "Omar reads {a} pages on each of {b} days. His book has {c} pages more than that. He reads {d} of the pages that are left."
        " How many pages are there still to read?",
        {"a": (8, 30), "b": (3, 9), "c": (40, 95), "d": (5, 30)},
        (
            ("pages read at first", "x", "a * b"),
            ("pages of the book", "y", "x + c"),
            ("pages read in all", "z", "x + d"),
            ("pages still to read", "w", "y - z"),
        ),
    ),
    Template(
        "garden",
        "A garden has {a} rows of {b} tulips and {c} rows of {d} roses. How many more tulips than roses are there?",
        {"a": (12, 25), "b": (10, 20), "c": (3, 9), "d": (4, 10)},
        (("tulips", "x", "a * b"), ("roses", "y", "c * d"), ("more tulips", "z", "x - y")),
    ),
    Template(
        "tickets",
        "{a} people want to see a play. {b} seats are in each row, and {c} rows are full already. How many of the people still need"
        " a seat?",
        {"a": (200, 400), "b": (8, 20), "c": (3, 9)},
        (("people who have a seat", "x", "b * c"), ("people who need one", "y", "a - x")),
    ),
    Template(
        "cards",
        "Lin has {a} cards. Sam has {b} cards more than Lin, and Eva has {c} cards fewer than Sam. How many cards do the three have"
        " together?",
        {"a": (21, 90), "b": (5, 40), "c": (3, 20)},
        (("Sam's cards", "x", "a + b"), ("Eva's cards", "y", "x - c"), ("cards together", "z", "a + x + y")),
    ),
    Template(
        "bottles",
        "A machine fills {a} bottles an hour. It runs for {b} hours, {c} of the bottles break, and the rest is packed into boxes of"
        " {d}. The bottles in {d} boxes are sold. How many bottles are left?",
        {"a": (60, 140), "b": (4, 9), "c": (5, 30), "d": (4, 12)},
        (
            ("bottles filled", "x", "a * b"),
            ("bottles that are whole", "y", "x - c"),
            ("bottles sold", "z", "d * d"),
            ("bottles left", "w", "y - z"),
        ),
    ),
)


def problem(number: int) -> Worked:
    """Return problem `number`: templates take turns, and each is in digits and in words in turn."""
    template = TEMPLATES[number % len(TEMPLATES)]
    spoken = number // len(TEMPLATES) % 2 == 1
    given = _given(template, random.Random(derive_seed(VERSION, "arithmetic", number)))
    say = in_words if spoken else in_digits
    quantities = [Quantity(name, value) for name, value in given.items()]
    values = dict(given)
    steps = []
    for label, name, expression in template.steps:
        worked = Worked("", "", (*quantities, Quantity(name, Fraction(0), expression)), (), name)
        values[name] = worked.values()[name]
        quantities.append(Quantity(name, values[name], expression))
        steps.append(_step(label, name, expression, values, say))
    question = _FIELD.sub(lambda found: say(values[found[1]]), template.question)
    return Worked(
        id=f"{template.name}-{number:05d}",
        question=question[0].upper() + question[1:],
        quantities=tuple(quantities),
        steps=tuple(steps),
        answer=template.steps[-1][1],
        group="words" if spoken else "digits",
        say=say,
    )


def _given(template: Template, generator: random.Random) -> dict[str, Fraction]:
    drawn = {name: generator.randint(*limits) for name, limits in template.ranges.items()}
    for name, factor in (template.multiples or {}).items():
        drawn[name] *= drawn[factor]
    return {name: Fraction(value) for name, value in drawn.items()}


def _step(label: str, name: str, expression: str, values: Mapping[str, Fraction], say: Callable[[Fraction], str]) -> Step:
    parts: list[str | Shown] = [f"{label}: "]
    for word in f"{expression} = {name}".split():
        if word in values:
            parts.append(Shown(word, say(values[word])))
        else:
            parts.append(f" {_SPOKEN[word] if say is in_words else word} ")
    return Step((*parts, "."), (name,))
