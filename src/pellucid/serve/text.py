"""Bytes of tokens → text that can be sent: never half a character, never the beginning of what may become a stop text."""

import codecs
from collections.abc import Sequence

__all__ = ["TextStream"]


class TextStream:
    """Text that grows by bytes and ends before the first stop text in it.

    `decoded` characters have been read, `released` of them given out; `stopped` once a stop text was found. What is no UTF-8
    becomes U+FFFD.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self.decoded = self.released = 0
        self.stopped = False

    def add(self, piece: bytes) -> str:
        """Return the text that is certain now; nothing after a stop text."""
        return self._take(self._decoder.decode(piece), end=False)

    def watch(self, stop: Sequence[str]) -> None:
        """Look for other stop texts, in what comes from now on."""
        self._stop = tuple(stop)

    def end(self) -> str:
        """Return what was held back, as nothing follows."""
        return self._take(self._decoder.decode(b"", final=True), end=True)

    def _take(self, text: str, *, end: bool) -> str:
        if self.stopped:
            return ""
        self.decoded += len(text)
        self._held += text
        found = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped, keep = True, min(found)
        else:
            keep = len(self._held) - (0 if end else self._may_begin())
        text, self._held = self._held[:keep], "" if self.stopped else self._held[keep:]
        self.released += len(text)
        return text

    def _may_begin(self) -> int:
        """Return how many characters at the end may be the beginning of a stop text."""
        longest = min(len(self._held), max(map(len, self._stop), default=1) - 1)
        return next((size for size in range(longest, 0, -1) if any(stop.startswith(self._held[-size:]) for stop in self._stop)), 0)
