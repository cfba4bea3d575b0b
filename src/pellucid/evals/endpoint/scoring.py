"""Log-likelihoods from a server: out of the prompt it echoes, or token by token where llama.cpp serves.

OpenAI's interface gives probabilities of a prompt only through `/completions` with `echo` and `logprobs`, which vLLM and others
keep, and OpenAI itself, chat-only servers and llama.cpp do not. llama.cpp gives the probability of one next token, whatever its
sampler is then made to choose: exact as well, one request a token.
"""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pellucid.core.errors import ArtifactError, CannotDoError, EndpointError
from pellucid.evals.endpoint.client import Client, Refusal, Reply
from pellucid.evals.endpoint.server import Server, tokenize
from pellucid.evals.likelihood.requests import Request, encode_pair, encode_rolling, make_requests
from pellucid.evals.subject import Likelihood, Pair

__all__ = ["Count", "EchoScorer", "Echoed", "LlamaCppScorer", "Scorer", "find_scorer"]

Count = Callable[[Reply, int, int], None]
"""Told of every reply, with the tokens that it read and wrote."""

_FORCED = 1e6
_CANNOT = (400, 404, 405, 422)


@dataclass(frozen=True, slots=True)
class Echoed:
    """A prompt as a server gives it back: its tokens, the log-probability of each, and that of the likeliest in its place.

    `text` is the whole prompt, None where it is not told; `offsets` are where its tokens begin in it, none where they are not told.
    """

    tokens: Sequence[str]
    own: Sequence[float | None]
    best: Sequence[float | None]
    text: str | None = None
    offsets: Sequence[int] = ()


class Scorer(Protocol):
    """How likely the model behind a server finds texts; `stop` ends the wait between attempts."""

    def pair(self, pair: Pair, stop: threading.Event) -> Likelihood:
        """Return how likely a continuation is."""

    def text(self, text: str, stop: threading.Event) -> Likelihood:
        """Return how likely a whole text is."""


def find_scorer(client: Client, server: Server, context_tokens: int | None, count: Count) -> Scorer:
    """Return what this server can do. Raises `CannotDoError` naming the suites that work without when it can do nothing of it.

    What only fails (a dead server, a key that is not accepted) is raised as it is: it says nothing about what the server can do.
    """
    if server.software == "llama.cpp" and context_tokens is not None:
        return LlamaCppScorer(client, server, context_tokens, count)
    for new_tokens in (0, 1):  # some servers write at least one
        scorer = EchoScorer(client, server.model, context_tokens, new_tokens, count)
        try:
            found = scorer.probe("one two three")
        except Refusal as refusal:
            if refusal.status not in _CANNOT:
                raise
            continue
        if found is not None and "".join(found.tokens).endswith("one two three"):
            return scorer
    raise CannotDoError(
        f"{client.base}: this server gives no log-probabilities of a prompt (/completions with echo and logprobs), which multiple "
        "choice and perplexity need. Without them go: needle, mt_bench, code, reflection, and tasks of the harness that generate. "
        "For the others evaluate the checkpoint or an export, or serve it with vLLM or llama.cpp"
    )


