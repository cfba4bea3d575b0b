"""A model in this process as what is evaluated: the decoder, its vocabulary, and the chat format where it has learnt one."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from pellucid.core.errors import CannotDoError
from pellucid.evals.likelihood.requests import Request, encode_pair, encode_rolling, make_requests
from pellucid.evals.likelihood.score import Budget, Scored, score_requests
from pellucid.evals.subject import Answer, Decoding, Likelihood, Message, OnDone, Pair, Usage, nothing_done
from pellucid.generate.batched import Completer, Completion
from pellucid.generate.sampling import Sampling
from pellucid.model.decoder import Decoder
from pellucid.tokenizer.chat import ChatFormat
from pellucid.tokenizer.tokenizer import Tokenizer

__all__ = ["LocalModel"]

# A tokenizer's last tokens may change with what follows; a stop text is looked for in so many tokens more than it has characters.
_TAIL_TOKENS = 8


@dataclass
class LocalModel:
    """A `Subject`: a decoder on any device. `chat_format` is None for a base model; `autocast` surrounds every forward pass.

    `first_id` stands before a text that has no context, the end of text if None; where it `begins_texts`, it stands before every
    text, as published tools do it with some vocabularies (Llama's).
    The model is put into evaluation mode while it is asked and left as it was found; nothing draws from torch's global generators.
    """

    model: Decoder
    tokenizer: Tokenizer
    chat_format: ChatFormat | None = None
    first_id: int | None = None
    begins_texts: bool = False
    label: str = "model"
    identity: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    usage: Usage = field(default_factory=Usage)

    @property
    def context_tokens(self) -> int:
        """The longest sequence, prompt and new tokens together."""
        return self.model.config.context_tokens

    @property
    def _first(self) -> int:
        return self.tokenizer.eos_id if self.first_id is None else self.first_id

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has."""
        return len(self.tokenizer.encode(text))

    def loglikelihoods(self, pairs: Sequence[Pair], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return how likely each continuation is after its context; see `Subject`. Long pairs are cut as `make_requests` says."""
        encoded = [encode_pair(pair, self.tokenizer.encode, self._first, begins=self.begins_texts) for pair in pairs]
        return self._score([make_requests(*one, self.context_tokens) for one in encoded], on_done)

    def rolling(self, texts: Sequence[str], on_done: OnDone = nothing_done) -> list[Likelihood]:
        """Return how likely each whole text is; see `Subject`. An empty text has no tokens."""
        encoded = [self.tokenizer.encode(text) for text in texts]
        return self._score([encode_rolling(ids, self._first, self.context_tokens) for ids in encoded], on_done)

    def _score(self, asked: Sequence[Sequence[Request]], on_done: OnDone) -> list[Likelihood]:
        """Score requests; those that stand together make one likelihood."""
        flat = [request for together in asked for request in together]
        with self._asking(len(asked)):
            found = iter(score_requests(self.model, flat, self.budget, on_done))
        self.usage.prompt_tokens += sum(len(request.inputs) for request in flat)
        return [_sum(together, [next(found) for _ in together]) for together in asked]

    def complete(
        self, prompts: Sequence[str], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        """Return how the model goes on after each text; see `Subject`. An end of text ends it as well."""
        eos = self.tokenizer.eos_id
        before = [self._first] if self.begins_texts else []
        ids = [[*before, *self.tokenizer.encode(prompt)] or [self._first] for prompt in prompts]
        return self._generate(ids, decoding, seeds, (eos,), on_done)

    def chat(
        self, conversations: Sequence[Sequence[Message]], decoding: Decoding, seeds: Sequence[int], on_done: OnDone = nothing_done
    ) -> list[Answer]:
        """Return the assistant's answer to each conversation; see `Subject`. Raises `UsageError` for a base model."""
        if self.chat_format is None:
            raise CannotDoError(f"{self.label} is a base model: it continues text and has no chat format to answer in")
        ids = [self.chat_format.prompt(messages) for messages in conversations]
        return self._generate(ids, decoding, seeds, self.chat_format.stop_ids, on_done)

    def _generate(
        self,
        prompts: Sequence[list[int]],
        decoding: Decoding,
        seeds: Sequence[int],
        stop_ids: Sequence[int],
        on_done: OnDone,
    ) -> list[Answer]:
        # At least one token of room, and as much as is asked for up to half of the context.
        room = max(1, min(decoding.max_new_tokens, self.context_tokens // 2))
        kept = [ids[-(self.context_tokens - room) :] for ids in prompts]
        completer = Completer(self.model, batch_tokens=max(self.budget.batch_tokens, self.context_tokens))
        with self._asking(len(prompts)):
            done = completer.complete(
                kept,
                max_new_tokens=decoding.max_new_tokens,
                sampling=Sampling(decoding.temperature, decoding.top_k, decoding.top_p),
                seeds=seeds,
                stop_ids=stop_ids,
                has_ended=self._stop_seen(decoding.stop) if decoding.stop else None,
                on_done=on_done,
            )
        self.usage.prompt_tokens += sum(map(len, kept))
        self.usage.new_tokens += sum(len(one.ids) for one in done)
        return [
            self._answer(one, decoding, ids, len(whole) - len(ids)) for one, ids, whole in zip(done, kept, prompts, strict=True)
        ]

    def _stop_seen(self, stop: Sequence[str]) -> Callable[[Sequence[int]], bool]:
        tail = max(map(len, stop)) + _TAIL_TOKENS

        def has_ended(new: Sequence[int]) -> bool:
            text = self.tokenizer.decode_after(new[-tail:])
            return any(end in text for end in stop)

        return has_ended

    def _answer(self, completion: Completion, decoding: Decoding, prompt: Sequence[int], dropped: int) -> Answer:
        text = self.tokenizer.decode_after(completion.ids)
        ends = [at for end in decoding.stop if (at := text.find(end)) >= 0]
        if ends:
            text = text[: min(ends)]
        fills = len(prompt) + len(completion.ids) >= self.context_tokens
        ended = bool(ends) or completion.stopped_by is not None
        reason: Literal["stop", "length", "context"]
        reason = "stop" if ended else "context" if fills and len(completion.ids) < decoding.max_new_tokens else "length"
        return Answer(text, reason, len(prompt), len(completion.ids), dropped)

    @contextmanager
    def _asking(self, requests: int) -> Iterator[None]:
        """Count the requests and the time, with the model in evaluation mode and its numbers as the device computes them."""
        started, was_training = time.monotonic(), self.model.training
        self.model.eval()
        try:
            with torch.no_grad(), self.autocast():
                yield
        finally:
            self.model.train(was_training)
            self.usage.requests += requests
            self.usage.seconds += time.monotonic() - started


def _sum(requests: Sequence[Request], scores: Sequence[Scored]) -> Likelihood:
    """Return what several windows say together."""
    tokens, dropped = sum(len(one.targets) for one in requests), sum(one.dropped for one in requests)
    return Likelihood(sum(one.nats for one in scores), tokens, all(one.greedy for one in scores), dropped)
