"""Subjects that go by a rule: what each of them must score is known beforehand."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pellucid.evals.reflection.quantities import read_words
from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Usage, nothing_done

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


class Rule:
    """A `Subject` that answers by `answer(prompt)` and finds `nats(pair)` in a continuation."""

    label = "a rule"
    identity: Mapping[str, Any] = {"kind": "rule"}
    context_tokens = 2048

    def __init__(self, answer: Callable[[str], str], nats: Callable[[Pair], float]) -> None:
        self._answer, self._nats = answer, nats
        self.usage = Usage()
        self.asked: list[str] = []

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        on_done(len(pairs))
        self.usage.requests += len(pairs)
        return [Likelihood(self._nats(pair), len(pair.continuation.split()), False) for pair in pairs]

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        raise NotImplementedError

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        assert len(seeds) == len(prompts)
        on_done(len(prompts))
        self.asked += prompts
        return [Answer(self._answer(prompt), "stop", len(prompt.split()), 5) for prompt in prompts]

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        return len(text.split())


def coin(*texts: str) -> float:
    return hashlib.sha256("|".join(texts).encode()).digest()[0] / 255


@pytest.fixture(name="solve")
def solve_fixture() -> Callable[[str], int]:
    return solve


@pytest.fixture
def make_rule() -> type[Rule]:
    return Rule


@pytest.fixture
def solver() -> Rule:
    """Works everything out by itself, whatever it is shown."""

    def nats(pair: Pair) -> float:
        said = number(NUMBER.findall(pair.continuation)[-1])
        return 1.0 if said == solve(last_question(pair.context)) else 4.0

    return Rule(lambda prompt: f"that is wrong. The answer is {solve(last_question(prompt))}.", nats)


@pytest.fixture
def gambler() -> Rule:
    """Finds likely what a hash says."""
    return Rule(lambda prompt: f"{math.floor(1000 * coin(prompt))}", lambda pair: coin(*pair))
