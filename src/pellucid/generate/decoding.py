"""Decoding token by token with a key-value cache."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from pellucid.core.errors import UsageError
from pellucid.generate.engine import Token
from pellucid.generate.logprobs import scored
from pellucid.generate.sampling import Sampling, SeenTokens, choose
from pellucid.model.cache import KVCache
from pellucid.model.decoder import Decoder

__all__ = ["Generation", "StopReason", "cache_for", "check_prompt", "generate", "next_logits"]

StopReason = Literal["stop_id", "max_new_tokens", "context"]


class Generation(Iterator[int]):
    """Yields new token ids as they are made. After the last, `stop_reason` says why it ended.

    `stop_id`: a stop id was chosen (kept in `stopped_by`, not yielded). `max_new_tokens`: as many as were asked for.
    `context`: prompt and new tokens fill the model's context. None while it goes on.

    With `top_logprobs`, `scored` holds each token with its log-probability and so many of the likeliest at its place.
    """

    def __init__(
        self,
        model: Decoder,
        ids: Sequence[int],
        max_new_tokens: int,
        sampling: Sampling,
        seed: int,
        stop_ids: Iterable[int],
        top_logprobs: int | None = None,
    ) -> None:
        self.stop_reason: StopReason | None = None
        self.stopped_by: int | None = None
        self.scored: list[Token] = []
        self._top_logprobs = top_logprobs
        self._seen = SeenTokens(ids)
        context_tokens = model.config.context_tokens
        check_prompt(model, ids)
        self._model, self._sampling, self._stop_ids = model, sampling, frozenset(stop_ids)
        self._remaining = max_new_tokens
        self._room = context_tokens - len(ids)
        self._generator = torch.Generator().manual_seed(seed)
        self._ids = list(ids)
        self._ready: list[Token] = []
        self._cache = cache_for(model, min(context_tokens, len(ids) + max(0, max_new_tokens)))

    def __next__(self) -> int:
        if self.stop_reason is None:
            if self._remaining <= 0:
                self.stop_reason = "max_new_tokens"
            elif self._room <= 0:
                self.stop_reason = "context"
        if self.stop_reason is not None:
            raise StopIteration
        if not self._ready:
            self._ready = self._step()
        token = self._ready.pop(0)
        if token.id in self._stop_ids:
            self.stop_reason, self.stopped_by = "stop_id", token.id
            raise StopIteration
        if self._top_logprobs is not None:
            self.scored.append(token)
        self._seen.add(token.id)
        self._ids.append(token.id)
        self._remaining -= 1
        self._room -= 1
        return token.id

    def _step(self) -> list[Token]:
        """Return the next token, or more of them, from what the model has not read yet."""
        logits_V = next_logits(self._model, self._ids[self._cache.length :], self._cache)[0]
        return [self._token(logits_V, choose(logits_V, self._sampling, self._generator, self._seen))]

    def _token(self, logits_V: Tensor, id_: int) -> Token:
        return Token(id_) if self._top_logprobs is None else scored(logits_V, id_, self._top_logprobs)


def generate(
    model: Decoder,
    ids: Sequence[int],
    *,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int = 0,
    stop_ids: Iterable[int] = (),
    sampling: Sampling | None = None,
    top_logprobs: int | None = None,
) -> Generation:
    """Return an iterator over new token ids after the prompt `ids`; equal arguments give equal tokens.

    `sampling` stands for temperature, top_k and top_p, and has penalties too. With `top_logprobs`, see `Generation.scored`.

    `stop_ids` end it and are not yielded. It also ends when the model's context is full: see `Generation.stop_reason`.
    Raises `UsageError` at once for an empty prompt, one that is longer than the context, ids outside the vocabulary, or
    settings outside their range.
    """
    sampling = sampling or Sampling(temperature, top_k, top_p)
    return Generation(model, ids, max_new_tokens, sampling, seed, stop_ids, top_logprobs)


def check_prompt(model: Decoder, ids: Sequence[int]) -> None:
    """Raise `UsageError` for a prompt that is empty, longer than the model's context, or has ids outside its vocabulary."""
    vocab_tokens, context_tokens = model.config.vocab_tokens, model.config.context_tokens
    if not ids:
        raise UsageError("the prompt is empty; begin with at least one token, such as the end-of-text token")
    if len(ids) > context_tokens:
        raise UsageError(f"the prompt has {len(ids)} tokens; the model's context_tokens is {context_tokens}: shorten the prompt")
    if not 0 <= min(ids) <= max(ids) < vocab_tokens:
        raise UsageError(f"the prompt has ids from {min(ids)} to {max(ids)}; the model's vocabulary is 0 to {vocab_tokens - 1}")


def cache_for(model: Decoder, max_tokens: int) -> KVCache:
    """Return an empty cache for one sequence, where the model's weights are and of their type."""
    weight = model.head_weight
    return KVCache(model.config, max_tokens=max_tokens, device=weight.device, dtype=weight.dtype)


@torch.no_grad()  # inference mode is faster by little, and its tensors do not go through a model that FSDP has sharded
def next_logits(model: Decoder, ids: Sequence[int], cache: KVCache, last: int = 1) -> Tensor:
    """Read one sequence's ids after those that the cache holds; return the logits after each of the `last` ones, (last, V)."""
    if was_training := model.training:  # asked of every module, which takes longer than reading a token may
        model.eval()
    x_BTD = model(torch.tensor([list(ids)], device=model.head_weight.device), cache=cache)
    if was_training:
        model.train()
    return model.logits(x_BTD[0, -last:])
