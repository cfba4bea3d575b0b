"""What llama.cpp is asked and what its answers mean: exact ids and log-probabilities out of an interface that speaks in texts.

A stream shows a token when the text so far ends in a whole character. The tokens of a character that takes several are told only
by their number and their bytes together, and those that end an answer inside a character not at all; both are made good here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pellucid.core.errors import EndpointError
from pellucid.generate.engine import GenerationRequest, Token
from pellucid.generate.sampling import Sampling

__all__ = ["Vocabulary", "finite", "read_probability", "sampler"]

_SEEDS = 2**32 - 1  # the last one means "any" to llama.cpp


def sampler(sampling: Sampling, seed: int, context_tokens: int) -> dict[str, Any]:
    """Return a request's fields for our `Sampling`: in our order, and everything else that llama.cpp does by default off."""
    return {
        "samplers": ["penalties", "temperature", "top_k", "top_p", "min_p"],
        "seed": seed % _SEEDS,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k or 0,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repeat_last_n": context_tokens,
        "logit_bias": [[id_, value] for id_, value in sampling.logit_bias],
        "cache_prompt": True,
        "return_tokens": True,
    }


def read_probability(part: Mapping[str, Any], request: GenerationRequest) -> Token:
    """Return the token of a part with its log-probabilities. Raises `EndpointError` when they are no numbers."""
    shown = part["completion_probabilities"][0]
    logprob, top = shown["logprob"], shown["top_logprobs"]
    # Also without log-probabilities asked for: weights that are damaged must not pass for an answer.
    logprob = finite(shown["id"], logprob)
    if request.top_logprobs is None:
        return Token(int(shown["id"]))
    best = tuple((int(one["id"]), float(one["logprob"])) for one in top[: request.top_logprobs])
    return Token(int(shown["id"]), logprob, best)


def finite(id_: int, logprob: float | None) -> float:
    """Return a token's log-probability. Raises `EndpointError` when it is none."""
    if logprob is None or not math.isfinite(logprob):
        raise EndpointError(f"token {id_} has no finite log-probability: the model's logits are no numbers")
    return float(logprob)


class Vocabulary:
    """The tokens' bytes, and which sequences of tokens spell given bytes."""

    def __init__(self, own_bytes: Sequence[bytes]) -> None:
        self._own = own_bytes
        self._ids: dict[bytes, int] = {}
        for id_, own in enumerate(own_bytes):
            self._ids.setdefault(own, id_)

    def fill(self, whole: bytes, last: int, count: int) -> list[int]:
        """Return the `count` tokens before `last` that make up `whole` with it.

        Where several sequences do (a character of four bytes in three tokens), it is the one whose first tokens are longest: the
        same text, though perhaps not the model's own way of spelling it. Raises `EndpointError` when none does.
        """
        own = self._own[last]
        before = whole[: len(whole) - len(own)]
        found = next(self._spellings(before, count), None) if whole.endswith(own) else None
        if found is None:
            raise EndpointError(
                f"llama.cpp tells of {count} tokens before token {last} with the bytes {before!r}, which no tokens have"
            )
        return found

    def _spellings(self, wanted: bytes, count: int) -> Iterator[list[int]]:
        if count == 0:
            if not wanted:
                yield []
            return
        for size in range(len(wanted) - count + 1, 0, -1):
            if (id_ := self._ids.get(wanted[:size])) is not None:
                for rest in self._spellings(wanted[size:], count - 1):
                    yield [id_, *rest]
