"""A runtime that is asked the same again and again: what it has answered is kept, within bounds."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from pellucid.export.runtimes.runtime import Message, Runtime

__all__ = ["KeptRuntime"]

_MOST_BYTES = 2**28


class KeptRuntime:
    """A `Runtime` over another, whose log-probabilities are computed once for each token sequence.

    Every export of a run is compared with the same checkpoint on the same windows. At most `most_bytes` are kept; what comes after
    that is computed each time.
    """

    def __init__(self, runtime: Runtime, most_bytes: int = _MOST_BYTES) -> None:
        self._runtime, self._room = runtime, most_bytes
        self.name, self.version, self.load_s = runtime.name, runtime.version, runtime.load_s
        self._kept: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._kept.clear()
        self._runtime.__exit__(kind, error, trace)

    def encode(self, text: str) -> list[int]:
        """Return the runtime's ids of a raw text."""
        return self._runtime.encode(text)

    def encode_plain(self, text: str) -> list[int]:
        """Return the runtime's ids of a text by a plain call."""
        return self._runtime.encode_plain(text)

    def encode_chat(self, messages: Sequence[Message]) -> list[int] | None:
        """Return the runtime's ids of a conversation."""
        return self._runtime.encode_chat(messages)

    @property
    def eos_id(self) -> int | None:
        """The runtime's end of text."""
        return self._runtime.eos_id

    def stop_ids(self) -> frozenset[int]:
        """Return the ids after which the runtime ends an answer."""
        return self._runtime.stop_ids()

    def log_probabilities(self, ids: Sequence[int]) -> npt.NDArray[np.float64]:
        """Return natural logs of the next token's probabilities after each of `ids`, [T, V]; not to be written to."""
        key = tuple(ids)
        if key not in self._kept:
            found_TV = self._runtime.log_probabilities(ids)
            if found_TV.nbytes > self._room:
                return found_TV
            found_TV.flags.writeable = False
            self._kept[key] = found_TV
            self._room -= found_TV.nbytes
        return self._kept[key]
