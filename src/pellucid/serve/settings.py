"""How the server is run: where it listens, who may ask, and how much."""

import ipaddress
from dataclasses import dataclass

from pellucid.core.errors import UsageError

__all__ = ["ServerSettings", "is_loopback"]

_SHORTEST_KEY = 16


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Raises `UsageError` for limits that allow nothing, and for an address beyond this machine without a key.

    `allowed_hosts` are names by which clients may call the server besides localhost and IP addresses. `max_waiting` sequences may
    wait for a slot; `max_sequences` is the most that one request may ask for. `deadline_s` is the longest a request may take,
    `body_s` the longest its body may take to arrive, `drain_s` the longest that running requests are waited for at the end.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    key: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    max_body_bytes: int = 4 * 2**20
    max_waiting: int = 256
    max_sequences: int = 128
    deadline_s: float = 600.0
    body_s: float = 30.0
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        if self.key is not None and (len(self.key) < _SHORTEST_KEY or not self.key.isascii() or not self.key.isprintable()):
            raise UsageError(f"the key must have at least {_SHORTEST_KEY} characters, all of them printable ASCII")
        if self.key is None and not is_loopback(self.host):
            raise UsageError(
                f"host {self.host} can be reached from other machines, and no key is set: set one "
                "(--key-variable NAME names the environment variable that holds it), or listen on 127.0.0.1"
            )
        if not 0 <= self.port < 65_536:
            raise UsageError(f"port {self.port}: must be 1 to 65535, or 0 for any that is free")
        for name in ("max_body_bytes", "max_sequences", "deadline_s", "body_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("max_waiting", "drain_s"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} is {getattr(self, name)}; it must not be below 0")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address. A name other than localhost is taken to lead elsewhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