class EchoScorer:
    """Reads the log-probabilities out of an echoed prompt. What the server puts before every text (a beginning token) stays."""

    def __init__(self, client: Client, model: str, context_tokens: int | None, new_tokens: int, count: Count) -> None:
        self._client, self._model, self._context_tokens = client, model, context_tokens
        self._new_tokens, self._count = new_tokens, count

    def pair(self, pair: Pair, stop: threading.Event) -> Likelihood:
        """Return how likely a continuation is. A token that begins in the context and ends in the continuation counts to it."""
        text, context = pair.context + pair.continuation, pair.context.rstrip()  # blanks that end the context, as everywhere
        try:
            echoed, dropped = self.echoed(text, stop), 0
        except Refusal as refusal:
            if not refusal.is_too_long:
                raise
            ids = tokenize(self._client, self._model, text, begin=True)
            room = (self._context_tokens or 0) - self._new_tokens
            if ids is None or not 0 < room < len(ids):
                raise CannotDoError(
                    f"a text of {len(text)} characters does not fit, and this server does not cut it: {refusal}"
                ) from refusal
            dropped = len(ids) - room
            echoed = self.echoed(ids[dropped:], stop)
        return self._sum(echoed, self._first(echoed, context, text), dropped)

    def text(self, text: str, stop: threading.Event) -> Likelihood:
        """Return how likely a whole text is. Raises `CannotDoError` for one that is longer than the context."""
        try:
            echoed = self.echoed(text, stop)
        except Refusal as refusal:
            if not refusal.is_too_long:
                raise
            raise CannotDoError(
                f"a text of {len(text)} characters does not fit into the server's context; whole texts are read in windows only "
                f"from a checkpoint, an export or llama.cpp: {refusal}"
            ) from refusal
        return self._sum(echoed, self._first(echoed, "", text), 0)

    def probe(self, prompt: str) -> Echoed | None:
        """Return the prompt's tokens with their log-probabilities, or None for an answer without them."""

        def read(raw: Any) -> tuple[Echoed | None, int, int]:
            raw["choices"][0]  # something else is no answer at all, and may pass
            try:
                return self._read(raw)
            except (LookupError, TypeError, ValueError):
                return None, 0, 0

        return self._ask(prompt, read, threading.Event())

    def echoed(self, prompt: str | Sequence[int], stop: threading.Event) -> Echoed:
        """Return the prompt's tokens with their log-probabilities; None where the server gives none (the first)."""
        found = self._ask(prompt, self._read, stop)
        assert found is not None
        return found

    def _ask(
        self, prompt: str | Sequence[int], read: Callable[[Any], tuple[Echoed | None, int, int]], stop: threading.Event
    ) -> Echoed | None:
        body = {
            "model": self._model,
            "prompt": prompt,
            "max_tokens": self._new_tokens,
            "echo": True,
            "logprobs": 1,
            "temperature": 0,
        }
        reply = self._client.post(f"{self._client.base}/completions", body, read, stop)
        echoed: Echoed | None
        echoed, read_tokens, new_tokens = reply.body
        self._count(reply, read_tokens, new_tokens)
        return echoed

    def _read(self, raw: Any) -> tuple[Echoed, int, int]:
        choice, usage = raw["choices"][0], raw.get("usage") or {}
        found = choice["logprobs"]
        new_tokens = int(usage.get("completion_tokens", self._new_tokens))
        end = len(found["tokens"]) - new_tokens
        tokens, own = [str(token) for token in found["tokens"][:end]], list(found["token_logprobs"][:end])
        best = [max(top.values()) if top else None for top in found["top_logprobs"][:end]]
        if not len(tokens) == len(own) == len(best) > 0:
            raise ValueError("tokens, token_logprobs and top_logprobs are not of one length")
        text, offsets = choice.get("text"), [int(offset) for offset in found.get("text_offset") or ()]
        if isinstance(text, str) and len(offsets) == len(found["tokens"]):
            text = text[: offsets[end]] if new_tokens else text
        else:
            text, offsets = None, []
        return Echoed(tokens, own, best, text, offsets[:end]), int(usage.get("prompt_tokens", 0)), new_tokens

    def _first(self, echoed: Echoed, context: str, text: str) -> int:
        """Return the place of the first token that is scored: the one in which the context ends.

        Found by what the tokens spell; where some are bytes that are no characters by themselves, by their offsets, or else by the
        ids of text and context.
        """
        scored = text[len(context) :]
        first, characters = len(echoed.tokens), 0
        while first > 0 and characters < len(scored):
            first -= 1
            characters += len(echoed.tokens[first])
        if "".join(echoed.tokens[first:]).endswith(scored):
            return first
        if (by_offset := _by_offset(echoed, scored)) is not None:
            return by_offset
        whole = tokenize(self._client, self._model, text, begin=False)
        before = tokenize(self._client, self._model, context, begin=False) if context and whole is not None else []
        if whole is None or before is None:
            raise EndpointError(
                f"{self._client.base}: the echoed tokens {list(echoed.tokens[-8:])} do not spell the text that was sent "
                f"({scored[:40]!r}…), and the server tells neither their offsets nor, at /tokenize, their ids, so that it is not "
                "known which of them are to be scored"
            )
        common = next((at for at, (a, b) in enumerate(zip(whole, before, strict=False)) if a != b), min(len(whole), len(before)))
        first = len(echoed.tokens) - (len(whole) - common)
        if first < 0:
            raise EndpointError(
                f"{self._client.base}: {len(echoed.tokens)} tokens are echoed, /tokenize makes {len(whole)} of them"
            )
        return first

    def _sum(self, echoed: Echoed, first: int, dropped: int) -> Likelihood:
        values = echoed.own[first:]
        if any(value is None for value in values):
            raise CannotDoError(
                f"{self._client.base} scores no token at the beginning of a text, because it puts none before it; texts without a "
                "context need a checkpoint, an export or llama.cpp"
            )
        numbers = [float(value) for value in values if value is not None]
        greedy = all(value >= top for value, top in zip(numbers, echoed.best[first:], strict=True) if top is not None)
        return Likelihood(-math.fsum(numbers), len(numbers), greedy, dropped)


