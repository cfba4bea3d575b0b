"""A subject small enough to be worked out by hand: letters after letters, counted in a text."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from pellucid.core.errors import ArtifactError
from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Usage, nothing_done

TEXT = "the cat sat on the mat. the dog sat on the log. the cat and the dog sat."


@dataclass
class Bigrams:
    """A character model, one token a character: P(b | a) by counts with one added, over 256 characters. A `Subject`.

    `poison` is a text whose probability is no number, as a diverged model's would be.
    """

    label: str = "bigrams"
    context_tokens: int | None = None
    poison: str | None = None
    identity: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    asked: list[Pair] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._pairs, self._firsts = Counter(pairwise(TEXT)), Counter(TEXT)

    def probability(self, before: str, char: str) -> float:
        return (self._pairs[before, char] + 1) / (self._firsts[before] + 256)

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        found = []
        for pair in pairs:
            self.asked.append(pair)
            if self.poison is not None and self.poison in pair.continuation:
                raise ArtifactError("the model's logits are no numbers")
            found.append(self._score(*pair))
            on_done(1)
        return found

    def _score(self, context: str, continuation: str) -> Likelihood:
        dropped = max(0, len(context) + len(continuation) - self.context_tokens) if self.context_tokens else 0
        befores = (context or "\n")[-1] + continuation[:-1]
        nats = -sum(math.log(self.probability(a, b)) for a, b in zip(befores, continuation, strict=True))
        chars = [chr(code) for code in range(256)]
        greedy = all(max(chars, key=lambda c: self.probability(a, c)) == b for a, b in zip(befores, continuation, strict=True))
        return Likelihood(nats, len(continuation), greedy, dropped)

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        return self.loglikelihoods([Pair("", text) for text in texts], on_done)

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        raise NotImplementedError

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        raise NotImplementedError

    def count_tokens(self, text: str) -> int:
        return len(text)


@pytest.fixture
def bigrams() -> Bigrams:
    return Bigrams()
