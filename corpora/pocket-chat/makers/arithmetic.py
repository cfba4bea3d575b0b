"""Mathematics: exercises with the steps that lead to their answers, made here from numbers that a seed draws."""

import random
import re
from collections.abc import Iterator

from makers.facts import Fact, choose

__all__ = ["LICENCE", "exercises"]

LICENCE = "Apache-2.0"
ORIGIN = "corpora/pocket-chat/makers/arithmetic.py"
Made = tuple[str, tuple[str, ...], str, int, tuple[int, ...], str]
"""Key, phrasings, form of the answer, right value, wrong ones, and what another question's way of calculating would answer."""


def exercises(each: int, seed: int = 1) -> Iterator[Fact]:
    """Yield `each` exercises of every kind, no two of one key; a kind that has fewer gives all it finds."""
    for make in (add, subtract, multiply, divide, three, percent, rectangle, double, next_number, missing, larger, story, units):
        drawn = random.Random(f"{seed} {make.__name__}")
        seen: set[str] = set()
        for _ in range(each * 6):
            key, questions, form, value, wrong, wrong_way = make(drawn)
            if key in seen or len(seen) == each:
                continue
            seen.add(key)
            others = tuple(dict.fromkeys(str(one) for one in wrong if one != value and one >= 0))
            if str(value) in re.findall(r"\d+(?:\.\d+)?", wrong_way)[-1:]:  # 2 * 2 is 2 + 2
                wrong_way = ""
            yield Fact(
                kind="mathematics",
                key=f"mathematics/{make.__name__}/{key}",
                group=f"mathematics/{make.__name__}",
                question=choose(questions, key, "question"),
                form=form,
                value=str(value),
                licence=LICENCE,
                origin=ORIGIN,
                wrong=others,
                wrong_way=wrong_way,
            )


def near(value: int) -> tuple[int, ...]:
    """Return numbers that a slip would give: one off, ten off, digits turned round."""
    return (value + 1, value - 1, value + 10, value - 10, int(str(value)[::-1]))


def add(drawn: random.Random) -> Made:
    """Two numbers under a hundred, tens and ones apart."""
    a, b = drawn.randint(2, 99), drawn.randint(2, 99)
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    steps = f"{a} + {b} = {tens} + {ones} = {{}}." if a > 9 and b > 9 else f"{a} + {b} = {{}}."
    asked = (f"What is {a} + {b}?", f"What is {a} plus {b}?", f"Add {a} and {b}.", f"How much is {a} + {b}?", f"{a} + {b} = ?")
    return f"{min(a, b)} {max(a, b)}", asked, steps, a + b, near(a + b), f"{max(a, b)} - {min(a, b)} = {abs(a - b)}."


def subtract(drawn: random.Random) -> Made:
    """A smaller number taken from a larger one, the tens first."""
    b, a = sorted((drawn.randint(1, 99), drawn.randint(1, 99)))
    a += a == b
    steps = (
        f"{a} - {b // 10 * 10} = {a - b // 10 * 10}, and {a - b // 10 * 10} - {b % 10} = {{}}."
        if b > 9 and b % 10
        else f"{a} - {b} = {{}}."
    )
    asked = (f"What is {a} - {b}?", f"What is {a} minus {b}?", f"Subtract {b} from {a}.", f"How much is {a} less {b}?")
    return f"{a} {b}", asked, steps, a - b, near(a - b), f"{a} + {b} = {a + b}."


def multiply(drawn: random.Random) -> Made:
    """A product of the multiplication table, or with one factor of two digits in parts."""
    a, b = drawn.randint(2, 49), drawn.randint(2, 9)
    parts = f"{b} * {a // 10 * 10} + {b} * {a % 10} = {b * (a // 10 * 10)} + {b * (a % 10)} = "
    steps = f"{a} * {b} = {parts if a > 10 and a % 10 else ''}{{}}."
    asked = (f"What is {a} * {b}?", f"What is {a} times {b}?", f"Multiply {a} by {b}.", f"How much is {a} times {b}?")
    return f"{min(a, b)} {max(a, b)}", asked, steps, a * b, (a * b + b, a * b - b, *near(a * b)), f"{a} + {b} = {a + b}."


def divide(drawn: random.Random) -> Made:
    """A division without a rest."""
    b, q = drawn.randint(2, 12), drawn.randint(2, 20)
    asked = (f"What is {b * q} divided by {b}?", f"Divide {b * q} by {b}.", f"How often does {b} go into {b * q}?")
    return f"{b * q} {b}", asked, f"{b * q} / {b} = {{}}, because {b} * {q} = {b * q}.", q, (), f"{b * q} - {b} = {b * q - b}."


def three(drawn: random.Random) -> Made:
    """Three numbers, two of them first."""
    a, b, c = (drawn.randint(2, 30) for _ in range(3))
    asked = (f"What is {a} + {b} + {c}?", f"Add up {a}, {b} and {c}.", f"What is the sum of {a}, {b} and {c}?")
    return (
        " ".join(map(str, sorted((a, b, c)))),
        asked,
        f"{a} + {b} = {a + b}, and {a + b} + {c} = {{}}.",
        a + b + c,
        near(a + b + c),
        f"{a} * {b} = {a * b}, and {a * b} + {c} = {a * b + c}.",
    )


