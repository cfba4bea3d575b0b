"""Who works everything out, and who gambles: what each of them must score is known beforehand."""

import hashlib
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from pellucid.evals.reflection.quantities import read_words
from pellucid.evals.subject import Pair

SOLUTIONS: dict[str, Callable[..., float]] = {
    "A shop has": lambda a, b, c: a * b - c,
    "A bakery": lambda a, b, c: (a + b) * c,
    "Nora has": lambda a, b, c, d: a + b * c - d,
    "apples are shared": lambda a, b, c: a // b - c,
    "A train": lambda a, b, c, d: a * b + c * d,
    "Omar reads": lambda a, b, c, d: c - d,
    "A garden": lambda a, b, c, d: a * b - c * d,
    "people want": lambda a, b, c: a - b * c,
    "Lin has": lambda a, b, c: 3 * a + 2 * b - c,
    "A machine": lambda a, b, c, d, e: a * b - c - d * e,
}
WORD = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen"
    "|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand"
)
NUMBER = re.compile(rf"\d+|\b(?:{WORD})(?:[ -](?:{WORD}))*\b", re.IGNORECASE)


def number(text: str) -> int:
    return int(text) if text.isdigit() else int(read_words(text))


def solve(question: str) -> int:
    """Answer a question of `arithmetic` from its words alone, by a formula written here and not there."""
    numbers = [number(text) for text in NUMBER.findall(question.replace("the three have", "they have"))]
    (solution,) = [rule for start, rule in SOLUTIONS.items() if start in question]
    return int(solution(*numbers))


def last_question(prompt: str) -> str:
    return prompt.rsplit("Question: ", 1)[1].split("\n", 1)[0]


def coin(*texts: str) -> float:
    return hashlib.sha256("|".join(texts).encode()).digest()[0] / 255


@pytest.fixture(name="solve")
def solve_fixture() -> Callable[[str], int]:
    return solve


@pytest.fixture
def solver(make_rule: Callable[..., Any]) -> Any:
    """Works everything out by itself, whatever it is shown."""

    def nats(pair: Pair) -> float:
        said = number(NUMBER.findall(pair.continuation)[-1])
        return 1.0 if said == solve(last_question(pair.context)) else 4.0

    return make_rule(lambda prompt: f"that is wrong. The answer is {solve(last_question(prompt))}.", nats)


@pytest.fixture
def gambler(make_rule: Callable[..., Any]) -> Any:
    """Finds likely what a hash says."""
    return make_rule(lambda prompt: f"{math.floor(1000 * coin(prompt))}", lambda pair: coin(*pair))
