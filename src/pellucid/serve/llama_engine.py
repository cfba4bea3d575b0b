"""llama.cpp as an `Engine`: its server in this process runs the slots; every request has a thread that reads its stream."""

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.core.errors import EndpointError, EngineClosedError, UsageError
from pellucid.generate.engine import EngineStats, Event, Finished, GenerationRequest, OnEvent, PromptScored, Reason, Token
from pellucid.serve.llama_asking import Vocabulary, finite, read_probability, sampler
from pellucid.serve.llama_http import LlamaServer, LlamaStream, llama_device

__all__ = ["LlamaEngine", "LlamaShape"]

_FORCED = 1e6
_FIRST_PROBABILITIES = 64


@dataclass(eq=False)
class _Job:
    """A request under way. It is its own handle."""

    request: GenerationRequest
    on_event: OnEvent
    lock: threading.Lock = field(default_factory=threading.Lock)
    cancelled: Reason | None = None
    stream: LlamaStream | None = None
    new: list[int] = field(default_factory=list)
    read_tokens: int = 0
    reused_tokens: int = 0

    def cancel(self, *, enough: bool = False) -> None:
        """Close the connection to llama.cpp, which then frees the slot."""
        with self.lock:
            self.cancelled = self.cancelled or ("enough" if enough else "cancelled")
            if self.stream is not None:
                self.stream.cut()


@dataclass(frozen=True)
class LlamaShape:
    """How llama.cpp runs: see `LlamaServer`."""

    context_tokens: int
    slots: int = 4
    threads: int = 1
    exact: bool = False


