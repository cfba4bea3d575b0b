"""What is evaluated: a model in this process, or one behind an endpoint. Suites know nothing else of a model than what is here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

__all__ = ["Answer", "Decoding", "Likelihood", "Message", "OnDone", "Pair", "Setting", "Subject", "Usage", "nothing_done"]

Message = Mapping[str, str]
"""One turn of a conversation: `role` (system, user, assistant) and `content`."""

OnDone = Callable[[int], None]
"""Told how many more requests are finished, for a progress bar."""


def nothing_done(count: int) -> None:
    """Do nothing: for callers that show no progress."""


class Pair(NamedTuple):
    """A text, and what may follow it: how likely the model thinks the continuation is."""

    context: str
    continuation: str


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a continuation is.

    `nats` is minus the natural log of its probability after the context, over its `tokens` tokens; `greedy` tells whether each of
    them is the model's first choice. `dropped_tokens` were cut off the beginning because context and continuation together were
    longer than the model's context.
    """

    nats: float
    tokens: int
    greedy: bool
    dropped_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Decoding:
    """How an answer is written. `stop` are texts before which it ends; they are not part of it."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_k: int | None = None
    top_p: float = 1.0
    stop: tuple[str, ...] = ()


class Answer(NamedTuple):
    """What a model wrote, what ended it, and how many tokens it read and wrote.

    `dropped_tokens` of the prompt's beginning were left out because there was no room for them. An answer that began by thinking
    aloud is whole: nothing is cut out of `text`.
    """

    text: str
    stopped_by: Literal["stop", "length", "context"]
    prompt_tokens: int
    new_tokens: int
    dropped_tokens: int = 0


@dataclass(slots=True)
class Usage:
    """What was asked of a model so far. `cost_usd` is None where no price is known; `retries` are of requests that failed."""

    requests: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0
    retries: int = 0
    seconds: float = 0.0
    cost_usd: float | None = None


class Subject(Protocol):
    """A model under evaluation, or one that judges.

    All methods return in the order of what was asked, and share work between requests of one call: ask for many at once, and
    neighbours with a common beginning next to each other. Each raises `UsageError` where this kind of model cannot do it (an
    endpoint without log-probabilities, a base model that is to chat), saying what to do, and `ArtifactError` for logits that are no
    numbers.
    """

    @property
    def label(self) -> str:
        """A short name for tables."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """JSON values that say which model this is: kind, path or URL, digest of the weights, parameters, tokenizer…"""

    @property
    def context_tokens(self) -> int | None:
        """The longest sequence, prompt and new tokens together; None where an endpoint does not tell."""

    @property
    def usage(self) -> Usage:
        """What was asked so far."""

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return how likely each continuation is after its context.

        An empty context is the beginning of a text. A pair longer than the model's context loses the beginning of its context; a
        continuation that is longer by itself is read in windows after the last token of its context.
        """

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return how likely each whole text is, read in windows as long as the context, every token scored once."""

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        """Return how the model goes on after each text. A prompt that leaves no room loses its beginning."""

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        """Return the assistant's answer to each conversation, whose last message is the user's."""

    def count_tokens(self, text: str) -> int | None:
        """Return how many tokens a text has; None where an endpoint does not tell."""


@dataclass(frozen=True)
class Setting:
    """What all suites of one call have in common."""

    data: str | None = None
    """Folder with benchmarks' data (`--data-dir`); None: each suite's own source."""
    limit: int | None = None
    """Score at most this many items of each task, chosen by the seed; None: all."""
    seed: int = 1
    judge: Subject | None = None
    allow_code_execution: bool = False
