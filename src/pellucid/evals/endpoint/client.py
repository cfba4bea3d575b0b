"""HTTP to an endpoint that may be busy, slow or broken: asks again after a while, and says in the end what it met.

The key comes out of an environment variable and leaves this file only as a header: it is cut out of every body that comes back.
"""

import email.utils
import ipaddress
import os
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pellucid.core.errors import EndpointError, MissingExtraError, UsageError
from pellucid.recipe.suites import EndpointConfig

__all__ = ["Client", "Refusal", "Reply"]

T = TypeVar("T")
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529}
_LONGEST_WAIT_S = 60.0
_LONGEST_ASKED_WAIT_S = 600.0
_EXCERPT = 300
# How llama.cpp, vLLM, OpenAI and others say that prompt and answer together are too long.
_TOO_LONG = re.compile(r"context.?(size|length|window)|maximum model length|prompt is too long", re.IGNORECASE)
_SHORTEST_SECRET = 8  # a placeholder such as "none" is no secret, and a word that answers may hold


@dataclass(frozen=True, slots=True)
class Reply:
    """A body, read as JSON, and the name and version that the server gives itself (its header Server)."""

    body: Any
    server: str | None
    retries: int


class Refusal(UsageError):  # noqa: N818 it is an answer as much as an error: the caller may know what to do about it
    """The server does not take this request and would not take it again: `status` and what it says."""

    def __init__(self, message: str, status: int, body: str) -> None:
        super().__init__(message)
        self.status, self.body = status, body

    @property
    def is_too_long(self) -> bool:
        """Tell whether it is refused because the prompt, or prompt and answer together, do not fit into the context."""
        return self.status in (400, 413, 422) and _TOO_LONG.search(self.body) is not None


class Client:
    """Asks one server. Safe to use from several threads.

    Raises `MissingExtraError` without httpx, `UsageError` when the URL is none, carries a password, or the key's variable is unset.
    """

    def __init__(self, config: EndpointConfig) -> None:
        try:
            import httpx
        except ImportError as error:
            raise MissingExtraError("httpx", "eval", "asking an endpoint") from error
        self.base, host = _base_url(config.url)
        self.root = self.base.removesuffix("/v1")
        self._key_variable = config.key_variable
        self._key = _key(config.key_variable)
        self._attempts, self._first_wait_s = config.attempts, config.first_wait_s
        self._failures = (httpx.TransportError, httpx.DecodingError)
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx.Timeout(config.timeout_s, connect=config.connect_s),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=config.parallel),
            # A proxy in the environment must not get between this machine and itself.
            trust_env=not _is_this_machine(host),
        )

    def get(self, url: str, read: Callable[[Any], T] | None = None) -> Reply:
        """Return what lies at a URL. As `post`."""
        return self._ask("GET", url, None, read, None)

    def post(
        self,
        url: str,
        body: Mapping[str, Any],
        read: Callable[[Any], T] | None = None,
        stop: threading.Event | None = None,
    ) -> Reply:
        """Return the answer to `body`, read by `read`, which raises LookupError, TypeError or ValueError for what it cannot read.

        Asks again after dropped connections, timeouts, answers that cannot be read, and statuses that pass (429, 500, 503…): after
        a wait that doubles, or the one that the server asks for. Raises `Refusal` for other statuses, `EndpointError` in the end.
        """
        return self._ask("POST", url, body, read, stop)

    def _ask(
        self, method: str, url: str, body: Mapping[str, Any] | None, read: Callable[[Any], T] | None, stop: threading.Event | None
    ) -> Reply:
        met, wait_s = "nothing", 0.0
        for attempt in range(1, self._attempts + 1):
            wait_s = self._first_wait_s * 2 ** (attempt - 1)
            wait_s = min(wait_s, _LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # jitter: many clients must not come back together
            try:
                response = self._http.request(method, url, json=body)
            except self._failures as error:
                met = self._hidden(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
            else:
                text = self._hidden(response.text)
                status = response.status_code
                if status == 200:
                    try:
                        value = _json(text)
                        return Reply(value if read is None else read(value), response.headers.get("server"), attempt - 1)
                    except (LookupError, TypeError, ValueError) as error:
                        met = f"status 200 with a body that is no answer ({type(error).__name__}: {error}): {_excerpt(text)}"
                else:
                    met = f"status {status}: {_excerpt(text)}"
                    if status not in _TRY_AGAIN:
                        raise Refusal(self._refused(url, status, met), status, text)
                    asked_s = _retry_after_s(response.headers.get("retry-after"))
                    if asked_s > _LONGEST_ASKED_WAIT_S:
                        met += f"; it asks to wait {asked_s:.0f} s, which is longer than {_LONGEST_ASKED_WAIT_S:.0f} s"
                        raise EndpointError(self._gave_up(url, attempt, met))
                    wait_s = max(wait_s, asked_s)
            if attempt < self._attempts and (stop or threading.Event()).wait(wait_s):
                break
        raise EndpointError(self._gave_up(url, attempt, met))

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key and len(self._key) >= _SHORTEST_SECRET else text

    def _gave_up(self, url: str, attempts: int, met: str) -> str:
        return (
            f"{url}: no answer after {attempts} attempt{'s' if attempts > 1 else ''}; the last met: {met}. "
            "What was answered before is kept: run the same command again to ask only for the rest"
        )

    def _refused(self, url: str, status: int, met: str) -> str:
        fix = ""
        if status in (401, 403):
            given = (
                f"the key in ${self._key_variable}" if self._key_variable else "no key; give the name of the variable that holds it"
            )
            fix = f" (sent with {given})"
        elif status in (404, 405):
            fix = " (is this the address of an OpenAI-compatible server, up to and with /v1, and the name of a model that it has?)"
        return f"{url} refuses: {met}{fix}"


def _json(text: str) -> Any:
    import orjson

    return orjson.loads(text)


def _excerpt(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= _EXCERPT else text[:_EXCERPT] + "…")


def _base_url(url: str) -> tuple[str, str]:
    """Return the address up to `/v1` (or whatever stands there), and the host."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"endpoint {url!r} is no URL of a server; for example http://127.0.0.1:8080 or https://api.example.com/v1")
    if parts.username or parts.password or parts.query:
        raise UsageError(
            f"the endpoint's URL at {parts.hostname} holds a user, a password or a query, which would end up in results: "
            "put the key into an environment variable and give that variable's name"
        )
    path = parts.path.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}", parts.hostname


def _key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:  # what is not set may be the key itself, so it is not shown
        raise UsageError(
            "the environment variable that the endpoint's key_variable names is not set or empty: give the name of the one that "
            "holds the key, never the key itself"
        )
    if not key.isascii() or not key.isprintable():
        raise UsageError(f"environment variable {variable} holds characters that no key has (line breaks or letters beyond ASCII)")
    return key


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _retry_after_s(header: str | None) -> float:
    """Return the seconds that a server asks to wait: a number, or a date. 0 for none and for what is neither."""
    if header is None:
        return 0.0
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 0.0
