"""`POST /v1/training_matches`: which training documents hold the same words. One look-up at a time, beside the model's work."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from pellucid.core.errors import DataError, PellucidError
from pellucid.serve.errors import ApiError, invalid
from pellucid.serve.exchange import Exchange, gone, json_response, left
from pellucid.serve.fields import TrainingMatchesFields, read_fields
from pellucid.serve.origins import Origins

__all__ = ["MOST_CHARS", "TrainingMatches"]

T = TypeVar("T")
MOST_CHARS = 65_536
"""The longest text that is looked up, in characters; of ids, a quarter as many."""

_PATIENCE_S = 2.0
_LONGEST_S = 60.0


class TrainingMatches:
    """Answers requests from the event loop; the work is done in a thread of its own."""

    def __init__(self, origins: Origins | str, exchange: Exchange) -> None:
        self._origins, self._exchange = origins, exchange
        self._thread = ThreadPoolExecutor(1, "training-matches")
        self._preparing: Future[None] | None = None
        self._is_looking = self._is_closed = False

    @property
    def is_offered(self) -> bool:
        """Whether there is training data to look into."""
        return not isinstance(self._origins, str)

    def close(self) -> None:
        """Give up what is under way."""
        self._is_closed = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def answer(self, request: Request) -> Response:
        """Answer one request.

        Raises `ApiError`: 404 where there is no training data, 503 with Retry-After while its index is being made, 429 while
        another look-up runs, 504 at the deadline, 400 for what cannot be looked up.
        """
        if isinstance(self._origins, str):
            raise ApiError(404, f"no training data can be looked into: {self._origins}", code="no_training_data")
        try:
            body = await self._exchange.body(request)
        except ClientDisconnect:
            return gone()
        fields = await asyncio.to_thread(read_fields, TrainingMatchesFields, body)
        most = MOST_CHARS if isinstance(fields.text, str) else MOST_CHARS // 4
        if len(fields.text) > most:
            raise invalid("text", f"{len(fields.text)} {'characters' if isinstance(fields.text, str) else 'ids'}; at most {most}")
        self._refuse(self._is_closed or self._exchange.admission.draining)
        await self._prepared(self._origins)
        if self._is_looking:
            raise ApiError(429, "another look-up runs; try again in a moment", code="lookup_running", headers={"Retry-After": "1"})
        self._is_looking = True
        try:
            return await self._found(request, self._origins, fields)
        finally:
            self._is_looking = False

    async def _prepared(self, origins: Origins) -> None:
        """Wait a moment for the index; what takes longer goes on by itself."""
        if origins.is_ready:
            return
        if self._preparing is None:
            self._preparing = self._thread.submit(origins.prepare, lambda: not self._is_closed)
        preparing = self._preparing
        waiting = asyncio.wrap_future(preparing)
        waiting.add_done_callback(lambda done: done.cancelled() or done.exception())  # it is looked at below, or by who asks next
        await asyncio.wait((waiting,), timeout=_PATIENCE_S)
        if not preparing.done():
            raise ApiError(
                503,
                f"the index of the training data is being made, once for this run ({100 * origins.share_done:.0f} %)",
                code="index_in_the_making",
                headers={"Retry-After": "2"},
            )
        self._preparing = None
        self._refuse(self._is_closed)
        try:
            preparing.result()
        except (PellucidError, OSError) as error:
            raise ApiError(
                503, f"the training data cannot be looked into now: {error}", code="no_index", headers={"Retry-After": "30"}
            ) from error

    def _refuse(self, stops: bool) -> None:
        if stops:
            raise ApiError(503, "the server stops and takes nothing new", code="stopping", headers={"Retry-After": "30"})

    async def _found(self, request: Request, origins: Origins, fields: TrainingMatchesFields) -> Response:
        """Look up, until the client leaves or the time is up; the thread then ends soon."""
        is_open = [True]
        how = {"min_tokens": fields.min_tokens, "max_runs": fields.max_runs, "max_documents": fields.max_documents}
        call: Callable[[], dict[str, Any]] = partial(
            origins.look_up, fields.text, **how, is_wanted=lambda: is_open[0] and not self._is_closed
        )
        looking = asyncio.wrap_future(self._thread.submit(call))
        leaving = asyncio.ensure_future(left(request))
        try:
            limit_s = min(_LONGEST_S, self._exchange.settings.deadline_s)
            await asyncio.wait((looking, leaving), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
            self._refuse(self._is_closed)
            if looking.done():
                return json_response(looking.result())
            if leaving.done():
                return gone()
            raise ApiError(504, f"the look-up was not finished within {limit_s:g} s", code="deadline_exceeded")
        except DataError as error:
            raise invalid("text", str(error)) from error
        finally:
            is_open[0] = False
            leaving.cancel()
            looking.cancel()
