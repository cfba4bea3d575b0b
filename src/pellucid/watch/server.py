"""The local page's server: on this machine only, for this machine's own pages only, answering nothing but questions."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from pellucid.core.errors import UsageError
from pellucid.core.excerpt import visible
from pellucid.serve.errors import ApiError
from pellucid.serve.guard import SECURITY_HEADERS, Guard
from pellucid.serve.settings import ServerSettings
from pellucid.watch.feed import Feed
from pellucid.watch.page import page
from pellucid.watch.run import RunWatch

__all__ = ["PageServer"]

_HOST = "127.0.0.1"
_IDLE_S = 30.0
_REASON_CHARS = 300


class PageServer(ThreadingHTTPServer):
    """Serves the page at `/` and its data at `/runs` and `/stage`. Port 0 is any that is free; `address` says which.

    Raises `UsageError` when the port is taken.
    """

    daemon_threads = True

    def __init__(self, runs: Sequence[RunWatch], port: int, every_s: float = 1.0) -> None:
        self.feed = Feed(runs, every_s)
        self.guard = Guard(ServerSettings(host=_HOST, port=port))
        try:
            super().__init__((_HOST, port), _Answer)
        except OSError as error:
            raise UsageError(
                f"--port: got {port}, which cannot be listened on ({error.strerror}); 0 takes any that is free"
            ) from error
        self.address = f"http://{_HOST}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a page that went away while it was answered."""


class _Answer(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version = "pellucid"
    sys_version = ""
    timeout = _IDLE_S

    def do_GET(self) -> None:
        """Answer a page's question."""
        place = urlsplit(self.path)
        try:
            headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in self.headers.items()]
            self.server.guard.check("GET", place.path, headers)
            answer = _ANSWERS.get(place.path)
            if answer is None:
                raise ApiError(404, "there is nothing at this address", code="not_found")
            if place.path == "/":
                content, policy = page()
                self._send(HTTPStatus.OK, content, "text/html; charset=utf-8", policy)
                return
            found = answer(self.server.feed, {name: values[-1] for name, values in parse_qs(place.query).items()})
            self._send(HTTPStatus.OK, orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY))
        except ApiError as error:
            self._send(HTTPStatus(error.status), orjson.dumps(error.body))
        except (UsageError, ValueError) as error:
            self._send(HTTPStatus.BAD_REQUEST, orjson.dumps({"error": {"message": str(error)}}))
        except (ConnectionError, TimeoutError):
            raise  # the page went away: nobody is there to be answered
        except Exception as error:  # a page that gets no answer would only say that it is not connected
            told = f"this run's files cannot be shown: {type(error).__name__}: {visible(str(error))[:_REASON_CHARS]}"
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, orjson.dumps({"error": {"message": told}}))

    def _send(self, status: HTTPStatus, content: bytes, kind: str = "application/json", policy: str = "default-src 'none'") -> None:
        self.send_response(status)
        headers = {**SECURITY_HEADERS, "Content-Security-Policy": policy, "Cache-Control": "no-store"}
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Keep the terminal quiet."""


def _stage(feed: Feed, asked: dict[str, str]) -> dict[str, Any]:
    return feed.stage(
        int(asked.get("run", "0")),
        asked.get("stage"),
        int(asked.get("generation", "-1")),
        int(asked.get("stride", "0")),
        int(asked.get("have", "0")),
    )


_ANSWERS: dict[str, Callable[[Feed, dict[str, str]], dict[str, Any]]] = {
    "/": lambda feed, asked: {},
    "/runs": lambda feed, asked: feed.runs(),
    "/stage": _stage,
}