class LlamaEngine:
    """An `Engine` over one GGUF file. `own_bytes` are the bytes of each token of its vocabulary.

    A prompt's own log-probabilities cost a step a token, as llama.cpp tells one token's at a time. Penalties count the prompt's
    tokens, as llama.cpp does it. Raises as `LlamaServer`.
    """

    def __init__(self, path: Path, own_bytes: Sequence[bytes], shape: LlamaShape, digest: str = "") -> None:
        context_tokens, slots, threads = shape.context_tokens, shape.slots, shape.threads
        self._server = LlamaServer(path, context_tokens=context_tokens, slots=slots, threads=threads, exact=shape.exact)
        self._vocabulary, self.vocab_tokens, self.context_tokens = Vocabulary(own_bytes), len(own_bytes), context_tokens
        self._harmless = next(id_ for id_, own in enumerate(own_bytes) if own == b"a")
        self.identity = {
            "engine": "llama.cpp",
            "version": f"xllamacpp {self._server.version}",
            "model": path.name,
            "digest": digest,
            "device": llama_device(),
            "threads": threads,
            "context_tokens": context_tokens,
            "slots": slots,
            "keys_and_values": "float32" if shape.exact else "float16",
        }
        self._lock = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._counts = dict.fromkeys(("finished", "prompt_tokens", "reused_tokens", "new_tokens", "cancelled", "failed"), 0)
        self.closed = False
        self._threads = [threading.Thread(target=self._work, name=f"llama.cpp {n}", daemon=True) for n in range(slots)]
        for thread in self._threads:
            thread.start()

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> _Job:
        """As `Engine` says."""
        if not 0 < len(request.ids) <= self.context_tokens:
            raise UsageError(f"the prompt has {len(request.ids)} tokens; it must have 1 to {self.context_tokens}")
        if wrong := [id_ for id_ in request.ids if not 0 <= id_ < self.vocab_tokens]:
            raise UsageError(f"token id {wrong[0]} is outside of the vocabulary; ids are 0 to {self.vocab_tokens - 1}")
        job = _Job(request, on_event)
        with self._lock:
            if self.closed:
                raise EngineClosedError("the engine is closed; make another one")
            self._waiting.append(job)
            self._lock.notify()
        return job

    def stats(self) -> EngineStats:
        """As `Engine` says."""
        with self._lock:
            return EngineStats(slots=len(self._threads), running=len(self._running), waiting=len(self._waiting), **self._counts)

    def close(self) -> None:
        """As `Engine` says."""
        with self._lock:
            first, self.closed = not self.closed, True
            for job in (*self._waiting, *self._running):
                job.cancel()
            self._lock.notify_all()
        if first:
            for thread in self._threads:
                thread.join()
            self._server.close()

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._waiting:
                    if self.closed:
                        return
                    self._lock.wait()
                job = self._waiting.popleft()
                self._running.add(job)
            finished = self._run(job)
            with self._lock:
                self._running.discard(job)
                self._counts["finished"] += 1
                self._counts["prompt_tokens"] += job.read_tokens
                self._counts["reused_tokens"] += finished.reused_tokens
                self._counts["new_tokens"] += finished.new_tokens
                if finished.reason in ("cancelled", "failed"):
                    self._counts[finished.reason] += 1
            job.on_event(finished)

    def _run(self, job: _Job) -> Finished:
        prompt_tokens = len(job.request.ids)
        try:
            for event in self._events(job):
                if isinstance(event, Finished):
                    return event
                job.on_event(event)
            raise EndpointError("llama.cpp gave no token")
        except Exception as error:
            # Whatever it is, the request's owner must hear of its end, and the thread must take the next one.
            if job.cancelled:
                return Finished(job.cancelled, prompt_tokens, len(job.new), job.reused_tokens)
            return Finished("failed", prompt_tokens, len(job.new), job.reused_tokens, error=f"{type(error).__name__}: {error}")

    def _events(self, job: _Job) -> Iterator[Event]:
        request = job.request
        prompt_tokens = len(request.ids)
        if request.prompt_logprobs:
            scored = self._score_prompt(job)
            job.read_tokens = prompt_tokens
            yield PromptScored(scored)
        room = min(request.max_new_tokens, self.context_tokens - prompt_tokens)
        while len(job.new) < room:
            for token in self._drawn(job, room - len(job.new)):
                if token.id in request.stop_ids:
                    yield Finished("stop_id", prompt_tokens, len(job.new), job.reused_tokens, token.id)
                    return
                job.new.append(token.id)
                yield token
            # llama.cpp ends where its file says that texts end; a request that does not stop there goes on.
        yield Finished(
            "max_new_tokens" if room == request.max_new_tokens else "context", prompt_tokens, len(job.new), job.reused_tokens
        )

    def _drawn(self, job: _Job, room: int) -> Iterator[Token]:
        """Yield up to `room` more tokens, fewer where llama.cpp sees the end of a text."""
        request, before = job.request, len(job.new)
        ids = [*request.ids, *job.new]
        body = {"prompt": ids, "n_predict": room, "n_probs": max(1, request.top_logprobs or 0)}
        # Of a prompt that was scored all is in the cache, and this request has put it there.
        is_first = before == 0 and not request.prompt_logprobs
        body["return_progress"] = is_first
        told = total = 0
        with self._open(job, body | sampler(request.sampling, request.seed + before, self.context_tokens)) as stream:
            for part in stream:
                total = int(part["tokens_predicted"])
                if progress := part.get("prompt_progress"):
                    job.read_tokens, job.reused_tokens = int(progress["processed"]), int(progress["cache"])
                if progress or part["stop"]:
                    continue
                token = read_probability(part, request)
                whole = bytes(part["completion_probabilities"][0]["bytes"])
                for id_ in self._vocabulary.fill(whole, token.id, total - told - 1) if total - told > 1 else ():
                    yield self._scored(job, ids, id_)
                    ids.append(id_)
                yield token
                ids.append(token.id)
                told = total
        self._close(job)
        if told < total:
            # It ended inside a character, whose tokens are not told: they are drawn again.
            body = {"prompt": ids, "n_predict": total - told} | sampler(
                request.sampling, request.seed + len(ids), self.context_tokens
            )
            for id_ in self._complete(job, body)["tokens"]:
                yield self._scored(job, ids, int(id_))
                ids.append(int(id_))

    def _score_prompt(self, job: _Job) -> tuple[Token, ...]:
        ids, request = job.request.ids, job.request
        top = request.top_logprobs or 0
        return (Token(ids[0]), *(self._probability(job, ids[:at], ids[at], top) for at in range(1, len(ids))))

    def _scored(self, job: _Job, before: Sequence[int], id_: int) -> Token:
        top = job.request.top_logprobs
        return Token(id_) if top is None else self._probability(job, before, id_, top)

    def _probability(self, job: _Job, before: Sequence[int], id_: int, top: int) -> Token:
        """Return the log-probability of `id_` after `before`, whatever would have been drawn.

        The sampler is forced; that does not act on the probabilities, which come before it. They are told beside a text only, so
        for a token that is a part of a character another is forced, and the likeliest are read until it is among them.
        """
        forced, wanted = id_, max(1, top)
        while True:
            body = {"prompt": list(before), "n_predict": 1, "temperature": 0, "n_probs": wanted, "logit_bias": [[forced, _FORCED]]}
            shown = (self._complete(job, body).get("completion_probabilities") or [{}])[0]
            likeliest = [(int(one["id"]), one["logprob"]) for one in shown.get("top_logprobs", ())]
            if shown.get("id") == id_:
                return Token(id_, finite(id_, shown["logprob"]), tuple(likeliest[:top]))
            for other, logprob in likeliest:
                if other == id_:
                    return Token(id_, finite(id_, logprob), tuple(likeliest[:top]))
            if forced != id_ and wanted == self.vocab_tokens:
                raise EndpointError(f"llama.cpp tells no probability of token {id_}")
            wanted = self.vocab_tokens if wanted >= _FIRST_PROBABILITIES and forced != id_ else max(wanted, _FIRST_PROBABILITIES)
            wanted, forced = min(wanted, self.vocab_tokens), self._harmless

    def _complete(self, job: _Job, body: Mapping[str, Any]) -> dict[str, Any]:
        with self._open(job, body, stream=False) as stream:
            answer = stream.whole()
        self._close(job)
        return answer

    def _open(self, job: _Job, body: Mapping[str, Any], *, stream: bool = True) -> LlamaStream:
        opened = self._server.stream(body) if stream else self._server.request(body)
        with job.lock:
            job.stream = opened
            if job.cancelled:
                opened.cut()
        return opened

    @staticmethod
    def _close(job: _Job) -> None:
        with job.lock:
            job.stream = None