def _by_offset(echoed: Echoed, scored: str) -> int | None:
    """Return the first token of `scored` by the offsets, or None where there are none or they do not fit the text."""
    text, offsets = echoed.text, echoed.offsets
    if text is None or not offsets or not text.endswith(scored):
        return None
    if not all(
        token in ("", text[at : at + len(token)])
        for at, token in zip(offsets, echoed.tokens, strict=True)
        if "�" not in token and not token.startswith("bytes:")  # parts of characters, as vLLM and as OpenAI name them
    ):
        return None
    boundary = len(text) - len(scored)
    first = bisect_left(offsets, boundary)
    return first if first < len(offsets) and offsets[first] == boundary else max(first - 1, 0)


class LlamaCppScorer:
    """Asks llama.cpp for the next token's probability, over and over. The sampler is forced; the probabilities come before it.

    Tokens are those of a model in process and of lm-evaluation-harness. Before a text without context stands its beginning token,
    or else its end of text. llama.cpp reads one token less than its context, so a text that fills it is cut by one token more.
    """

    def __init__(self, client: Client, server: Server, context_tokens: int, count: Count) -> None:
        self._client, self._server, self._count = client, server, count
        self._read_tokens = context_tokens - 1
        self._first_id = self._beginning()

    def pair(self, pair: Pair, stop: threading.Event) -> Likelihood:
        """Return how likely a continuation is; context and continuation keep their last `context_tokens` tokens."""
        context, wanted = encode_pair(pair, self._ids, self._first_id)
        return self._score(make_requests(context, wanted, self._read_tokens), stop)

    def text(self, text: str, stop: threading.Event) -> Likelihood:
        """Return how likely a whole text is, read in windows, every token scored once."""
        return self._score(encode_rolling(self._ids(text), self._first_id, self._read_tokens), stop)

    def _score(self, requests: Sequence[Request], stop: threading.Event) -> Likelihood:
        found = []
        for request in requests:
            before = len(request.inputs) - len(request.targets) + 1
            found += [self._next(request.inputs[: before + at], id_, stop) for at, id_ in enumerate(request.targets)]
        nats = -math.fsum(value for value, _ in found)
        return Likelihood(nats, len(found), all(first for _, first in found), sum(request.dropped for request in requests))

    def _next(self, before: Sequence[int], id_: int, stop: threading.Event) -> tuple[float, bool]:
        """Return the log-probability of `id_` after `before`, and whether it is the likeliest."""
        body: dict[str, Any] = {"prompt": list(before), "n_predict": 1, "temperature": 0, "cache_prompt": True}
        shown = self._ask({**body, "n_probs": 1, "logit_bias": [[id_, _FORCED]]}, stop)
        if not shown or shown[0]["id"] != id_:
            # It shows probabilities only beside text: not for an end of text, nor for half a character. So another token is chosen,
            # and all probabilities are read.
            harmless = [[self._ids("a")[0], _FORCED]]
            shown = self._ask({**body, "n_probs": self._server.vocab_tokens, "logit_bias": harmless}, stop)
        top = shown[0]["top_logprobs"]
        value = shown[0]["logprob"] if shown[0]["id"] == id_ else next((one["logprob"] for one in top if one["id"] == id_), None)
        if value is None or not math.isfinite(value):
            raise ArtifactError(
                f"{self._client.root}: token {id_} has no finite log-probability ({value}): the model's logits are no numbers"
            )
        return float(value), bool(value >= top[0]["logprob"])

    def _ask(self, body: dict[str, Any], stop: threading.Event) -> list[dict[str, Any]]:
        reply = self._client.post(
            f"{self._client.root}/completion",
            body,
            lambda raw: (raw.get("completion_probabilities") or [], int(raw.get("timings", {}).get("prompt_n", 1))),
            stop,
        )
        shown, read_tokens = reply.body
        self._count(reply, read_tokens, 1)
        return list(shown)

    def _ids(self, text: str, special: bool = False) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": special}
        ids: list[int] = self._client.post(f"{self._client.root}/tokenize", body, lambda raw: list(raw["tokens"])).body
        return ids

    def _beginning(self) -> int:
        props = self._client.get(f"{self._client.root}/props").body
        for name in ("bos_token", "eos_token"):
            if props.get(name) and len(ids := self._ids(props[name], special=True)) == 1:
                return ids[0]
        raise CannotDoError(
            f"{self._client.root}: the model has neither a beginning nor an end of text, after which a text could be scored"
        )
