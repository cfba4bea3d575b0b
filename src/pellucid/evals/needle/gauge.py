"""How a model is asked, and how its tokens are counted: found out by one short question."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pellucid.core.errors import EndpointError, UsageError
from pellucid.evals.needle.prompts import Style
from pellucid.evals.subject import Answer, Decoding, OnDone, Subject, nothing_done

__all__ = ["Gauge", "ask", "gauge"]

_ASSUMED_CHARACTERS_PER_TOKEN = 4.0
_SAMPLE_CHARACTERS = 2000  # about 500 tokens: any endpoint has room for them


@dataclass(frozen=True, slots=True)
class Gauge:
    """The style, the tokens that a model puts around a prompt (its chat format, a token that begins a text), and how to count.

    `characters_per_token` is None where the model counts its own tokens.
    """

    subject: Subject
    style: Style
    around_tokens: int
    characters_per_token: float | None
    sample_characters_per_token: float = _ASSUMED_CHARACTERS_PER_TOKEN

    def count(self, text: str) -> int:
        """Return how many tokens a text has, estimated from its characters where the model does not tell."""
        if self.characters_per_token is not None:
            return math.ceil(len(text) / self.characters_per_token)
        tokens = self.subject.count_tokens(text)
        if tokens is None:  # counted and estimated lengths must not be mixed
            raise EndpointError(f"{self.subject.label} no longer tells how many tokens a text has; run the same command again")
        return tokens

    def guess(self, tokens: int) -> int:
        """Return about how many characters so many tokens have: a first guess, which saves counting."""
        return max(1, round(tokens * self.sample_characters_per_token))


def gauge(subject: Subject, style: Literal["auto", "complete", "chat"], sample: str) -> Gauge:
    """Return how to ask; `auto` is chat where the model has a format for it. `sample` is text to measure tokens with.

    Raises the subject's `UsageError` where it cannot be asked in the wanted style.
    """
    counts = subject.count_tokens("a") is not None
    text = "Hello." if counts else sample[:_SAMPLE_CHARACTERS]
    chosen, answer = _try(subject, style, text)
    if counts:
        sample = sample[:_SAMPLE_CHARACTERS]
        per_token = len(sample) / max(subject.count_tokens(sample) or 0, 1) if sample else _ASSUMED_CHARACTERS_PER_TOKEN
        return Gauge(subject, chosen, max(answer.prompt_tokens - (subject.count_tokens(text) or 0), 0), None, per_token)
    told = answer.prompt_tokens > 0 and not answer.dropped_tokens
    per_token = len(text) / answer.prompt_tokens if told else _ASSUMED_CHARACTERS_PER_TOKEN
    return Gauge(subject, chosen, 0, per_token, per_token)


def _try(subject: Subject, style: Literal["auto", "complete", "chat"], text: str) -> tuple[Style, Answer]:
    one = Decoding(max_new_tokens=1)
    if style != "auto":
        return style, ask(subject, style, [text], one)[0]
    try:
        return "chat", ask(subject, "chat", [text], one)[0]
    except UsageError:
        return "complete", ask(subject, "complete", [text], one)[0]


def ask(subject: Subject, style: Style, prompts: Sequence[str], decoding: Decoding, on_done: OnDone = nothing_done) -> list[Answer]:
    """Return the answers to prompts, greedy or by seed 0."""
    seeds = [0] * len(prompts)
    if style == "complete":
        return subject.complete(prompts, decoding, seeds, on_done)
    return subject.chat([[{"role": "user", "content": prompt}] for prompt in prompts], decoding, seeds, on_done)
