"""The words of many texts as they are written, marks of punctuation as words of their own: what the quality rules count.

datatrove counts with spaCy's tokenizer, which looks at each run of characters between white space alone. So does this: runs of
letters are words at once, a run of letters with one mark after it is two, and every other run is cut once by `affixes` and then
remembered. In Chinese, Japanese, Thai, Lao, Khmer and Burmese, where datatrove asks a segmenter, each character is a word; for the
other languages for which it has a tool of its own (Korean, Indic languages, Welsh and more), the rules for any language serve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import mix
from pellucid.documents.cleaning.affixes import splitter
from pellucid.documents.cleaning.batch import TextBatch
from pellucid.documents.cleaning.characters import CLOSING, NON_DIGIT, NON_LETTER, SPACELESS
from pellucid.documents.cleaning.points import Points, lay_out, points_of

__all__ = ["OWN_RULES", "Tokens", "cut_tokens", "tokens_of"]

OWN_RULES = ("de", "en", "es", "fr", "it", "nl", "pt")
_WITHOUT_SPACES = ("ja", "km", "lo", "my", "th", "zh")
_REMEMBERED = 200_000
_STOP = ord(".")


@dataclass(frozen=True, eq=False)
class Tokens:
    """W words of the N texts of `points`: word w is the code points `begin_W[w]:end_W[w]`.

    Text i has the words `offsets_N1[i]:offsets_N1[i + 1]` (N + 1 offsets).
    """

    points: Points
    begin_W: NDArray[np.int64]
    end_W: NDArray[np.int64]
    offsets_N1: NDArray[np.int64]

    @cached_property
    def traits(self) -> NDArray[np.uint8]:
        """Return the bits that any character of a word has."""
        if not len(self.begin_W):
            return np.zeros(0, dtype=np.uint8)
        return np.bitwise_or.reduceat(self.points.traits_X, self.begin_W)  # white space after a word has no bits

    @cached_property
    def numbers(self) -> NDArray[np.uint64]:
        """Return the number of each word; equal words have equal numbers."""
        return mix(self.polynomials)

    @cached_property
    def polynomials(self) -> NDArray[np.uint64]:
        """Return what the numbers are mixed from."""
        return self.points.polynomials(self.begin_W, self.end_W)

    @cached_property
    def chars(self) -> NDArray[np.int64]:
        """Return how long each word is."""
        return self.end_W - self.begin_W

    @cached_property
    def text_numbers(self) -> NDArray[np.int64]:
        """Return which text each word is in."""
        return np.repeat(np.arange(len(self.offsets_N1) - 1), np.diff(self.offsets_N1))

    def words(self, text: int) -> list[str]:
        """Return the words of one text as strings."""
        own = slice(self.offsets_N1[text], self.offsets_N1[text + 1])
        whole = self.points.text
        return [whole[begin:end] for begin, end in zip(self.begin_W[own].tolist(), self.end_W[own].tolist(), strict=True)]

    def sums(self, values_W: NDArray[np.generic]) -> NDArray[np.int64]:
        """Return the sum of the words' values for each text (N)."""
        totals = np.concatenate((np.zeros(1, np.int64), np.cumsum(values_W, dtype=np.int64)))
        return np.diff(totals[self.offsets_N1])


def tokens_of(batch: TextBatch) -> Tokens:
    """Return the words of the documents of `points_of(batch)`, from the batch's cache when they are there."""
    tokens = batch.cache.get("tokens")
    if not isinstance(tokens, Tokens):
        points = points_of(batch)
        tokens = cut_tokens(points, [batch.languages[row] for row in points.rows_N.tolist()])
        batch.cache["tokens"] = tokens
    return tokens


def cut_tokens(points: Points, languages: Sequence[str]) -> Tokens:
    """Return the words of texts in the given languages (ISO 639-1). Memory: some 60 bytes per character while it works."""
    begin_C, end_C, offsets_N1 = _runs(points, languages)
    if not len(begin_C):
        nothing = np.zeros(0, dtype=np.int64)
        return Tokens(points, nothing, nothing, np.zeros(len(languages) + 1, dtype=np.int64))
    numbers_C = points.numbers(begin_C, end_C)
    pair_C = _is_letters_and_mark(points, begin_C, end_C)
    rules = [language if language in OWN_RULES else "xx" for language in languages]
    counts_C = np.where(pair_C, 2, 1)
    hard: list[NDArray[np.int64]] = []
    hard_lengths: list[NDArray[np.int64]] = []
    traits_C = np.bitwise_or.reduceat(points.traits_X, begin_C)
    plain_C = ((traits_C & NON_LETTER) == 0) | ((traits_C & NON_DIGIT) == 0)
    for rule in sorted(set(rules)):
        runs = _runs_of(rule, rules, offsets_N1)
        easy = plain_C[runs] & ~_special(numbers_C[runs], rule)
        pairs = np.flatnonzero(pair_C[runs] & ~_special(numbers_C[runs], rule))
        cores = points.numbers(begin_C[runs][pairs], end_C[runs][pairs] - 1)
        easy[pairs[~_special(cores, rule)]] = True
        own = np.flatnonzero(~easy) if isinstance(runs, slice) else runs[~easy]
        counts, lengths = _cut_runs(points.text, begin_C[own], end_C[own], numbers_C[own], rule)
        counts_C[own] = counts
        pair_C[own] = False
        hard.append(own)
        hard_lengths.append(lengths)
    return _expand(points, (begin_C, end_C, counts_C), pair_C, (hard, hard_lengths), offsets_N1)


