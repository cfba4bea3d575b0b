"""An `Engine` over a decoder in this process: requests come and go from one forward pass to the next.

One thread owns the model. Before each pass it takes out what was cancelled and lets in what waits; a pass reads one token of every
answer under way and a piece of the prompts (`slots`).
"""

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pellucid.core.errors import EngineClosedError, PellucidError, UsageError
from pellucid.generate.decoding import check_prompt
from pellucid.generate.engine import EngineStats, Event, Finished, GenerationRequest, OnEvent, PromptScored, Reason, Token
from pellucid.generate.logprobs import scored, scored_prompt
from pellucid.generate.proposer import Proposer
from pellucid.generate.sampling import NO_NUMBERS
from pellucid.generate.slots import Slots, Stream, draw
from pellucid.model.decoder import Decoder

__all__ = ["TorchEngine"]

_FASTER_READING = 4
"""While no answer is under way, prompts are read in pieces so many times as long."""
_COUNTED = (
    "finished", "prompt_tokens", "reused_tokens", "new_tokens", "cancelled", "failed", "proposed_tokens", "accepted_tokens"
)  # fmt: skip


@dataclass(eq=False)
class _Job:
    """A request under way, and the `Handle` that is given for it."""

    request: GenerationRequest
    on_event: OnEvent
    wake: threading.Condition
    stream: Stream
    scored: list[Token] = field(default_factory=list)
    cancelled: Reason | None = None

    def cancel(self, *, enough: bool = False) -> None:
        with self.wake:
            self.cancelled = self.cancelled or ("enough" if enough else "cancelled")
            self.wake.notify()


