"""Which runs of a text's tokens stand word for word in documents, and in which? Exact, by the index of n-grams.

What is found are the maximal runs, as OLMoTrace shows them (Liu et al. 2025, section 3): a run of at least n tokens that a document
holds, and that is no part of a longer run that some document holds. A match never crosses the end of a document.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.core.errors import UsageError
from pellucid.shards.ngrams import GRAM_TOKENS, SHORTEST_TOKENS, NgramIndex, NotWantedError, hash_grams
from pellucid.shards.stream import TokenStream

__all__ = ["MOST_PLACES", "FoundRuns", "VerbatimRun", "find_runs"]

MOST_PLACES = 5_000_000
"""Places that are looked at for one text by default; some ten seconds."""

_CHUNK = 1 << 16
_COMPACT_FROM = 1 << 20
_STEPS_BETWEEN_LOOKS = 64
# Columns of what is kept of a match.
_SPLIT, _BEGIN, _END, _TOKEN = range(4)


@dataclass(frozen=True, slots=True)
class VerbatimRun:
    """Tokens begin … end of the text, and where they stand: (split, its tokens at which the run begins, int64, ascending)."""

    begin: int
    end: int
    places: tuple[tuple[int, NDArray[np.int64]], ...]


@dataclass(frozen=True, slots=True)
class FoundRuns:
    """All runs in order. Where it is not `complete`, very common phrases were passed over: runs or places may be missing."""

    runs: tuple[VerbatimRun, ...]
    complete: bool


def find_runs(
    ids: Sequence[int],
    indexes: Sequence[NgramIndex],
    shortest: int = SHORTEST_TOKENS,
    *,
    most_places: int = MOST_PLACES,
    is_wanted: Callable[[], bool] | None = None,
) -> FoundRuns:
    """Return the maximal runs of at least `shortest` tokens that the splits' documents hold, end marks left out.

    Rare phrases are looked up first; once `most_places` places would be looked at in all, the commoner ones are passed over. Raises
    `UsageError` for a `shortest` that the index cannot tell, `NotWantedError` once `is_wanted()` is false.
    """
    if shortest < SHORTEST_TOKENS:
        raise UsageError(f"runs of {shortest} tokens cannot be found; at least {SHORTEST_TOKENS} are told by the index")
    ids_T = np.asarray(ids, np.int64)
    hash_G = hash_grams(ids_T)
    asked = [index.ranges(hash_G) for index in indexes]
    counts = [
        (int(ends[at] - firsts[at]), split, int(at))
        for split, (firsts, ends) in enumerate(asked)
        for at in np.flatnonzero(ends > firsts)
    ]
    kept = _Kept(len(ids_T))
    left, complete = most_places, True

    def go_on() -> None:
        if is_wanted is not None and not is_wanted():
            raise NotWantedError("the look-up was given up")

    waiting = _Waiting(ids_T, indexes, shortest, kept, go_on)
    for count, split, at in sorted(counts):
        go_on()
        if count > left:
            complete = False
            break
        left -= count
        firsts, ends = asked[split]
        for first in range(int(firsts[at]), int(ends[at]), _CHUNK):
            waiting.add(split, at, indexes[split].tokens_at(first, min(first + _CHUNK, int(ends[at]))))
    waiting.flush()
    return FoundRuns(kept.runs(), complete)


class _Waiting:
    """Gathers places until there are enough of them to be compared at once."""

    def __init__(
        self,
        ids_T: NDArray[np.int64],
        indexes: Sequence[NgramIndex],
        shortest: int,
        kept: "_Kept",
        go_on: Callable[[], None],
    ) -> None:
        self._ids_T, self._indexes, self._shortest, self._kept, self._go_on = ids_T, indexes, shortest, kept, go_on
        self._places: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
        self._count = 0

    def add(self, split: int, at: int, token_P: NDArray[np.int64]) -> None:
        if len(token_P) == 0:
            return
        self._places.setdefault(split, []).append((at, token_P))
        self._count += len(token_P)
        if self._count >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        for split, found in self._places.items():
            at_P = np.concatenate([np.full(len(tokens), at, np.int64) for at, tokens in found])
            token_P = np.concatenate([tokens for _, tokens in found])
            pair = _Pair(self._indexes[split].stream, self._ids_T, self._go_on)
            begin, end, token = pair.matches(at_P, token_P)
            is_long = end - begin >= self._shortest
            self._kept.add(split, begin[is_long], end[is_long], token[is_long])
        self._places, self._count = {}, 0


@dataclass(frozen=True, slots=True)
class _Pair:
    """A split and the text, compared at pairs of places."""

    stream: TokenStream
    ids_T: NDArray[np.int64]
    go_on: Callable[[], None]

    def matches(
        self, at_P: NDArray[np.int64], token_P: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return how far both agree around places where they may: begin and end in the text, begin in the split."""
        same = (self.stream.read_many(token_P, GRAM_TOKENS) == self.ids_T[at_P[:, None] + np.arange(GRAM_TOKENS)]).all(axis=1)
        at, token = at_P[same], token_P[same]
        document = self.stream.document_at(token)
        starts = self.stream.document_starts
        # The last token of a document is its end mark, which is no part of what it says.
        first, last = starts[document], starts[document + 1] - 1
        inside = token + GRAM_TOKENS <= last
        at, token, first, last = at[inside], token[inside], first[inside], last[inside]
        before = self._agreeing(at - 1, token - 1, np.minimum(at, token - first), -1)
        at_next, next_ = at + GRAM_TOKENS, token + GRAM_TOKENS
        after = self._agreeing(at_next, next_, np.minimum(len(self.ids_T) - at_next, last - next_), 1)
        return at - before, at_next + after, token - before

    def _agreeing(
        self, at_P: NDArray[np.int64], token_P: NDArray[np.int64], room_P: NDArray[np.int64], direction: int
    ) -> NDArray[np.int64]:
        """Return how many tokens agree from each pair of places on, at most `room_P`, in a direction."""
        agreeing_P = np.zeros(len(at_P), np.int64)
        active = np.flatnonzero(room_P > 0)
        steps = 0
        while len(active):
            if steps % _STEPS_BETWEEN_LOOKS == 0:
                self.go_on()
            shift = steps * direction
            same = self.stream.read_many(token_P[active] + shift, 1)[:, 0] == self.ids_T[at_P[active] + shift]
            steps += 1
            agreeing_P[active[same]] = steps
            active = active[same & (room_P[active] > steps)]
        return agreeing_P


