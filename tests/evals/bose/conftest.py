"""Subjects that go by a rule, and small files of questions."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Usage, nothing_done


class Rule:
    """A `Subject` that answers by `answer(prompt)` and finds `nats(pair)` in a continuation; its tokens are words."""

    label = "a rule"
    identity: Mapping[str, Any] = {"kind": "rule"}
    context_tokens = 2048

    def __init__(self, answer: Callable[[str], str], nats: Callable[[Pair], float]) -> None:
        self._answer, self._nats = answer, nats
        self.usage = Usage()
        self.pairs: list[Pair] = []
        self.prompts: list[str] = []

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        on_done(len(pairs))
        self.pairs += pairs
        return [Likelihood(self._nats(pair), len(pair.continuation.split()), False) for pair in pairs]

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        raise NotImplementedError

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        assert len(seeds) == len(prompts)
        on_done(len(prompts))
        self.prompts += prompts
        return [Answer(self._answer(prompt), "stop", 5, 5) for prompt in prompts]

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        return len(text.split())


@pytest.fixture
def make_rule() -> type[Rule]:
    return Rule


COLOURS = ("red", "green as grass", "blue", "white")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Forty questions about colours, with as many right choices at each place."""
    path = tmp_path / "colours.jsonl"
    rows = [
        {"query": f"Question: Which colour has thing {number}?", "choices": list(COLOURS), "gold": number % 4}
        for number in range(40)
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
