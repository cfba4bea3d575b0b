"""A `Subject` behind an OpenAI-compatible endpoint: answers, completions, and log-likelihoods where the server can give them."""

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pellucid.core.errors import EndpointError
from pellucid.evals.endpoint.client import Client, Refusal, Reply
from pellucid.evals.endpoint.parallel import in_parallel
from pellucid.evals.endpoint.scoring import Scorer, find_scorer
from pellucid.evals.endpoint.server import ask_server, tokenize
from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Usage, nothing_done
from pellucid.recipe.suites import EndpointConfig

__all__ = ["Endpoint", "open_endpoint"]

S = TypeVar("S")
T = TypeVar("T")
# The numbers in what llama.cpp, vLLM and OpenAI say of prompts that are too long, where there are any.
_LIMIT = re.compile(r"maximum context length (?:is|of) (\d+)")
# Some servers take one of these only as it is, or not at all. In the order in which they can be missed.
_OPTIONAL = ("seed", "top_p", "temperature")
_PROMPT = re.compile(r"has (?:at least )?(\d+) input tokens|\((\d+) in the (?:messages|prompt)|\"n_prompt_tokens\":(\d+)")


def open_endpoint(config: EndpointConfig) -> "Endpoint":
    """Return the model at an endpoint, after asking the server what it is.

    Raises `UsageError` for a URL that is none, a key that is not set or not accepted, a server without models; `EndpointError` when
    it does not answer; `MissingExtraError` without httpx.
    """
    return Endpoint(config)


