"""The code points of many texts in one array, what each of them is, and numbers for their parts.

A part's number is a polynomial of its code points modulo 2**64. It comes from the sums up to its two ends, so that it costs the
same for a word, a line or a run of words, and is the same wherever the part stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import GOLDEN, mix
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.characters import LIMIT, LINE_BREAKS, code_mixes, code_traits

__all__ = ["Points", "Spans", "fractions", "lay_out", "points_of", "powers", "repeats"]

_LINE_FEED, _CARRIAGE_RETURN = 0x0A, 0x0D
_INVERSE = np.uint64(pow(int(GOLDEN), -1, 1 << 64))  # the base is odd, so it has one


@dataclass(frozen=True, eq=False)
class Spans:
    """L parts of texts: part l is the code points `begin_L[l]:end_L[l]` of all, and belongs to text `text_L[l]`."""

    begin_L: NDArray[np.int64]
    end_L: NDArray[np.int64]
    text_L: NDArray[np.int64]

    @property
    def chars(self) -> NDArray[np.int64]:
        """Return how long each part is (L)."""
        return self.end_L - self.begin_L

    def keep(self, mask_L: NDArray[np.bool_]) -> "Spans":
        """Return the parts in the mask."""
        return Spans(self.begin_L[mask_L], self.end_L[mask_L], self.text_L[mask_L])


@dataclass(frozen=True, eq=False)
class Points:
    """N texts as X code points; text i is `codes_X[begin_N[i]:end_N[i]]`, with one line feed after each text.

    `rows_N` says which documents of the batch these are; `text` is the same as a string; `traits_X` are the bits of `characters`.
    """

    rows_N: NDArray[np.int64]
    text: str
    codes_X: NDArray[np.uint32]
    traits_X: NDArray[np.uint8]
    begin_N: NDArray[np.int64]
    end_N: NDArray[np.int64]

    @cached_property
    def spaces(self) -> NDArray[np.int64]:
        """Return where white space stands."""
        return np.flatnonzero(self.traits_X == 0)

    @cached_property
    def marks(self) -> NDArray[np.int64]:
        """Return where something else stands."""
        return np.flatnonzero(self.traits_X)

    @cached_property
    def line_feeds(self) -> NDArray[np.int64]:
        """Return where line feeds stand, with the one after each text."""
        feeds: NDArray[np.int64] = self.spaces[self.codes_X[self.spaces] == _LINE_FEED]
        return feeds

    @cached_property
    def _sums(self) -> NDArray[np.uint64]:
        sums_X1 = np.zeros(len(self.codes_X) + 1, dtype=np.uint64)
        np.cumsum(code_mixes()[self.codes_X] * powers(len(self.codes_X))[0], out=sums_X1[1:])
        return sums_X1

    def numbers(self, begin_L: NDArray[np.int64], end_L: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the number of each part `begin_L[l]:end_L[l]`; equal parts have equal numbers."""
        return mix(self.polynomials(begin_L, end_L))

    def polynomials(self, begin_L: NDArray[np.int64], end_L: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return what `numbers` mixes: that of two parts one behind the other is a(B) + B ** chars of a * b(B), with B the base."""
        return (self._sums[end_L] - self._sums[begin_L]) * powers(len(self.codes_X) + 1)[1][begin_L]

    @property
    def chars(self) -> NDArray[np.int64]:
        """Return how long each text is."""
        return self.end_N - self.begin_N

    def drop_where(self, batch: TextBatch, mask_N: NDArray[np.bool_], reason: str, values_N: NDArray[np.float64]) -> None:
        """Drop those of these texts that are in the mask, with the value that broke the rule."""
        mask, values = np.zeros(len(batch), dtype=bool), np.zeros(len(batch))
        mask[self.rows_N], values[self.rows_N] = mask_N, values_N
        batch.drop_where(mask, reason, values)

    def stripped(self, begin_L: NDArray[np.int64], end_L: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return begin and end of parts without the white space around them; a blank part is empty at its beginning."""
        marks_Y1 = np.append(self.marks, len(self.codes_X))
        first_L = np.searchsorted(self.marks, begin_L)
        last_L = np.searchsorted(self.marks, end_L) - 1
        blank_L = last_L < first_L
        return np.where(blank_L, begin_L, marks_Y1[first_L]), np.where(blank_L, begin_L, marks_Y1[last_L] + 1)

    @cached_property
    def lines(self) -> Spans:
        """Return the lines as str.splitlines finds them."""
        ends = self.spaces[_breaks()[self.codes_X[self.spaces]]]
        text_L = np.searchsorted(self.end_N, ends)
        codes_L = self.codes_X[ends]
        half_L = (codes_L == _CARRIAGE_RETURN) & (ends + 1 < self.end_N[text_L])
        half_L[half_L] = self.codes_X[ends[half_L] + 1] == _LINE_FEED
        ends, text_L, codes_L = ends[~half_L], text_L[~half_L], codes_L[~half_L]
        begin_L = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))[: len(ends)]
        pair_L = (codes_L == _LINE_FEED) & (ends > begin_L)
        pair_L[pair_L] = self.codes_X[ends[pair_L] - 1] == _CARRIAGE_RETURN
        nothing_L = (ends == self.end_N[text_L]) & (begin_L == ends)
        return Spans(begin_L, ends - pair_L, text_L).keep(~nothing_L)

    @cached_property
    def pieces(self) -> Spans:
        """Return the parts between line feeds, the empty ones too."""
        ends = self.line_feeds
        begin_L = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1))[: len(ends)]
        return Spans(begin_L, ends, np.searchsorted(self.end_N, ends))

    @cached_property
    def paragraphs(self) -> Spans:
        """Return the parts between runs of two or more line feeds of the texts without the white space around them."""
        begin_N, end_N = self.stripped(self.begin_N, self.end_N)
        feeds = self.line_feeds
        text = np.searchsorted(self.end_N, feeds)
        feeds = feeds[(feeds >= begin_N[text]) & (feeds < end_N[text])]
        fresh = np.diff(feeds, prepend=-2) != 1
        run_begin, run_end = feeds[fresh], feeds[np.append(fresh[1:], True)[: len(feeds)]] + 1
        wide = run_end - run_begin > 1
        begin_L = np.sort(np.concatenate((begin_N, run_end[wide])))
        return Spans(begin_L, np.sort(np.concatenate((end_N, run_begin[wide]))), np.searchsorted(self.end_N, begin_L))