class _Kept:
    """The matches that may be maximal, as rows of (split, begin, end, token)."""

    def __init__(self, tokens: int) -> None:
        self._longest_T = np.zeros(tokens + 1, np.int64)
        self._rows: list[NDArray[np.int64]] = []
        self._count = 0

    def add(self, split: int, begin: NDArray[np.int64], end: NDArray[np.int64], token: NDArray[np.int64]) -> None:
        np.maximum.at(self._longest_T, begin, end)
        self._rows.append(np.stack([np.full(len(begin), split, np.int64), begin, end, token], axis=1))
        self._count += len(begin)
        if self._count >= _COMPACT_FROM:
            self._compact()

    def _compact(self) -> NDArray[np.int64]:
        """Drop what is inside a longer match, and what was found from several of its places."""
        rows = np.concatenate([np.empty((0, 4), np.int64), *self._rows])
        furthest_T = np.concatenate(([0], np.maximum.accumulate(self._longest_T)))
        begin, end = rows[:, _BEGIN], rows[:, _END]
        rows = np.unique(rows[(end == self._longest_T[begin]) & (end > furthest_T[begin])], axis=0)
        self._rows, self._count = [rows], len(rows)
        return rows

    def runs(self) -> tuple[VerbatimRun, ...]:
        rows = self._compact()
        rows = rows[np.lexsort((rows[:, _TOKEN], rows[:, _SPLIT], rows[:, _BEGIN]))]
        found = []
        for begin in np.unique(rows[:, _BEGIN]):
            own = rows[rows[:, _BEGIN] == begin]
            places = tuple((int(split), own[own[:, _SPLIT] == split, _TOKEN]) for split in np.unique(own[:, _SPLIT]))
            found.append(VerbatimRun(int(begin), int(own[0, _END]), places))
        return tuple(found)
