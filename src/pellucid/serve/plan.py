"""What both endpoints have in common: what is to be generated for a request, and the two ways of writing it down."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pellucid.generate.engine import GenerationRequest
from pellucid.serve.answers import Order, Piece
from pellucid.serve.errors import ApiError, context_exceeded, invalid
from pellucid.serve.fields import CommonFields
from pellucid.serve.model import ServedModel, token_name

__all__ = ["Plan", "Writer", "check_model", "check_prompt", "head", "log_dictionary", "requests_for", "usage"]


class Writer(Protocol):
    """Writes answers in an endpoint's form."""

    def opening(self, answers: int) -> list[dict[str, Any]]:
        """Return the chunks that begin a stream."""

    def chunk(self, number: int, piece: Piece) -> dict[str, Any]:
        """Return a chunk of a stream."""

    def last(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the chunk that tells the counts of tokens."""

    def whole(self, answers: Sequence[Sequence[Piece]], counts: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything at once."""


@dataclass(frozen=True)
class Plan:
    """The sequences of one request. `prompt_tokens` counts every prompt once, however many answers it gets."""

    orders: tuple[Order, ...]
    prompt_tokens: int
    fields: CommonFields
    writer: Writer


def check_model(model: ServedModel, asked: str | None) -> None:
    """Raise `ApiError` for a model that is not the one that is served."""
    if asked is not None and asked != model.name:
        raise ApiError(
            404, f"The model {asked!r} does not exist; this server has {model.name!r}", code="model_not_found", param="model"
        )


def check_prompt(model: ServedModel, param: str, ids: Sequence[int], new_tokens: int) -> None:
    """Raise `ApiError` for a prompt that is empty, outside of the vocabulary, or that leaves no room for the answer."""
    if not ids:
        raise invalid(param, "it has no tokens")
    if wrong := next((id_ for id_ in ids if id_ >= model.engine.vocab_tokens), None):
        raise invalid(param, f"token id {wrong} is outside of the vocabulary; ids are 0 to {model.engine.vocab_tokens - 1}")
    if len(ids) + new_tokens > model.engine.context_tokens:
        raise context_exceeded(param, len(ids), new_tokens, model.engine.context_tokens)


def requests_for(
    model: ServedModel, fields: CommonFields, prompts: Sequence[Sequence[int]], new_tokens: Sequence[int], **more: Any
) -> list[GenerationRequest]:
    """Return `n` requests for each prompt, with seeds that follow each other."""
    sampling, first_seed = fields.sampling(model.engine.vocab_tokens), fields.first_seed()
    places = [(prompt, room) for prompt, room in zip(prompts, new_tokens, strict=True) for _ in range(fields.choices)]
    return [
        GenerationRequest(tuple(prompt), room, sampling, first_seed + place, model.stop_ids, **more)
        for place, (prompt, room) in enumerate(places)
    ]


def head(model: ServedModel, prefix: str) -> dict[str, Any]:
    """Return what every answer begins with: an id that begins with `prefix`, the time, the model's name."""
    return {"id": f"{prefix}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model.name}


def log_dictionary(model: ServedModel, top: Sequence[tuple[int, float]]) -> dict[str, float]:
    """Return the likeliest tokens by their names; of two that are shown alike, the likelier."""
    found: dict[str, float] = {}
    for id_, logprob in top:
        found.setdefault(token_name(model.own_bytes(id_)), logprob)
    return found


def usage(prompt_tokens: int, new_tokens: int, reused_tokens: int) -> dict[str, Any]:
    """Return OpenAI's counts of tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": new_tokens,
        "total_tokens": prompt_tokens + new_tokens,
        "prompt_tokens_details": {"cached_tokens": reused_tokens},
    }