class Endpoint:
    """A `Subject`. Where an answer leaves no `usage`, its tokens count as 0 and the cost is unknown from then on."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self._client = Client(config)
        self._server = ask_server(self._client, config.model)
        self._usage = Usage(cost_usd=0.0 if _prices(config) else None)
        self._lock = threading.Lock()
        self._length_field = "max_tokens"
        self._scorer: Scorer | None = None
        self._has_tokenize: bool | None = None
        self._unsupported: set[str] = set()

    @property
    def label(self) -> str:
        """The model's name at the server, without the folder of a file."""
        return self._server.model.rsplit("/", 1)[-1].removesuffix(".gguf")

    @property
    def identity(self) -> Mapping[str, Any]:
        """Kind, URL, model (of llama.cpp's file the name alone: results do not tell where it lies), server's version, prices.

        `unsupported` are fields of a request that the server was met to refuse, so that answers are written without them.
        """
        unsupported = {"unsupported": sorted(self._unsupported)} if self._unsupported else {}
        return {
            "kind": "endpoint",
            "url": self._client.base,
            "model": self._server.model.rsplit("/", 1)[-1] if self._server.model.startswith("/") else self._server.model,
            "server": self._server.version,
            "context_tokens": self.context_tokens,
            "usd_per_million_tokens": _prices(self._config),
            **unsupported,
        }

    @property
    def context_tokens(self) -> int | None:
        """As given, else as the server says."""
        return self._config.context_tokens or self._server.context_tokens

    @property
    def requests_at_once(self) -> int:
        """How many requests to make in one call: see `parallel.at_once`."""
        return 2 * self._config.parallel

    @property
    def usage(self) -> Usage:
        """What was asked so far, also of answers that were lost to an error."""
        return self._usage

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        """Return the assistant's answers. A conversation too long for the server is answered by nothing, stopped by `context`."""

        def ask(at: int, stop: threading.Event) -> Answer:
            messages = [dict(message) for message in conversations[at]]
            return self._answer("/chat/completions", {"messages": messages}, _message_text, self._body(decoding, seeds[at]), stop)

        return self._each(ask, range(len(conversations)), on_done)

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        """Return how the model goes on. What is too long loses its beginning where the server tells its tokens, else see `chat`."""

        def ask(at: int, stop: threading.Event) -> Answer:
            body = self._body(decoding, seeds[at])
            answer = self._answer("/completions", {"prompt": prompts[at]}, _text, body, stop)
            if answer.stopped_by != "context" or answer.new_tokens or self.context_tokens is None:
                return answer
            room = self.context_tokens - min(decoding.max_new_tokens, self.context_tokens // 2)
            ids = tokenize(self._client, self._server.model, prompts[at], begin=True)
            if ids is None or len(ids) <= room:
                return answer
            cut = self._answer("/completions", {"prompt": ids[-room:]}, _text, body, stop)
            return cut._replace(dropped_tokens=len(ids) - room)

        return self._each(ask, range(len(prompts)), on_done)

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return how likely continuations are. Raises `CannotDoError` where the server gives no log-probabilities of a prompt."""
        scorer = self._find_scorer()
        return self._each(lambda pair, stop: scorer.pair(pair, stop), pairs, on_done)

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return how likely whole texts are. Raises as `loglikelihoods`."""
        scorer = self._find_scorer()
        return self._each(lambda text, stop: scorer.text(text, stop), texts, on_done)

    def count_tokens(self, text: str) -> int | None:
        """Return how many tokens the server makes of a text; None where it has no route `/tokenize`.

        Whether it has one is found out by the first text; after that a failure is an error, so that tokens are counted in one way.
        """
        if self._has_tokenize is False:
            return None
        try:
            ids = tokenize(self._client, self._server.model, text, begin=False)
        except Refusal as refusal:
            if self._has_tokenize or refusal.status not in (400, 403, 422):
                raise
            ids = None  # a route of that name that is closed to us, or wants something else
        if ids is None and self._has_tokenize:
            raise EndpointError(f"{self._client.root}/tokenize is gone: it counted tokens before; run the same command again")
        self._has_tokenize = ids is not None
        return None if ids is None else len(ids)

    def _find_scorer(self) -> Scorer:
        if self._scorer is None:
            self._scorer = find_scorer(self._client, self._server, self.context_tokens, self._count)
        return self._scorer

    def _each(self, ask: Callable[[S, threading.Event], T], items: Sequence[S], on_done: OnDone) -> list[T]:
        began = time.monotonic()
        try:
            return in_parallel(ask, items, self._config.parallel, on_done)
        finally:
            self._usage.seconds += time.monotonic() - began

    def _body(self, decoding: Decoding, seed: int) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._server.model, "temperature": decoding.temperature}
        body |= {self._length_field: decoding.max_new_tokens, "seed": seed % (2**31 - 1)}
        if decoding.top_p < 1 or self._server.software == "llama.cpp":
            body["top_p"] = decoding.top_p
        body = {name: value for name, value in body.items() if name not in self._unsupported}
        if decoding.stop:
            body["stop"] = list(decoding.stop)
        if decoding.top_k is not None:
            body["top_k"] = decoding.top_k
        if self._server.software == "llama.cpp":  # whose defaults would cut further
            body = {"top_k": 0, "min_p": 0.0, **body}
        return body

    def _answer(
        self, path: str, asked: Mapping[str, Any], text_of: Callable[[Any], str], body: Mapping[str, Any], stop: threading.Event
    ) -> Answer:
        answer: Answer
        limit = next(body[name] for name in ("max_tokens", "max_completion_tokens") if name in body)

        def read(raw: Any) -> Answer:
            choice, usage = raw["choices"][0], raw.get("usage") or {}
            read_tokens, new_tokens = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
            stopped_by: Literal["stop", "length", "context"] = "length" if choice.get("finish_reason") == "length" else "stop"
            if stopped_by == "length" and 0 < new_tokens < limit:
                stopped_by = "context"
            return Answer(text_of(choice), stopped_by, read_tokens, new_tokens)

        try:
            reply = self._client.post(self._client.base + path, {**asked, **body}, read, stop)
        except Refusal as refusal:
            if refusal.status not in (400, 413, 422):
                raise
            if "max_completion_tokens" in refusal.body and "max_tokens" in body:
                self._length_field = "max_completion_tokens"
                renamed = {("max_completion_tokens" if name == "max_tokens" else name): value for name, value in body.items()}
                return self._answer(path, asked, text_of, renamed, stop)
            if not refusal.is_too_long:
                named = next((name for name in _OPTIONAL if name in body and re.search(rf"\b{name}\b", refusal.body)), None)
                if named is None:
                    raise
                less = {name: value for name, value in body.items() if name != named}
                answer = self._answer(path, asked, text_of, less, stop)
                self._unsupported.add(named)
                return answer
            prompt_tokens, room = self._room(refusal.body)
            if room is None or not 0 < room < limit:
                return Answer("", "context", prompt_tokens, 0)
            answer = self._answer(path, asked, text_of, _shorter(body, room), stop)
            return answer._replace(stopped_by="context") if answer.stopped_by == "length" else answer
        answer = reply.body
        self._count(reply, answer.prompt_tokens, answer.new_tokens)
        return answer

    def _room(self, body: str) -> tuple[int, int | None]:
        """Read out of a refusal how long the prompt is, 0 where it is not said, and how many tokens it leaves."""
        limit, prompt = _LIMIT.search(body), _PROMPT.search(body)
        if prompt is None:
            return 0, None
        prompt_tokens = next(int(found) for found in prompt.groups() if found)
        context = int(limit[1]) if limit else self.context_tokens
        return prompt_tokens, None if context is None else context - prompt_tokens

    def _count(self, reply: Reply, prompt_tokens: int, new_tokens: int) -> None:
        prices = _prices(self._config)
        with self._lock:
            self._usage.requests += 1
            self._usage.retries += reply.retries
            self._usage.prompt_tokens += prompt_tokens
            self._usage.new_tokens += new_tokens
            if prompt_tokens == 0:
                self._usage.cost_usd = None
            if prices is not None and self._usage.cost_usd is not None:
                self._usage.cost_usd += (prompt_tokens * prices["prompt"] + new_tokens * prices["new"]) / 1e6


def _prices(config: EndpointConfig) -> dict[str, float] | None:
    prompt, new = config.usd_per_million_prompt_tokens, config.usd_per_million_new_tokens
    return None if prompt is None or new is None else {"prompt": prompt, "new": new}


def _shorter(body: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    return {name: tokens if name in ("max_tokens", "max_completion_tokens") else value for name, value in body.items()}


def _message_text(choice: Any) -> str:
    return choice["message"]["content"] or ""


def _text(choice: Any) -> str:
    return choice["text"] or ""
