"""`/v1/chat/completions`: conversations answered, by the chat format that the model has learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.errors import DataError, UsageError
from pellucid.serve.admission import check_sequences
from pellucid.serve.answers import Order, Piece, ShownToken
from pellucid.serve.errors import ApiError, invalid
from pellucid.serve.fields import ChatFields
from pellucid.serve.model import ServedModel, token_name
from pellucid.serve.plan import Plan, check_model, check_prompt, head, requests_for

__all__ = ["plan_chat"]


def plan_chat(model: ServedModel, fields: ChatFields, most_sequences: int) -> Plan:
    """Return what is to be generated.

    Raises `ApiError` for what cannot be: a base model, a conversation that has no form, more than `most_sequences` answers.
    """
    check_model(model, fields.model)
    check_sequences(fields.choices, most_sequences)
    if model.chat is None:
        raise ApiError(
            400,
            f"{model.name} is a base model: it continues text and has no chat format to answer in; use /v1/completions",
            code="no_chat_format",
        )
    if fields.top_logprobs is not None and not fields.logprobs:
        raise invalid("top_logprobs", "needs logprobs to be true")
    try:
        ids = tuple(model.chat.prompt([message.message for message in fields.messages]))
    except (DataError, UsageError) as error:
        raise invalid("messages", str(error)) from error
    asked = fields.max_completion_tokens if fields.max_completion_tokens is not None else fields.max_tokens
    check_prompt(model, "messages", ids, asked or 1)
    room = model.engine.context_tokens - len(ids) if asked is None else asked
    top = (fields.top_logprobs or 0) if fields.logprobs else None
    requests = requests_for(model, fields, [ids], [room], top_logprobs=top)
    writer = _Writer(model, fields, ids, head(model, "chatcmpl"))
    return Plan(tuple(Order(request, fields.stops) for request in requests), len(ids), fields, writer)


@dataclass(frozen=True)
class _Writer:
    model: ServedModel
    fields: ChatFields
    prompt: Sequence[int]
    head: Mapping[str, Any]

    def opening(self, answers: int) -> list[dict[str, Any]]:
        first = {"role": "assistant", "content": ""}
        chunks = [self._chunk([{"index": at, "delta": first, "logprobs": None, "finish_reason": None}]) for at in range(answers)]
        return [chunks[0] | self._prompt_ids(), *chunks[1:]]

    def chunk(self, number: int, piece: Piece) -> dict[str, Any]:
        delta = {"content": piece.text} if piece.text or piece.tokens else {}
        choice = {"index": number, "delta": delta, "logprobs": self._logprobs(piece.tokens), "finish_reason": piece.finish}
        return self._chunk([choice | self._ids(piece.tokens)])

    def last(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._chunk([]), "usage": counts}

    def whole(self, answers: Sequence[Sequence[Piece]], counts: Mapping[str, Any]) -> dict[str, Any]:
        choices = []
        for number, pieces in enumerate(answers):
            tokens = [shown for piece in pieces for shown in piece.tokens]
            message = {"role": "assistant", "content": "".join(piece.text for piece in pieces), "refusal": None}
            choice = {"index": number, "message": message, "logprobs": self._logprobs(tokens), "finish_reason": pieces[-1].finish}
            choices.append(choice | self._ids(tokens))
        return {**self.head, "object": "chat.completion", "choices": choices, "usage": counts, **self._prompt_ids()}

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self.head, "object": "chat.completion.chunk", "choices": choices}

    def _prompt_ids(self) -> dict[str, Any]:
        return {"prompt_token_ids": list(self.prompt)} if self.fields.return_token_ids else {}

    def _ids(self, tokens: Sequence[ShownToken]) -> dict[str, Any]:
        return {"token_ids": [shown.token.id for shown in tokens]} if self.fields.return_token_ids else {}

    def _logprobs(self, tokens: Sequence[ShownToken]) -> dict[str, Any] | None:
        if not self.fields.logprobs:
            return None
        content = [
            self._named(shown.token.id, shown.token.logprob)
            | {"top_logprobs": [self._named(id_, logprob) for id_, logprob in shown.token.top]}
            for shown in tokens
            if shown.token.logprob is not None
        ]
        return {"content": content, "refusal": None}

    def _named(self, id_: int, logprob: float | None) -> dict[str, Any]:
        own = self.model.own_bytes(id_)
        return {"token": token_name(own), "logprob": logprob, "bytes": list(own)}
