"""`/v1/completions`: texts or ids continued, with their own log-probabilities where `echo` and `logprobs` ask for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.core.errors import DataError
from pellucid.serve.admission import check_sequences
from pellucid.serve.answers import Order, Piece, ShownToken
from pellucid.serve.errors import invalid
from pellucid.serve.fields import CompletionFields
from pellucid.serve.model import ServedModel, token_name
from pellucid.serve.plan import Plan, check_model, check_prompt, head, log_dictionary, requests_for

__all__ = ["plan_completion"]


def plan_completion(model: ServedModel, fields: CompletionFields, most_sequences: int) -> Plan:
    """Return what is to be generated. Raises `ApiError` for what cannot be, and for more than `most_sequences`."""
    check_model(model, fields.model)
    if fields.best_of not in (None, 1, fields.choices):
        raise invalid("best_of", "answers are not compared here; leave it out, or give the value of n")
    given = _prompts(fields)
    check_sequences(len(given) * fields.choices, most_sequences)
    try:
        prompts = [tuple(model.encode(one)) if isinstance(one, str) else tuple(one) for one in given]
    except DataError as error:
        raise invalid("prompt", str(error)) from error
    if not prompts:
        raise invalid("prompt", "the list is empty")
    asked = 16 if fields.max_tokens is None else fields.max_tokens
    for prompt in prompts:
        check_prompt(model, "prompt", prompt, asked)
    if asked == 0 and not fields.echo:
        raise invalid("max_tokens", "0 needs echo: there would be no answer at all")
    requests = requests_for(
        model,
        fields,
        prompts,
        [max(1, asked)] * len(prompts),  # no engine writes nothing; what it then writes is not shown
        top_logprobs=fields.logprobs,
        prompt_logprobs=bool(fields.echo) and fields.logprobs is not None,
    )
    orders = tuple(Order(request, fields.stops, bool(fields.echo), asked == 0) for request in requests)
    own = head(model, "cmpl") | {"object": "text_completion"}
    return Plan(orders, sum(map(len, prompts)), fields, _Writer(model, fields, [order.request.ids for order in orders], own))


def _prompts(fields: CompletionFields) -> Sequence[str | Sequence[int]]:
    if isinstance(fields.prompt, str):
        return [fields.prompt]
    ids = [one for one in fields.prompt if isinstance(one, int)]
    return [ids] if ids else [one for one in fields.prompt if not isinstance(one, int)]


@dataclass(frozen=True)
class _Writer:
    model: ServedModel
    fields: CompletionFields
    prompts: Sequence[Sequence[int]]
    head: Mapping[str, Any]

    def opening(self, answers: int) -> list[dict[str, Any]]:
        if not self.fields.return_token_ids:
            return []
        firsts = [self._choice(number, "", (), None, with_prompt=True) for number in range(answers)]
        return [{**self.head, "choices": [first]} for first in firsts]

    def chunk(self, number: int, piece: Piece) -> dict[str, Any]:
        return {**self.head, "choices": [self._choice(number, piece.text, piece.tokens, piece.finish)]}

    def last(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.head, "choices": [], "usage": counts}

    def whole(self, answers: Sequence[Sequence[Piece]], counts: Mapping[str, Any]) -> dict[str, Any]:
        choices = [
            self._choice(
                number,
                "".join(piece.text for piece in pieces),
                [shown for piece in pieces for shown in piece.tokens],
                pieces[-1].finish,
                with_prompt=True,
            )
            for number, pieces in enumerate(answers)
        ]
        return {**self.head, "choices": choices, "usage": counts}

    def _choice(
        self, number: int, text: str, tokens: Sequence[ShownToken], finish: str | None, *, with_prompt: bool = False
    ) -> dict[str, Any]:
        choice = {"index": number, "text": text, "logprobs": None, "finish_reason": finish}
        if self.fields.logprobs is not None:
            choice["logprobs"] = self._logprobs(tokens)
        if self.fields.return_token_ids:
            choice["token_ids"] = [shown.token.id for shown in tokens]
            if with_prompt:
                choice["prompt_token_ids"] = list(self.prompts[number])
        return choice

    def _logprobs(self, tokens: Sequence[ShownToken]) -> dict[str, Any]:
        top = [
            log_dictionary(self.model, [*shown.token.top, (shown.token.id, shown.token.logprob)])
            if shown.token.logprob is not None
            else None
            for shown in tokens
        ]
        return {
            "tokens": [token_name(self.model.own_bytes(shown.token.id)) for shown in tokens],
            "token_logprobs": [shown.token.logprob for shown in tokens],
            "top_logprobs": top if self.fields.logprobs else None,
            "text_offset": [shown.offset for shown in tokens],
        }