class TorchEngine:
    """Answers with `model`, `slots` requests at once, each of at most `context_tokens`, the model's own context by default.

    `prompt_tokens` is how much of prompts is read in one pass while answers are under way: more reads prompts sooner, less lets the
    answers stall less. With a `proposer`, an answer that is alone goes on by several tokens at a time where its small model guesses
    them; it stays the same answer. `identity` is added to what the engine says of itself. The model is put into evaluation mode.
    """

    def __init__(
        self,
        model: Decoder,
        *,
        slots: int = 8,
        context_tokens: int | None = None,
        prompt_tokens: int = 128,
        proposer: Proposer | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        if slots < 1 or prompt_tokens < 1:
            raise UsageError(f"slots is {slots} and prompt_tokens {prompt_tokens}; both must be at least 1")
        if proposer is not None and proposer.vocab_tokens != model.config.vocab_tokens:
            raise UsageError(
                f"the small model's vocab_tokens is {proposer.vocab_tokens}, the large one's {model.config.vocab_tokens}: "
                "both must have the same vocabulary"
            )
        self._proposer = proposer
        self._model = model.eval()
        self._prompt_tokens, self._count = prompt_tokens, slots
        self.context_tokens = min(context_tokens or model.config.context_tokens, model.config.context_tokens)
        self.vocab_tokens = model.config.vocab_tokens
        weight = model.head_weight
        self.identity = {
            "engine": "torch",
            "version": torch.__version__,
            "device": str(weight.device),
            "dtype": str(weight.dtype).removeprefix("torch."),
            "context_tokens": self.context_tokens,
            "slots": slots,
            **(identity or {}),
        }
        self._wake = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._running: dict[Stream, _Job] = {}
        self.closed = False
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._thread = threading.Thread(
            target=self._work, args=(Slots(model, slots, context_tokens),), name="pellucid-engine", daemon=True
        )
        self._thread.start()

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> _Job:
        """See `Engine`."""
        room = min(request.max_new_tokens, self.context_tokens - len(request.ids))
        stream = Stream(request.ids, room, request.sampling, request.seed, request.stop_ids, whole=request.prompt_logprobs)
        job = _Job(request, on_event, self._wake, stream)
        with self._wake:
            if self.closed:
                raise EngineClosedError("the engine is closed; make another one")
            self._check(request)
            self._waiting.append(job)
            self._wake.notify()
        return job

    def _check(self, request: GenerationRequest) -> None:
        check_prompt(self._model, request.ids)
        if len(request.ids) > self.context_tokens:
            raise UsageError(
                f"the prompt has {len(request.ids)} tokens; the engine's context_tokens is {self.context_tokens}: shorten it"
            )
        if (id_ := request.sampling.highest_bias_id) >= self.vocab_tokens:
            raise UsageError(f"logit_bias has the id {id_}; the model's vocabulary is 0 to {self.vocab_tokens - 1}")

    def stats(self) -> EngineStats:
        """See `Engine`."""
        with self._wake:
            return EngineStats(slots=self._count, running=len(self._running), waiting=len(self._waiting), **self._counts)

    def close(self) -> None:
        """See `Engine`. Returns when the pass under way is over and every request has had its last event."""
        with self._wake:
            self.closed = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @torch.no_grad()
    def _work(self, slots: Slots) -> None:
        try:
            while self._admit(slots):
                try:
                    self._step(slots)
                except Exception as error:
                    # Whatever it was (no memory, say), the requests of this pass are lost and the next ones are not.
                    self._fail(list(self._running.values()), error, slots)
        except BaseException as error:
            # A device that has failed for good: nobody is left to wait for ever.
            with self._wake:
                self.closed = True
                left = [*self._running.values(), *self._waiting]
            self._fail(left, error)
            raise
        finally:
            del self._model

    def _fail(self, jobs: list[_Job], error: BaseException, slots: Slots | None = None) -> None:
        for job in jobs:
            self._end(slots, job, "failed", f"{type(error).__name__}: {error}")

    def _admit(self, slots: Slots) -> bool:
        """Wait for work; take out what was cancelled, and let in what waits. False: the engine is closed."""
        with self._wake:
            while not (self.closed or self._waiting or self._running):
                self._wake.wait()
            closed = self.closed
            jobs = [*self._running.values(), *self._waiting]
            gone = [job for job in jobs if job.cancelled or closed]
            self._waiting = deque(job for job in self._waiting if job not in gone)
        for job in gone:
            self._end(slots, job, job.cancelled or "cancelled")
        while self._waiting:
            job = self._waiting[0]
            nothing_to_do = job.stream.full and not job.request.prompt_logprobs
            if not nothing_to_do and not slots.admit(job.stream):
                break
            with self._wake:
                self._waiting.popleft()
                if not nothing_to_do:
                    self._running[job.stream] = job
            if nothing_to_do:
                self._end(slots, job, _why(job))
        return not closed

    def _step(self, slots: Slots) -> None:
        if not self._running:
            return
        if self._proposer is not None and len(self._running) == 1 and slots.writing:
            (job,) = self._running.values()
            self._step_by_proposals(slots, job, self._proposer)
            return
        step = slots.step(self._prompt_tokens * (1 if slots.writing else _FASTER_READING))
        for read in step.read:
            job = self._running[read.stream]
            if job.request.prompt_logprobs and read.start < len(job.request.ids):
                following = job.request.ids[read.start + 1 : read.start + 1 + len(read.x_TD)]
                job.scored += scored_prompt(slots.model, following, read.x_TD, job.request.top_logprobs or 0)
        ready = [self._running[stream] for stream in step.ready]
        sound = torch.isfinite(step.logits_RV.amax(dim=1)).tolist() if ready else []
        writing = []
        for row, job in enumerate(ready):
            if not sound[row]:
                self._end(slots, job, "failed", NO_NUMBERS)
                continue
            if job.request.prompt_logprobs and len(job.stream.ids) == len(job.request.ids):
                self._send(job, PromptScored((Token(job.request.ids[0]), *job.scored)))
            if job.stream.full:
                self._end(slots, job, _why(job))
            else:
                writing.append(row)
        if writing:
            rows_N = torch.tensor(writing, device=step.logits_RV.device)
            self._write(slots, [ready[row] for row in writing], step.logits_RV[rows_N])

    def _step_by_proposals(self, slots: Slots, job: _Job, proposer: Proposer) -> None:
        """Let the only request take its next token, and those after it as long as they are the proposed ones."""
        proposed = proposer.propose(job.stream)
        logits_NV = slots.try_out(job.stream, proposed)
        accepted = 0
        for row in range(len(logits_NV)):
            id_ = self._write_one(slots, job, logits_NV[row])
            if row == len(proposed) or id_ != proposed[row]:
                break
            accepted += 1
            if job.stream not in self._running or job.cancelled:
                break
        with self._wake:
            self._counts["proposed_tokens"] += len(proposed)
            self._counts["accepted_tokens"] += accepted
        if job.stream in self._running:
            slots.settle(job.stream)

    def _write(self, slots: Slots, jobs: list[_Job], logits_RV: Tensor) -> None:
        """Choose the next token of each request and send it."""
        for row, job in enumerate(jobs):
            self._write_one(slots, job, logits_RV[row])

    def _write_one(self, slots: Slots, job: _Job, logits_V: Tensor) -> int | None:
        """Choose the next token of a request and send it; None: it has failed."""
        try:
            (id_,) = draw([job.stream], logits_V[None])
        except PellucidError as error:
            self._end(slots, job, "failed", str(error))
            return None
        last = job.stream.take(id_)
        if job.stream.stopped_by is None:
            with self._wake:
                self._counts["new_tokens"] += 1
            top = job.request.top_logprobs
            self._send(job, Token(id_) if top is None else scored(logits_V, id_, top))
        if last:
            self._end(slots, job, _why(job))
        return id_

    def _end(self, slots: Slots | None, job: _Job, reason: Reason, error: str | None = None) -> None:
        if slots is not None and job.stream in self._running:
            slots.release(job.stream, spoilt=reason == "failed")
        prompt, new = len(job.request.ids), len(job.stream.ids) - len(job.request.ids)
        with self._wake:
            self._running.pop(job.stream, None)
            for name in ("finished", reason):
                if name in self._counts:
                    self._counts[name] += 1
            self._counts["prompt_tokens"] += min(prompt, job.stream.read)
            self._counts["reused_tokens"] += job.stream.reused
        self._send(job, Finished(reason, prompt, new, job.stream.reused, job.stream.stopped_by, error))

    def _send(self, job: _Job, event: Event) -> None:
        try:
            job.on_event(event)
        except Exception:
            # Nobody listens any more; the others' answers go on.
            job.cancel()


def _why(job: _Job) -> Reason:
    """Return why a request that is done has ended."""
    if job.stream.stopped_by is not None:
        return "stop_id"
    return "max_new_tokens" if len(job.stream.new) >= job.request.max_new_tokens else "context"
