"""What the two endpoints take, field by field, as OpenAI names them, and what comes of them.

One rule: a field that changes the answer is obeyed or refused. Fields that never change it (`user`, `metadata`, …) are taken and
left alone; fields of what is not offered (`tools`, `suffix`, …) may hold only the value that means "without"; unknown ones are
refused.
"""

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pellucid.core.errors import UsageError
from pellucid.generate.sampling import Sampling
from pellucid.serve.errors import ApiError, invalid

__all__ = ["ChatFields", "CommonFields", "CompletionFields", "TrainingMatchesFields", "read_fields"]

T = TypeVar("T", bound="_Strict")
_LONGEST_STOP = 256
_MOST_STOPS = 16
MOST_TOP_LOGPROBS = 20
_SEEDS = 2**63
# Far above what is taken. Lists end here, and at their first fault: a body of a few MiB may hold millions of either, each of which
# takes a thousand bytes to be told.
_LONGEST_LIST = 8192
_LONGEST_IDS = 2**20

TokenId = Annotated[int, Field(ge=0, lt=2**31)]
StopText = Annotated[str, Field(min_length=1, max_length=_LONGEST_STOP)]
Count = Annotated[int, Field(ge=1, le=128)]
PromptIds = Annotated[list[TokenId], Field(min_length=1, max_length=_LONGEST_IDS, fail_fast=True)]
NewTokens = Annotated[int, Field(ge=0, le=2**31 - 1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class StreamOptions(_Strict):
    """`include_usage` adds a last chunk with the counts of tokens."""

    include_usage: bool | None = False
    # Padding against listeners who measure chunks, which never changes the answer.
    include_obfuscation: bool | None = False


class CommonFields(_Strict):
    """What both endpoints take. `top_k`, `min_p`, `repetition_penalty` and `return_token_ids` are ours (and vLLM's)."""

    model: str | None = None
    n: Count | None = 1
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    stop: StopText | Annotated[list[StopText], Field(max_length=_MOST_STOPS, fail_fast=True)] | None = None
    seed: Annotated[int, Field(ge=-_SEEDS, lt=_SEEDS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = 1.0
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = None
    top_k: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = 0.0
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = 1.0
    return_token_ids: bool | None = False
    # Never change the answer.
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None

    @field_validator("logit_bias")
    @classmethod
    def _ids(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if wrong := [key for key in value or () if not (key.isascii() and key.isdigit() and len(key) <= 9)]:
            raise ValueError(f"{wrong[0]!r} is no token id")
        return value

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def choices(self) -> int:
        """How many answers each prompt gets."""
        return self.n or 1

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def first_seed(self) -> int:
        """Return the seed of the first answer; the following ones have the following. Drawn where none is given."""
        return secrets.randbits(48) if self.seed is None else self.seed % _SEEDS

    def sampling(self, vocab_tokens: int) -> Sampling:
        """Return how tokens are drawn. Raises `ApiError` for what this engine cannot do."""
        bias = {int(key): value for key, value in (self.logit_bias or {}).items()}
        if wrong := [id_ for id_ in bias if id_ >= vocab_tokens]:
            raise invalid("logit_bias", f"token id {wrong[0]} is outside of the vocabulary; ids are 0 to {vocab_tokens - 1}")
        # null is the default; so is 0 where it cuts nothing.
        given: dict[str, Any] = {
            "temperature": self.temperature,
            "top_k": min(self.top_k, vocab_tokens) if self.top_k else None,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": tuple(sorted(bias.items())),
        }
        try:
            return Sampling(**{name: value for name, value in given.items() if value is not None})
        except UsageError as error:
            raise invalid(None, str(error)) from error


class CompletionFields(CommonFields):
    """`/v1/completions`. A prompt is a text, its ids, or a list of either."""

    prompt: (
        str
        | Annotated[list[str], Field(max_length=_LONGEST_LIST, fail_fast=True)]
        | PromptIds
        | Annotated[list[PromptIds], Field(max_length=_LONGEST_LIST, fail_fast=True)]
    )
    max_tokens: NewTokens | None = 16
    echo: bool | None = False
    logprobs: Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)] | None = None
    best_of: Count | None = None
    suffix: Literal[""] | None = None


class TextPart(_Strict):
    """A part of a message; only texts are taken."""

    type: Literal["text"]
    text: str


class MessageFields(_Strict):
    """A message. `developer` is OpenAI's newer word for `system`."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(max_length=_LONGEST_LIST, fail_fast=True)]
    # Chat formats have no place for it, and clients send it.
    name: str | None = None
    # The client sends earlier answers back as it got them.
    refusal: None = None
    annotations: None = None
    audio: None = None
    function_call: None = None
    tool_calls: None = None

    @property
    def message(self) -> Mapping[str, str]:
        """The message as chat formats take it."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ResponseFormat(_Strict):
    """Only plain text is offered."""

    type: Literal["text"]


class ChatFields(CommonFields):
    """`/v1/chat/completions`. `max_tokens` is the older name of `max_completion_tokens`."""

    messages: Annotated[list[MessageFields], Field(min_length=1, max_length=_LONGEST_LIST, fail_fast=True)]
    max_completion_tokens: Annotated[NewTokens, Field(ge=1)] | None = None
    max_tokens: Annotated[NewTokens, Field(ge=1)] | None = None
    logprobs: bool | None = False
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)] | None = None
    response_format: ResponseFormat | None = None
    modalities: Annotated[list[Literal["text"]], Field(max_length=1)] | None = None
    tools: Annotated[list[Any], Field(max_length=0)] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None


class TrainingMatchesFields(_Strict):
    """`/v1/training_matches`. `text` is a text, or ids of the vocabulary that the run was trained with."""

    text: str | PromptIds
    min_tokens: Annotated[int, Field(ge=8, le=1024)] = 8
    max_runs: Annotated[int, Field(ge=1, le=200)] = 20
    max_documents: Annotated[int, Field(ge=1, le=20)] = 3


def read_fields(kind: type[T], body: bytes) -> T:
    """Return what a body says. Raises `ApiError` that names the first field that is wrong and what it may be."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        # Of a field that may be several things, every one says why it is not that; a list that is too long was the right thing.
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        first = next((one for one in errors if one["type"] == "too_long"), errors[0])
        place = ".".join(str(part) for part in first["loc"]) or None
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(kind.model_fields))
            raise ApiError(400, f"{place}: unknown field; known are {known}", param=place, code="unknown_field") from error
        raise invalid(place, first["msg"]) from error
