"""llama.cpp as a runtime of the certificate: its library for ids and log-probabilities, its server for chat templates."""

import time
from collections.abc import Sequence
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import ArtifactError
from pellucid.export.llama_cpp import LlamaCpp
from pellucid.export.runtimes.llama_library import LlamaLibrary
from pellucid.export.runtimes.log_softmax import log_softmax
from pellucid.export.runtimes.runtime import Message
from pellucid.export.runtimes.strangers import check_gguf, check_rendering

__all__ = ["LlamaCppRuntime"]

# The largest difference of a log-probability. One sums in another order than the other where batches differ in size.
_SERVER_LIMIT = 1e-2


class LlamaCppRuntime:
    """A `Runtime`: a GGUF file in llama.cpp on one thread, keys and values in float32, no flash attention.

    Before the library's log-probabilities are used, they are compared with the server's at one position: it is the server that
    people run. Where the library cannot be used, the server gives them all, a request each.
    """

    name = "llama.cpp"

    def __init__(self, path: Path, context_tokens: int) -> None:
        check_gguf(path)
        started = time.perf_counter()
        self._path, self._context_tokens = path, context_tokens
        self._library = LlamaLibrary(path)
        self._uses_library: bool | None = None
        self.version = f"xllamacpp {metadata.version('xllamacpp')}"
        self.load_s = time.perf_counter() - started

    @cached_property
    def _server(self) -> LlamaCpp:
        return LlamaCpp(self._path, self._context_tokens)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._library.close()
        if "_server" in self.__dict__:
            self._server.__exit__(kind, error, trace)

    def encode(self, text: str) -> list[int]:
        """Return llama.cpp's ids of a raw text."""
        return self._library.tokenize(text)

    def encode_plain(self, text: str) -> list[int]:
        """Return the ids of a text with the tokens that the file has llama.cpp add: its server and its programs do."""
        return self._library.tokenize(text, add_special=True)

    def encode_chat(self, messages: Sequence[Message]) -> list[int] | None:
        """Return the ids of a conversation as the server makes them of the file's template; None where the file has none."""
        if self._library.chat_template is None:
            return None
        check_rendering(self._library.chat_template, messages)
        return self._library.tokenize(self._server.render(messages), parse_special=True)

    @property
    def eos_id(self) -> int | None:
        """The file's end of text."""
        return self._library.eos_id

    def stop_ids(self) -> frozenset[int]:
        """Return every id after which an answer ends: those that the file names, and those that llama.cpp knows by their names."""
        return self._library.stop_ids()

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return natural logs of the next token's probabilities after each of `ids`, [T, V]."""
        if self._uses_library is None:
            self._uses_library = self._library_agrees(ids[:2])
        if self._uses_library:
            return log_softmax(self._library.logits(ids))
        vocab_tokens = self._library.vocab_tokens
        return np.stack([self._server.log_probabilities(ids[: last + 1], vocab_tokens) for last in range(len(ids))])

    def _library_agrees(self, ids: Sequence[int]) -> bool:
        try:
            found_V = log_softmax(self._library.logits(ids))[-1]
        except ArtifactError:
            return False
        served_V = self._server.log_probabilities(ids, self._library.vocab_tokens)
        difference = float(np.abs(found_V - served_V).max())
        if not difference <= _SERVER_LIMIT:
            raise ArtifactError(
                f"{self._path}: llama.cpp's library and its server differ by {difference:.3g} in a log-probability, limit "
                f"{_SERVER_LIMIT}"
            )
        return True
