"""One request answered: its body read within limits, its sequences run, its answer sent whole or as a stream."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from pellucid.serve.admission import Admission
from pellucid.serve.answers import Answers, Piece
from pellucid.serve.errors import ApiError
from pellucid.serve.metrics import Metrics
from pellucid.serve.model import ServedModel
from pellucid.serve.plan import Plan, usage
from pellucid.serve.settings import ServerSettings

__all__ = ["ABORT", "Exchange", "gone", "json_response", "left"]

ABORT = "pellucid.abort"
"""Under this name the state of a request holds what closes its connection at once, unsent bytes and all."""

_DONE = b"data: [DONE]\n\n"
_LAST_WORDS_S = 5.0
"""So much longer than the deadline a stream may take to say that it is over."""


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a value as JSON."""
    return Response(orjson.dumps(value), status, headers, "application/json")


@dataclass(frozen=True)
class Exchange:
    """What answering takes."""

    model: ServedModel
    settings: ServerSettings
    admission: Admission
    metrics: Metrics
    under_way: set[Answers] = field(default_factory=set)

    def give_up(self) -> int:
        """End all answers under way: each is told so, by its status or at the end of its stream. Return how many there were."""
        for answers in self.under_way:
            answers.cancel()
        return len(self.under_way)

    @contextmanager
    def _answers(self, plan: Plan) -> Iterator[Answers]:
        with self.admission.admit(len(plan.orders)), Answers(self.model, plan.orders) as answers:
            self.under_way.add(answers)
            try:
                yield answers
            finally:
                self.under_way.discard(answers)

    async def body(self, request: Request) -> bytes:
        """Return the body. Raises `ApiError`: 413 when it is too long, 408 when it takes too long to come."""
        parts, size = [], 0
        try:
            async with asyncio.timeout(self.settings.body_s):
                async for part in request.stream():
                    size += len(part)
                    if size > self.settings.max_body_bytes:
                        raise ApiError(413, f"the body is longer than {self.settings.max_body_bytes} bytes", code="body_too_long")
                    parts.append(part)
        except TimeoutError as error:
            raise ApiError(408, f"the body took longer than {self.settings.body_s:g} s to arrive", code="body_timeout") from error
        return b"".join(parts)

    async def answer(self, request: Request, planned: Callable[[bytes], Plan]) -> Response:
        """Answer a request that `planned` makes out of its body, in another thread, as long texts take a while to encode."""
        began = asyncio.get_running_loop().time()
        try:
            body = await self.body(request)
        except ClientDisconnect:
            return gone()
        plan = await asyncio.to_thread(planned, body)
        if plan.fields.stream:
            # Its first step is taken here, so that what is refused gets its status.
            stream = self._stream(plan, began)
            await anext(stream)
            return _Events(stream, began + self.settings.deadline_s + _LAST_WORDS_S)
        return await self._whole(request, plan, began)

    async def _whole(self, request: Request, plan: Plan, began: float) -> Response:
        with self._answers(plan) as answers:
            gathering = asyncio.ensure_future(self._gather(answers, plan, began))
            leaving = asyncio.ensure_future(left(request))
            try:
                await asyncio.wait((gathering, leaving), return_when=asyncio.FIRST_COMPLETED)
                return json_response(gathering.result()) if gathering.done() else gone()
            except TimeoutError as error:
                raise self._too_late() from error
            finally:
                gathering.cancel()
                leaving.cancel()
                self.metrics.took("request_seconds", self._since(began))

    async def _gather(self, answers: Answers, plan: Plan, began: float) -> dict[str, Any]:
        found: list[list[Piece]] = [[] for _ in plan.orders]
        is_first = True
        async for number, piece in answers.pieces(began + self.settings.deadline_s):
            if is_first:
                self.metrics.took("first_token_seconds", self._since(began))
                is_first = False
            found[number].append(piece)
        return plan.writer.whole(found, _counts(plan, {number: pieces[-1] for number, pieces in enumerate(found)}))

    async def _stream(self, plan: Plan, began: float) -> AsyncGenerator[bytes]:
        """Yield the parts of a stream; the first, which is empty, once the sequences are in the engine's hands."""
        with self._answers(plan) as answers:
            yield b""
            try:
                for chunk in plan.writer.opening(len(plan.orders)):
                    yield _event(chunk)
                last, is_first = dict[int, Piece](), True
                async for number, piece in answers.pieces(began + self.settings.deadline_s):
                    if is_first:
                        self.metrics.took("first_token_seconds", self._since(began))
                        is_first = False
                    if piece.finish is not None:
                        last[number] = piece
                    yield _event(plan.writer.chunk(number, piece))
                if plan.fields.wants_usage:
                    yield _event(plan.writer.last(_counts(plan, last)))
                yield _DONE
            except TimeoutError:
                yield _event(self._too_late().body)
            except ApiError as error:
                yield _event(error.body)
            finally:
                self.metrics.took("request_seconds", self._since(began))

    def _since(self, began: float) -> float:
        return asyncio.get_running_loop().time() - began

    def _too_late(self) -> ApiError:
        return ApiError(
            504,
            f"the answer was not finished within {self.settings.deadline_s:g} s and was given up; ask for fewer tokens, or stream",
            code="deadline_exceeded",
        )


def gone() -> Response:
    """Return what nobody reads any more: the client has left (nginx' number for it)."""
    return Response(status_code=499)


async def left(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class _Events(StreamingResponse):
    """A stream that is over at a time of the loop's clock, also when its client stays and reads nothing of it."""

    def __init__(self, parts: AsyncGenerator[bytes], until: float) -> None:
        super().__init__(parts, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._parts, self._until = parts, until

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the parts; at the time, close the connection."""
        try:
            async with asyncio.timeout_at(self._until):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            # What was sent waits to be read, and would for ever.
            if abort := scope.get("state", {}).get(ABORT):
                abort()
                await left(Request(scope, receive))
        finally:
            # A client that leaves ends this; the generator must not wait for the garbage collector to give its slot back.
            await self._parts.aclose()


def _event(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _counts(plan: Plan, last: Mapping[int, Piece]) -> dict[str, Any]:
    """Return the counts of tokens; of a prompt with several answers, which counts once, what its first answer took over."""
    reused_tokens = sum(piece.reused_tokens for number, piece in last.items() if number % plan.fields.choices == 0)
    return usage(plan.prompt_tokens, sum(piece.new_tokens for piece in last.values()), reused_tokens)
