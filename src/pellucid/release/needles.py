"""Look for many byte strings at once, at the same speed however many they are.

Every string of seven bytes or more covers a whole aligned word of four wherever it begins. So only the aligned words of the data
are looked up, in two small tables, and what is left of them is compared in full.
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

__all__ = ["SHORTEST", "Needles"]

SHORTEST = 7
_WORD = 4


class Needles:
    """The byte strings to look for, each under the names that it belongs to. Strings shorter than `SHORTEST` are passed over."""

    def __init__(self, named: Mapping[str, Iterable[bytes]]) -> None:
        self._names: dict[bytes, set[str]] = {}
        for name, forms in named.items():
            for form in forms:
                if len(form) >= SHORTEST:
                    self._names.setdefault(form, set()).add(name)
        self._at_word: dict[int, list[tuple[int, bytes]]] = {}
        for form in self._names:
            for offset in range(_WORD):
                word = int.from_bytes(form[offset : offset + _WORD], "little")
                self._at_word.setdefault(word, []).append((offset, form))
        words = np.array(sorted(self._at_word), dtype=np.uint32)
        self._low, self._high = np.zeros(1 << 16, bool), np.zeros(1 << 16, bool)
        self._low[words & 0xFFFF] = True
        self._high[words >> 16] = True
        self.longest = max((len(form) for form in self._names), default=0)

    def find(self, data: bytes) -> set[str]:
        """Return the names of which a string stands in the data."""
        words = np.frombuffer(data, "<u4", count=len(data) // _WORD)
        likely = np.flatnonzero(self._low[words & 0xFFFF])
        likely = likely[self._high[words[likely] >> 16]]
        found: set[str] = set()
        for place, word in zip(likely.tolist(), words[likely].tolist(), strict=True):
            for offset, form in self._at_word.get(word, ()):
                begin = place * _WORD - offset
                if begin >= 0 and data.startswith(form, begin):
                    found |= self._names[form]
        return found

    def find_in(self, chunks: Iterable[bytes]) -> set[str]:
        """Return the names of which a string stands in the chunks as one text, also across their borders."""
        found: set[str] = set()
        for window in self._overlapping(chunks):
            found |= self.find(window)
        return found

    def _overlapping(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        kept = b""
        for chunk in chunks:
            window = kept + chunk
            yield window
            kept = window[-(self.longest - 1) :] if self.longest > 1 else b""
