"""The application behind a socket: says where it listens, and on a signal finishes what runs, takes nothing new, and leaves."""

import asyncio
import logging
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from pellucid.core.errors import UsageError
from pellucid.serve.exchange import ABORT
from pellucid.serve.settings import ServerSettings

__all__ = ["Server", "config_of", "listen", "serve"]

_KEEP_ALIVE_S = 15
_LONGEST_HEAD_BYTES = 64 * 1024
_LAST_WORDS_S = 5.0
"""So long requests that are given up may take to say so. uvicorn, which would cancel them as they stand, waits as long again."""
_LOOK_S = 0.05
_LOG = logging.getLogger("uvicorn.error")


def serve(app: Starlette, settings: ServerSettings, on_ready: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT; a second one does not wait. `on_ready` gets the address once requests are taken.

    Raises `UsageError` when the address cannot be listened on.
    """
    listening = listen(settings)
    host, port = listening.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    Server(config_of(app, settings), app, lambda: on_ready(address)).run([listening])


def config_of(app: Starlette, settings: ServerSettings) -> uvicorn.Config:
    """Return how uvicorn is to run: quietly, without its own headers, with short heads of requests and short waits."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        loop="asyncio",  # the same whatever else is installed
        # Behind a proxy its headers must not tell where a request comes from: nothing here depends on it.
        proxy_headers=False,
        http=_Connection,
        ws="none",
        h11_max_incomplete_event_size=_LONGEST_HEAD_BYTES,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(settings.drain_s + 2 * _LAST_WORDS_S),
    )


class _Connection(H11Protocol):
    """uvicorn's connection, which requests can close at once by what their state holds as `ABORT`."""

    def __init__(self, config: uvicorn.Config, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, {**app_state, ABORT: self._abort}, _loop)

    def _abort(self) -> None:
        self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn's server, which tells when it is ready, and tells the application when it is to stop."""

    def __init__(self, config: uvicorn.Config, app: Starlette, on_ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._app, self._on_ready = app, on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take requests, then say so."""
        await super().startup(sockets)
        self._on_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at a second signal, at once. The signal itself is not raised again afterwards: the end is a good one."""
        # Connections that are open already may still ask; they are told that it ends.
        self._app.state.admission.draining = True
        self.force_exit = self.should_exit
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests finish, for at most the time that the application says; then give up what still runs."""
        ending = asyncio.ensure_future(self._end())
        try:
            await super().shutdown(sockets)
        finally:
            ending.cancel()
            await self._cut()
        if self.force_exit:
            # uvicorn leaves it out then; the engine's thread is to end all the same.
            await self.lifespan.shutdown()

    async def _end(self) -> None:
        """Wait for a second signal, or the end of the time, and leave no connection open: uvicorn would wait for each."""
        if not await self._is_forced_within(self._app.state.drain_s):
            if given_up := self._app.state.give_up():
                _LOG.warning("%d requests still ran after %g s and were given up", given_up, self._app.state.drain_s)
            await self._is_forced_within(_LAST_WORDS_S)
        await self._cut()

    async def _is_forced_within(self, seconds: float) -> bool:
        until = asyncio.get_running_loop().time() + seconds
        while not self.force_exit and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_LOOK_S)
        return self.force_exit

    async def _cut(self) -> None:
        """Close the connections that are left at once. Their requests see that nobody is there, and end."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        until = asyncio.get_running_loop().time() + _LAST_WORDS_S
        while self.server_state.tasks and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(_LOOK_S)


def listen(settings: ServerSettings) -> socket.socket:
    """Return the socket that is listened on. Raises `UsageError` when it cannot be."""
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}; try --port 0"
        ) from error
    return listening
