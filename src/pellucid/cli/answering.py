"""One answer of a served model, as it grows in a terminal: the server's own pieces of text, until the end or Ctrl-C."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pellucid.core.progress import progress
from pellucid.generate.engine import GenerationRequest
from pellucid.serve.answers import Answers, Order, ShownToken
from pellucid.serve.errors import ApiError
from pellucid.serve.model import ServedModel, token_name

__all__ = ["TOP", "Answer", "Segment", "answer"]

TOP = 5
"""So many of the likeliest tokens are kept for each place, as on the chat page."""
_SIGN_AFTER_S = 1.0

Segment = tuple[str, float | None, list[tuple[str, float]], int]
"""A part of an answer: its text, its natural log-probability, the likeliest tokens at its place, and how many tokens it has."""


@dataclass
class Answer:
    """What came. `end` is None for a model that ended by itself; `error` is set with "broken"."""

    text: str = ""
    tokens: list[ShownToken] = field(default_factory=list)
    end: Literal["length", "context", "stopped", "broken"] | None = None
    seconds: float = 0.0
    error: str | None = None

    @property
    def count(self) -> int:
        """How many tokens have a log-probability: all but what ended the answer."""
        return sum(shown.token.logprob is not None for shown in self.tokens)

    def segments(self, model: ServedModel) -> list[Segment]:
        """Return the text cut by its tokens: texts joined are the whole text. Special tokens have no text and are left out.

        A character that several tokens make is one segment with their joint log-probability and without others at its place.
        """
        shown = [one for one in self.tokens if model.shown_bytes(one.token.id) and one.token.logprob is not None]
        places = [*(one.offset for one in shown), len(self.text)]
        found: list[Segment] = []
        start, logprob, count = 0, 0.0, 0
        for one, end in zip(shown, places[1:], strict=True):
            logprob, count = logprob + (one.token.logprob or 0.0), count + 1
            if text := self.text[start:end]:
                alone = [(token_name(model.own_bytes(id_)), its) for id_, its in one.token.top]
                found.append((text, logprob, alone if count == 1 else [], count))
                start, logprob, count = end, 0.0, 0
        if start < len(self.text):
            found.append((self.text[start:], None, [], 0))
        return found


def answer(model: ServedModel, request: GenerationRequest, stop: tuple[str, ...], show: Callable[[str], None]) -> Answer:
    """Run a request to its end and return what came; `show` is called with the text as it grows, first with "" when it begins.

    Ctrl-C ends it within a step of the engine, and what was shown is what is returned.
    """
    found = Answer()
    began = time.monotonic()
    try:
        # In the main thread, the first Ctrl-C cancels this where it waits, so that no text is shown and then forgotten.
        asyncio.run(_receive(model, Order(request, stop), show, found))
    except KeyboardInterrupt:
        found.end = "stopped"
    except ApiError as error:
        found.end, found.error = "broken", str(error)
    found.seconds = time.monotonic() - began
    return found


async def _receive(model: ServedModel, order: Order, show: Callable[[str], None], found: Answer) -> None:
    waiting = asyncio.create_task(_sign_of_life())
    with Answers(model, [order]) as answers:
        async for _, piece in answers.pieces(None):
            if not waiting.done():
                waiting.cancel()
                await asyncio.wait([waiting])
                show("")
            found.text += piece.text
            found.tokens += piece.tokens
            show(piece.text)
            if piece.finish == "length":
                found.end = "length" if piece.new_tokens >= order.request.max_new_tokens else "context"


async def _sign_of_life() -> None:
    """Show that a long prompt is being read."""
    await asyncio.sleep(_SIGN_AFTER_S)
    with progress("Reading"):
        await asyncio.Event().wait()