def lay_out(texts: Sequence[str], rows_N: NDArray[np.int64]) -> Points:
    """Return the code points of texts. Memory: some 40 bytes per character with all that is computed when asked for."""
    text = "\n".join([*texts, ""])
    codes_X = np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
    end_N = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64) - 1
    begin_N = np.concatenate((np.zeros(1, np.int64), end_N[:-1] + 1))[: len(end_N)]
    return Points(rows_N, text, codes_X, code_traits()[codes_X], begin_N, end_N)


def points_of(batch: TextBatch) -> Points:
    """Return the code points of the documents that were there when this was first asked for with their present texts."""
    points = batch.cache.get("points")
    if not isinstance(points, Points):
        rows = batch.rows
        points = lay_out([batch.texts[row] for row in rows], np.array(rows, dtype=np.int64))
        batch.cache["points"] = points
    return points


def repeats(numbers_L: NDArray[np.uint64], text_L: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return for each number whether the same one stands before it in the same text; texts are in order."""
    keys_L = mix(numbers_L ^ mix(text_L.astype(np.uint64)))
    order_L = np.argsort(keys_L, kind="stable")
    sorted_L = keys_L[order_L]
    repeat_L = np.zeros(len(keys_L), dtype=bool)
    repeat_L[order_L[1:][sorted_L[1:] == sorted_L[:-1]]] = True
    return repeat_L


def fractions(parts_N: NDArray[np.generic], wholes_N: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return parts / wholes, and 0 where there is no whole."""
    shares_N: NDArray[np.float64] = np.zeros(len(parts_N))
    np.divide(parts_N, wholes_N, out=shares_N, where=np.asarray(wholes_N) != 0)
    return shares_N


def powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return at least `count` powers of the base modulo 2**64, and their inverses; one array serves until more are needed."""
    global _POWERS
    if len(_POWERS[0]) < count:
        _POWERS = _powers(count + count // 4)
    return _POWERS[0][:count], _POWERS[1][:count]


def _powers(count: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return np.multiply.accumulate(np.full(count, GOLDEN)), np.multiply.accumulate(np.full(count, _INVERSE))


_POWERS = _powers(256)


def _breaks() -> NDArray[np.bool_]:
    global _BREAKS
    if not len(_BREAKS):
        _BREAKS = np.zeros(LIMIT, dtype=bool)
        _BREAKS[list(LINE_BREAKS)] = True
    return _BREAKS


_BREAKS = np.zeros(0, dtype=bool)
