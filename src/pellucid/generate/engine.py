"""What answers many requests at once: a model in this process, or llama.cpp. The server knows nothing else of a model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from pellucid.generate.sampling import Sampling

__all__ = [
    "Engine",
    "EngineStats",
    "Event",
    "Finished",
    "GenerationRequest",
    "Handle",
    "OnEvent",
    "PromptScored",
    "Reason",
    "Token",
]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One sequence that is to go on. Texts are the caller's affair: it encodes, decodes and looks for stop texts.

    `top_logprobs` asks for the log-probability of each new token and of so many of the likeliest; None: for none.
    `prompt_logprobs` asks for those of the prompt's own tokens too. Log-probabilities are of the model's distribution, before
    temperature, penalties and cuts.
    """

    ids: tuple[int, ...]
    max_new_tokens: int
    sampling: Sampling
    seed: int = 0
    stop_ids: frozenset[int] = frozenset()
    top_logprobs: int | None = None
    prompt_logprobs: bool = False


class Token(NamedTuple):
    """A token with its natural log-probability, and the likeliest tokens at its place with theirs, the likeliest first."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class PromptScored(NamedTuple):
    """The prompt's tokens, scored; the first has no log-probability. Comes before the first new token, if it was asked for."""

    tokens: tuple[Token, ...]


Reason = Literal["stop_id", "max_new_tokens", "context", "enough", "cancelled", "failed"]


class Finished(NamedTuple):
    """The last event of every request. `reused_tokens` of the prompt were in a cache already. `error` is set with `failed`."""

    reason: Reason
    prompt_tokens: int
    new_tokens: int
    reused_tokens: int = 0
    stopped_by: int | None = None
    error: str | None = None


Event = PromptScored | Token | Finished

OnEvent = Callable[[Event], None]
"""Called from the engine's own thread, in order; it must return at once and must not raise."""


class Handle(Protocol):
    """A request under way."""

    def cancel(self, *, enough: bool = False) -> None:
        """Give the request's slot back within a step, if it still runs. From any thread.

        `Finished` comes with `cancelled`; with `enough` where what was wanted is there, a stop text say, and nothing is given up.
        """


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What an engine is doing now, and has done since it started.

    `prompt_tokens` are those that were read and the `reused_tokens`, which were in a cache. Of the `proposed_tokens` of a small
    model `accepted_tokens` were what the model wrote.
    """

    slots: int
    running: int
    waiting: int
    finished: int
    prompt_tokens: int
    reused_tokens: int
    new_tokens: int
    cancelled: int
    failed: int
    proposed_tokens: int = 0
    accepted_tokens: int = 0


class Engine(Protocol):
    """Runs requests in the order in which they came, as many at once as it has slots; the others wait."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON values that say what runs: engine and its version, model, digest, device, number type, context_tokens, slots."""

    @property
    def context_tokens(self) -> int:
        """The longest sequence, prompt and new tokens together."""

    @property
    def vocab_tokens(self) -> int:
        """Ids are below it."""

    @property
    def closed(self) -> bool:
        """Whether it takes nothing more: it was closed, or has failed for good."""

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> Handle:
        """Take a request; its events come to `on_event`. From any thread, returns at once.

        Raises `UsageError` for a prompt that is empty, longer than the context or outside the vocabulary, and `EngineClosedError`
        for an engine that is closed.
        """

    def stats(self) -> EngineStats:
        """Return what it is doing; cheap, from any thread."""

    def close(self) -> None:
        """Cancel what still runs or waits, and free the model. May be called twice."""
