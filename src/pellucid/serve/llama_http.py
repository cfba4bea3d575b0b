"""llama.cpp's own server in this process, and how it is asked: one answer, or a stream that can be cut off from another thread."""

import http.client
import json
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pellucid.core.errors import ArtifactError, EndpointError, MissingExtraError

__all__ = ["LlamaServer", "LlamaStream", "llama_device"]

_ANSWER_S = 3600.0
_CACHE_MIB = 256


class _Door(NamedTuple):
    host: str
    port: int
    key: str


class LlamaServer:
    """A GGUF file opened for `slots` sequences of `context_tokens` at once. It listens on this machine only, on a port of its own.

    `exact` keeps keys and values in float32, so that nothing but the weights is rounded; otherwise they are float16, as by default.
    Raises `MissingExtraError` without the package xllamacpp, `ArtifactError` when llama.cpp does not take the file.
    """

    def __init__(self, path: Path, *, context_tokens: int, slots: int, threads: int, exact: bool = False) -> None:
        xllamacpp = _xllamacpp()
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context_tokens * slots
        params.n_parallel = slots
        params.n_threads_http = slots + 4
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        # What is kept of finished prompts beside the slots: enough to be useful, and bounded.
        params.cache_ram_mib = _CACHE_MIB
        # Special tokens have a text, so that a token never vanishes between two that are shown.
        params.special = True
        if exact:
            params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.warmup = False
        params.verbosity = -1
        # Whoever else is on this machine, or in a page of its browser, must come by our own door: with its checks and limits.
        key = secrets.token_urlsafe(32)
        params.api_keys = [key]
        params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = params.ui = False
        self.version = str(xllamacpp.__version__)
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            raise ArtifactError(f"llama.cpp does not load {path}: {error}") from error
        address = urlsplit(str(self._server.listening_address))
        self._door = _Door(str(address.hostname), int(address.port or 0), key)
        # It takes requests before its own loop runs, and closed before that it waits for ever. Only the loop answers this one.
        self.complete({"prompt": "a", "n_predict": 0})

    def complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the whole answer of `/completion`. Raises `EndpointError` for what it refuses."""
        with self.request(body) as stream:
            return stream.whole()

    def request(self, body: Mapping[str, Any]) -> "LlamaStream":
        """Return a request to `/completion` that has not been sent, to be used as a context."""
        return LlamaStream(self._door, body)

    def stream(self, body: Mapping[str, Any]) -> "LlamaStream":
        """Return the answer of `/completion` as it grows. To be used as a context."""
        return LlamaStream(self._door, {**body, "stream": True})

    def close(self) -> None:
        """Free the model. Nothing may be asked any more."""
        del self._server


class LlamaStream:
    """One request. `cut` may come from any thread and at any time; llama.cpp then frees the slot, and reading raises."""

    def __init__(self, door: _Door, body: Mapping[str, Any]) -> None:
        self._connection = http.client.HTTPConnection(door.host, door.port, timeout=_ANSWER_S)
        self._headers = {"Content-Type": "application/json", "Authorization": f"Bearer {door.key}"}
        self._connection.connect()
        self._socket = self._connection.sock
        self._body = body

    def __enter__(self) -> "LlamaStream":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        # A response that was not read to its end keeps the socket open otherwise.
        self._socket.close()

    def cut(self) -> None:
        """Close the connection under whoever reads from it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def whole(self) -> dict[str, Any]:
        """Return the answer to a request without `stream`."""
        answer = json.loads(self._ask().read())
        if not isinstance(answer, dict):
            raise EndpointError(f"llama.cpp answers with {type(answer).__name__}, not with a completion")
        return answer

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the parts of an answer, the last with `stop`."""
        response = self._ask()
        while line := response.readline():
            name, _, data = line.decode(errors="replace").partition(": ")
            if name == "error":
                raise EndpointError(f"llama.cpp fails: {data.strip()}")
            if name == "data" and data.startswith("{"):
                part: dict[str, Any] = json.loads(data)
                if "error" in part:
                    raise EndpointError(f"llama.cpp fails: {part['error']}")
                yield part
                if part.get("stop"):
                    return
        raise EndpointError("llama.cpp closed the connection before the end of its answer")

    def _ask(self) -> http.client.HTTPResponse:
        self._connection.request("POST", "/completion", json.dumps(self._body), self._headers)
        response = self._connection.getresponse()
        if response.status != 200:
            raise EndpointError(f"llama.cpp refuses: status {response.status}: {response.read(500).decode(errors='replace')}")
        return response


def llama_device() -> str:
    """Return what llama.cpp computes on by its own settings: the first GPU that its build knows, else the CPU.

    Raises `MissingExtraError` without the package xllamacpp.
    """
    # Kinds: CPU, GPU, IGPU (one that has no memory of its own), ACCEL (a library for the CPU).
    devices = _xllamacpp().get_device_info()
    return next((str(one["name"]).lower() for one in devices if one["type"].name.endswith("GPU")), "cpu")


def _xllamacpp() -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise MissingExtraError("xllamacpp", "gguf", "serving a GGUF file") from error
    return xllamacpp