def percent(drawn: random.Random) -> Made:
    """A share in percent that is a whole number."""
    share, whole = drawn.choice((5, 10, 20, 25, 50, 75)), drawn.randint(1, 40) * 20
    value = share * whole // 100
    asked = (f"What is {share}% of {whole}?", f"How much is {share} percent of {whole}?", f"Calculate {share}% of {whole}.")
    return (
        f"{share} {whole}",
        asked,
        f"{share}% of {whole} is {share} * {whole} / 100 = {{}}.",
        value,
        (value * 2, value + 5, value + 10, value // 2),
        f"{share}% of {whole} is {whole} - {share} = {whole - share}.",
    )


def rectangle(drawn: random.Random) -> Made:
    """Area or perimeter of a rectangle."""
    a, b, area = drawn.randint(2, 20), drawn.randint(2, 12), drawn.random() < 0.5
    name, value = ("area", a * b) if area else ("perimeter", 2 * (a + b))
    other = 2 * (a + b) if area else a * b
    workings, units = (f"{a} * {b} = ", f"2 * ({a} + {b}) = "), ("square metres", "metres")
    asked = (
        f"A rectangle is {a} metres long and {b} metres wide. What is its {name}?",
        f"What is the {name} of a rectangle of {a} by {b} metres?",
    )
    right, wrong = workings if area else workings[::-1]
    unit, wrong_unit = units if area else units[::-1]
    return (
        f"{name} {min(a, b)} {max(a, b)}",
        asked,
        f"Its {name} is {right}{{}} {unit}.",
        value,
        (value + a, value + 1),
        f"Its {name} is {wrong}{other} {wrong_unit}.",
    )


def double(drawn: random.Random) -> Made:
    """Twice a number, or half of it."""
    a, twice = drawn.randint(3, 250), drawn.random() < 0.5
    if twice:
        asked, form, value = (f"What is twice {a}?", f"Double {a}."), f"Twice {a} is {{}}.", 2 * a
        return f"twice {a}", asked, form, value, (a + 2, *near(value)), f"Half of {a} is {a / 2:g}."
    asked, form = (f"What is half of {2 * a}?", f"Halve {2 * a}."), f"Half of {2 * a} is {{}}."
    return f"half {2 * a}", asked, form, a, near(a), f"Twice {2 * a} is {4 * a}."


def next_number(drawn: random.Random) -> Made:
    """The next number of a sequence of equal steps."""
    first, step = drawn.randint(1, 30), drawn.randint(2, 12)
    row = [first + step * place for place in range(5)]
    shown = ", ".join(map(str, row[:4]))
    asked = (f"Which number comes next: {shown}?", f"Continue the sequence {shown}.", f"What follows {shown}?")
    return (
        f"{first} {step}",
        asked,
        f"Each number is {step} more than the one before, so the next is {{}}.",
        row[4],
        (row[4] + 1, row[4] + step, row[4] - 1),
        f"{row[2]} + {row[3]} = {row[2] + row[3]}, so the next is {row[2] + row[3]}.",
    )


def missing(drawn: random.Random) -> Made:
    """The unknown of a sum."""
    x, b = drawn.randint(1, 60), drawn.randint(2, 40)
    asked = (f"Solve x + {b} = {x + b}.", f"If x + {b} = {x + b}, what is x?", f"What must I add to {b} to get {x + b}?")
    return f"{x} {b}", asked, f"{x + b} - {b} = {{}}.", x, near(x), f"{x + b} + {b} = {x + 2 * b}."


def larger(drawn: random.Random) -> Made:
    """The larger of two numbers."""
    a, b = drawn.sample(range(10, 1000), 2)
    asked = (f"Which is larger, {a} or {b}?", f"Which number is greater: {a} or {b}?")
    return f"{min(a, b)} {max(a, b)}", asked, "The larger number is {}.", max(a, b), (min(a, b),), ""


NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Ida", "Jonas", "Lena", "Marco", "Nina", "Oscar")
THINGS = ("apples", "books", "coins", "eggs", "pencils", "stamps", "shells", "nuts", "cards", "tickets")


def story(drawn: random.Random) -> Made:
    """Somebody has things and gets more, or gives some away."""
    who, what, a, b = drawn.choice(NAMES), drawn.choice(THINGS), drawn.randint(5, 60), drawn.randint(2, 30)
    if drawn.random() < 0.5:
        asked: tuple[str, ...] = (f"{who} has {a} {what} and gets {b} more. How many {what} does {who} have now?",)
        return (
            f"more {who} {what} {a} {b}",
            asked,
            f"{a} + {b} = {{}}, so {who} has {{}} {what} now.",
            a + b,
            near(a + b),
            f"{max(a, b)} - {min(a, b)} = {abs(a - b)}, so {abs(a - b)} {what} are left.",
        )
    a += b
    asked = (f"{who} has {a} {what} and gives away {b}. How many {what} are left?",)
    return (
        f"less {who} {what} {a} {b}",
        asked,
        f"{a} - {b} = {{}}, so {{}} {what} are left.",
        a - b,
        near(a - b),
        f"{a} + {b} = {a + b}, so {who} has {a + b} {what} now.",
    )


CONVERSIONS: tuple[tuple[str, str, int], ...] = (
    ("minutes", "hours", 60),
    ("hours", "days", 24),
    ("days", "weeks", 7),
    ("months", "years", 12),
    ("centimetres", "metres", 100),
    ("metres", "kilometres", 1000),
    ("grams", "kilograms", 1000),
    ("seconds", "minutes", 60),
)


def units(drawn: random.Random) -> Made:
    """Units turned into smaller ones."""
    (small, large, factor), a = drawn.choice(CONVERSIONS), drawn.randint(2, 30)
    other = choose([one for *_, one in CONVERSIONS if one != factor], small, large, a)
    asked = (f"How many {small} are {a} {large}?", f"Convert {a} {large} to {small}.")
    value = a * factor
    return (
        f"{small} {large} {a}",
        asked,
        f"{a} {large} are {a} * {factor} = {{}} {small}.",
        value,
        (value + factor, value - factor, value * 10),
        f"{a} {large} are {a} * {other} = {a * other} {small}.",
    )