def _runs(points: Points, languages: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return begin and end of the runs between white space, and the offsets of each text's."""
    inside_X = points.traits_X != 0
    begins_X = inside_X.copy()
    begins_X[1:] &= ~inside_X[:-1]
    for text, language in enumerate(languages):
        if language in _WITHOUT_SPACES:
            own = slice(points.begin_N[text], points.end_N[text])
            alone = (points.traits_X[own] & SPACELESS) != 0
            fresh = begins_X[own]
            fresh |= alone
            fresh[1:] |= alone[:-1] & inside_X[own][1:]
    begin_C = np.flatnonzero(begins_X)
    # A run ends where the next begins or, before that, at white space: behind its last mark.
    count_C = np.diff(np.searchsorted(points.marks, begin_C), append=len(points.marks))
    offsets_N1 = np.concatenate((np.zeros(1, np.int64), np.searchsorted(begin_C, points.end_N)))
    return begin_C, begin_C + count_C, offsets_N1


def _is_letters_and_mark(points: Points, begin_C: NDArray[np.int64], end_C: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether a run is letters and one mark that any language splits off behind letters."""
    other_X1 = np.zeros(len(points.traits_X) + 1, dtype=np.int32)
    np.cumsum((points.traits_X & NON_LETTER) != 0, out=other_X1[1:])
    pair_C: NDArray[np.bool_] = (end_C - begin_C > 1) & (other_X1[end_C] - other_X1[begin_C] == 1)
    pair_C &= (points.traits_X[end_C - 1] & CLOSING) != 0
    stop_C = pair_C & (points.codes_X[end_C - 1] == _STOP)  # after an upper case letter it may belong to it
    before = points.codes_X[end_C[stop_C] - 2]
    pair_C[stop_C] = (before >= ord("a")) & (before <= ord("z"))
    return pair_C


def _runs_of(rule: str, rules: Sequence[str], offsets_N1: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    if all(other == rule for other in rules):
        return slice(None)
    return np.flatnonzero(np.repeat([other == rule for other in rules], np.diff(offsets_N1)))


@cache
def _special_numbers(rule: str) -> tuple[NDArray[np.bool_], NDArray[np.uint64]]:
    """Return the numbers of a language's special cases, sorted, and which upper 16 bits they have."""
    points = lay_out(sorted(splitter(rule).cases), np.zeros(0, np.int64))
    numbers = np.sort(points.numbers(points.begin_N, points.end_N))
    seen = np.zeros(1 << 16, dtype=bool)
    seen[numbers >> np.uint64(48)] = True
    return seen, numbers


def _special(numbers_C: NDArray[np.uint64], rule: str) -> NDArray[np.bool_]:
    seen, numbers = _special_numbers(rule)
    special_C: NDArray[np.bool_] = seen[numbers_C >> np.uint64(48)]
    special_C[special_C] = np.isin(numbers_C[special_C], numbers)
    return special_C


def _cut_runs(
    text: str, begin_C: NDArray[np.int64], end_C: NDArray[np.int64], numbers_C: NDArray[np.uint64], rule: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many words each run has, and the lengths of all those words, run after run."""
    keys, first, inverse_C = np.unique(numbers_C, return_index=True, return_inverse=True)
    remembered = _REMEMBER.setdefault(rule, {})
    if len(remembered) > _REMEMBERED:
        remembered.clear()
    cut = splitter(rule).cut
    found: list[tuple[int, ...]] = []
    for key, begin, end in zip(keys.tolist(), begin_C[first].tolist(), end_C[first].tolist(), strict=True):
        lengths = remembered.get(key)
        if lengths is None:
            lengths = remembered[key] = cut(text[begin:end])
        found.append(lengths)
    counts_U = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
    flat = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(counts_U.sum()))
    counts_C = counts_U[inverse_C]
    begin_U = np.cumsum(counts_U) - counts_U
    place = np.arange(counts_C.sum()) + np.repeat(begin_U[inverse_C] - (np.cumsum(counts_C) - counts_C), counts_C)
    return counts_C, flat[place]


_REMEMBER: dict[str, dict[int, tuple[int, ...]]] = {}


def _expand(
    points: Points,
    runs: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    pair_C: NDArray[np.bool_],
    hard: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]],
    offsets_N1: NDArray[np.int64],
) -> Tokens:
    """Put the words of all runs in order."""
    begin_C, end_C, counts_C = runs
    first_C1 = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts_C)))
    lengths_W = np.repeat(end_C - begin_C, counts_C)
    pair_W = first_C1[:-1][pair_C]
    lengths_W[pair_W] -= 1
    lengths_W[pair_W + 1] = 1
    for own, lengths in zip(*hard, strict=True):
        counts = counts_C[own]
        place = np.arange(len(lengths)) + np.repeat(first_C1[own] - (np.cumsum(counts) - counts), counts)
        lengths_W[place] = lengths
    # Words lie one behind the other in a run: their place is the run's and what came before in it.
    before_W = np.cumsum(lengths_W) - lengths_W
    begin_W = before_W + np.repeat(begin_C - before_W[first_C1[:-1]], counts_C)
    return Tokens(points, begin_W, begin_W + lengths_W, first_C1[offsets_N1])
