"""The sequences of one request, run together: an engine's tokens → pieces of text with what is known of their tokens."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pellucid.core.errors import EngineClosedError, UsageError
from pellucid.generate.engine import Event, Finished, GenerationRequest, Handle, PromptScored, Token
from pellucid.serve.errors import ApiError, invalid
from pellucid.serve.model import ServedModel
from pellucid.serve.text import TextStream

__all__ = ["Answers", "Order", "Piece", "ShownToken"]


class ShownToken(NamedTuple):
    """A token, and where its text begins in the answer, in characters."""

    token: Token
    offset: int


class Piece(NamedTuple):
    """More text of an answer. With the last one, which may be empty, `finish` is "stop" or "length", and the counts are set."""

    text: str
    tokens: tuple[ShownToken, ...]
    finish: str | None = None
    new_tokens: int = 0
    reused_tokens: int = 0


@dataclass(frozen=True)
class Order:
    """A sequence to be continued. `echo` gives the prompt back first; `only_echo` then stops."""

    request: GenerationRequest
    stop: tuple[str, ...] = ()
    echo: bool = False
    only_echo: bool = False


class Answers:
    """All sequences of one request, submitted at once. To be used as a context, which cancels what still runs at its end.

    Raises `ApiError` for what the engine refuses.
    """

    def __init__(self, model: ServedModel, orders: Sequence[Order]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._answers = [_Answer(model, order) for order in orders]
        self._handles: list[Handle] = []
        try:
            for number, order in enumerate(orders):
                self._handles.append(model.engine.submit(order.request, self._listener(number)))
        except EngineClosedError as error:
            self.cancel()
            raise ApiError(
                503, "the model has failed and answers nothing until the server is started anew", code="engine_failed"
            ) from error
        except UsageError as error:
            self.cancel()
            raise invalid("prompt", str(error)) from error

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Give back the slots of all that still runs."""
        for handle in self._handles:
            handle.cancel()

    async def pieces(self, until: float | None) -> AsyncIterator[tuple[int, Piece]]:
        """Yield the pieces of all answers as they come, with the answer's number.

        Raises `ApiError` when one fails, `TimeoutError` when the loop's clock has reached `until` and something is still to come;
        None waits for as long as it takes.
        """
        open_ = len(self._answers)
        while open_:
            # Of events that are there already nothing would be waited for, and the clock never looked at.
            if until is not None and self._loop.time() >= until:
                raise TimeoutError
            async with asyncio.timeout_at(until):
                number, event = await self._queue.get()
            answer = self._answers[number]
            piece = answer.take(event)
            if answer.ending is not None and not isinstance(event, Finished):
                self._handles[number].cancel(enough=True)
            if piece is None:
                continue
            if piece.finish is not None:
                open_ -= 1
            yield number, piece

    def _listener(self, number: int) -> "_Listener":
        return _Listener(self._loop, self._queue, number)


@dataclass(frozen=True)
class _Listener:
    """Takes events in the engine's thread to the loop."""

    loop: asyncio.AbstractEventLoop
    queue: "asyncio.Queue[tuple[int, Event]]"
    number: int

    def __call__(self, event: Event) -> None:
        try:
            self.loop.call_soon_threadsafe(self.queue.put_nowait, (self.number, event))
        except RuntimeError:
            # The loop is closed: nobody waits for the answer any more.
            return


@dataclass
class _Answer:
    """An answer that grows. `ending` is how it ends once all its text is there; the engine then still tells its counts."""

    model: ServedModel
    order: Order
    ending: str | None = None
    new_tokens: int = 0
    waiting: list[ShownToken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._text = TextStream()
        self._echoed = 0

    def take(self, event: Event) -> Piece | None:
        """Return what an event adds; None for nothing yet. Raises `ApiError` for an answer that was not finished."""
        if self.ending is not None:
            return self._released("", self.ending, event.reused_tokens) if isinstance(event, Finished) else None
        if isinstance(event, Finished) and event.reason == "failed":
            raise ApiError(500, f"the model failed: {event.error}", code="engine_failed")
        if isinstance(event, Finished) and event.reason == "cancelled":
            raise ApiError(503, "the request was given up, as the server stops", code="stopping")
        if isinstance(event, PromptScored):
            return self._echo(event.tokens)
        if self.order.echo and not self._echoed:
            piece = self._echo(tuple(map(Token, self.order.request.ids)))
            return _joined(piece, self.take(event))
        if isinstance(event, Token):
            return self._grow(event)
        return self._end(event)

    def _echo(self, tokens: tuple[Token, ...]) -> Piece:
        """Give the prompt back. Stop texts in it end nothing; a character that is cut in two at its end is finished after it."""
        text = "".join(self._read(token) for token in tokens)
        self._echoed = 1
        shown, self.waiting = tuple(self.waiting), []
        self._text.watch(self.order.stop)
        if self.order.only_echo:
            self.ending = "length"
            return Piece(text + self._text.end(), shown)
        return Piece(text, shown)

    def _read(self, token: Token) -> str:
        self.waiting.append(ShownToken(token, self._text.decoded))
        return self._text.add(self.model.shown_bytes(token.id))

    def _grow(self, token: Token) -> Piece | None:
        if not self._echoed:
            self._echoed = 1
            self._text.watch(self.order.stop)
        self.new_tokens += 1
        text = self._read(token)
        if self._text.stopped:
            self.ending = "stop"
        return self._released(text) if text else None

    def _end(self, event: Finished) -> Piece:
        if event.reason == "stop_id" and event.stopped_by is not None:
            # It was drawn, so it counts, and clients that read log-probabilities expect a place for it.
            self.new_tokens += 1
            self._read(Token(event.stopped_by))
        text = self._text.end()
        return self._released(text, "stop" if event.reason == "stop_id" or self._text.stopped else "length", event.reused_tokens)

    def _released(self, text: str, finish: str | None = None, reused_tokens: int = 0) -> Piece:
        """Return a piece with the tokens whose text has begun; at the end with all but those behind a stop text."""
        limit = self._text.released
        everything = finish is not None and not self._text.stopped
        going = [shown for shown in self.waiting if everything or shown.offset < limit]
        self.waiting = [] if finish else [shown for shown in self.waiting if shown.offset >= limit]
        return Piece(text, tuple(going), finish, self.new_tokens if finish else 0, reused_tokens)


def _joined(first: Piece, second: Piece | None) -> Piece:
    if second is None:
        return first
    return second._replace(text=first.text + second.text, tokens=first.tokens + second.tokens)
