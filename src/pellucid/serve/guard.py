"""What a request must pass before anything reads it: where it comes from, whether it may ask, how its body is sent.

A page of another site must not be able to use a server on its reader's machine. Such a page can send a simple request anywhere, and
can point a name of its own at 127.0.0.1 (DNS rebinding). So the Host header must be an address or a known name; a body must be
declared as JSON, which browsers send across sites only after asking; and no answer allows another origin anything.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence

from pellucid.serve.errors import ApiError
from pellucid.serve.settings import ServerSettings

__all__ = ["SECURITY_HEADERS", "Guard"]

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # The chat page loads what the server itself has, and nothing that stands in a text: no inline script, no inline style.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_OPEN_PATHS = ("/health",)
_KEPT_PATHS = ("/v1/", "/metrics", "/openapi.json")


class Guard:
    """Decides by method, path and headers."""

    def __init__(self, settings: ServerSettings) -> None:
        self._key = None if settings.key is None else _digest(settings.key.encode())
        self._names = {"localhost", *(name.lower().rstrip(".") for name in settings.allowed_hosts)}

    def check(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Raise `ApiError` for a request that is not let in. Header names are in lower case, as ASGI gives them."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            found.setdefault(name, []).append(value)
        self._check_host(found.get(b"host", []))
        # A link may lead to the page, which does nothing by itself; whatever answers is kept from other sites.
        is_link = method == "GET" and path == "/" and found.get(b"sec-fetch-mode", [b""])[-1] == b"navigate"
        if not is_link and found.get(b"sec-fetch-site", [b"none"])[-1] in (b"cross-site", b"same-site"):
            raise ApiError(403, "requests from pages of other sites are not taken", code="cross_site")
        if path.startswith(_KEPT_PATHS) and path not in _OPEN_PATHS:
            self._check_key(found.get(b"authorization", []))
        if method == "POST":
            kind = found.get(b"content-type", [b""])[-1].split(b";")[0].strip().lower()
            if kind != b"application/json":
                raise ApiError(415, "the body must be JSON, with Content-Type: application/json", code="unsupported_media_type")
            if found.get(b"content-encoding", [b"identity"])[-1].lower() != b"identity":
                raise ApiError(415, "compressed bodies are not taken", code="unsupported_encoding")

    def _check_host(self, given: Sequence[bytes]) -> None:
        host = _host_name(given[0].decode("latin-1")) if len(given) == 1 else ""
        if host in self._names:
            return
        try:
            ipaddress.ip_address(host)
        except ValueError as error:
            raise ApiError(
                403,
                "the Host header is neither an IP address nor a name of this server; allow a name with --allow-host NAME",
                code="host_not_allowed",
            ) from error

    def _check_key(self, given: Sequence[bytes]) -> None:
        if self._key is None:
            return
        scheme, _, key = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        # Digests are of one length, and are compared in a time that does not tell where they differ.
        is_right = hmac.compare_digest(_digest(key.strip()), self._key)
        if scheme.lower() != b"bearer" or not is_right:
            raise ApiError(
                401,
                "the key is missing or wrong; send it as Authorization: Bearer KEY",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _host_name(header: str) -> str:
    """Return the name or address in a Host header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower().rstrip(".")
