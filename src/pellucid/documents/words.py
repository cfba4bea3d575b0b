"""The words of many texts at once, as numbers: what near-duplicates and benchmark questions are found by.

A word is a run of letters, marks and digits, in lower case; in scripts that do not put spaces between words (Han, Kana, Thai, Lao,
Khmer, Burmese) each character is one. Punctuation and spacing therefore play no part. A word's number is a 64-bit hash that is
the same on every machine and in every batch.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pellucid.core.hashing import GOLDEN, mix

__all__ = ["Words", "hash_ngrams", "hash_words"]

_PLANES = 0x20000  # letters of the planes above are Han
_LIMIT = 0x110000
_SPACELESS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))

_CHARS_AT_ONCE = 1_000_000
_OTHER, _JOINED, _ALONE = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Words:
    """W words of N texts. Text i has the words `offsets_N1[i]:offsets_N1[i + 1]` (N + 1 offsets, int64).

    `keys_W` are their numbers; word w is the characters `begin_W[w]:end_W[w]` of its text.
    """

    keys_W: NDArray[np.uint64]
    offsets_N1: NDArray[np.int64]
    begin_W: NDArray[np.int64]
    end_W: NDArray[np.int64]


def hash_words(texts: Sequence[str], chars_at_once: int = _CHARS_AT_ONCE) -> Words:
    """Return the words of the texts. Lone surrogates count as no letter.

    `chars_at_once` characters are worked on at a time, wherever that cuts the texts. Memory: some 60 bytes for each of these, and
    for all texts together the words themselves.
    """
    parts: list[Words] = []
    counts_N = np.zeros(len(texts), dtype=np.int64)
    continued: list[int] = []  # words that go on with the word before them
    total = 0
    for batch in _cut(texts, chars_at_once):
        part = _hash_slices([texts[number][begin:end] for number, begin, end in batch])
        counts_S = np.diff(part.offsets_N1)
        begin_S = np.array([begin for _, begin, _ in batch], dtype=np.int64)
        number, begin, _ = batch[0]  # only the first slice can begin inside a text
        if begin and _is_inside_word(texts[number][begin - 1 : begin + 1]):
            continued.append(total)
        np.add.at(counts_N, [number for number, _, _ in batch], counts_S)
        begin_W = np.repeat(begin_S, counts_S)
        parts.append(Words(part.keys_W, part.offsets_N1, part.begin_W + begin_W, part.end_W + begin_W))
        total += len(part.keys_W)
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return Words(np.zeros(0, dtype=np.uint64), np.zeros(len(texts) + 1, dtype=np.int64), empty, empty)
    sums_W, begin_W, end_W = (np.concatenate([getattr(part, name) for part in parts]) for name in ("keys_W", "begin_W", "end_W"))
    if continued:
        number_W = np.repeat(np.arange(len(texts)), counts_N)
        for word in reversed(continued):
            shift = pow(int(GOLDEN), int(end_W[word - 1] - begin_W[word - 1]), 2**64)
            sums_W[word - 1] = (int(sums_W[word - 1]) + shift * int(sums_W[word])) % 2**64
            end_W[word - 1] = end_W[word]
            counts_N[number_W[word]] -= 1
        sums_W, begin_W, end_W = (np.delete(array, continued) for array in (sums_W, begin_W, end_W))
    return Words(mix(sums_W), np.concatenate((np.zeros(1, np.int64), np.cumsum(counts_N))), begin_W, end_W)


def _cut(texts: Sequence[str], chars_at_once: int) -> Iterator[list[tuple[int, int, int]]]:
    """Yield slices of the texts in order, as many characters of them at once: (text, begin, end)."""
    batch: list[tuple[int, int, int]] = []
    room = chars_at_once
    for number, text in enumerate(texts):
        begin = 0
        while begin < len(text):
            end = min(len(text), begin + room)
            batch.append((number, begin, end))
            room -= end - begin
            begin = end
            if not room:
                yield batch
                batch, room = [], chars_at_once
    if batch:
        yield batch


def _is_inside_word(pair: str) -> bool:
    """Tell whether no word ends between the two characters."""
    kinds, _ = _tables()
    return all(kinds[ord(char)] == _JOINED for char in pair)


def _hash_slices(texts: Sequence[str]) -> Words:
    """Return the words of the texts, with polynomials of their characters, which can be continued, in place of their numbers."""
    kinds, lower = _tables()
    codes_X = np.frombuffer("\0".join([*texts, ""]).encode("utf-32-le", errors="replace"), dtype="<u4")
    kind_X = kinds[codes_X]
    inside_X = kind_X != _OTHER
    # A word begins where a word's character follows none, and at every character of a script without spaces and after it.
    begins_X = inside_X.copy()
    begins_X[1:] &= ~inside_X[:-1] | (kind_X[1:] == _ALONE) | (kind_X[:-1] == _ALONE)
    text_ends_N = np.cumsum([len(text) + 1 for text in texts], dtype=np.int64)
    text_begins_N = np.concatenate((np.zeros(1, np.int64), text_ends_N[:-1])) if len(texts) else np.zeros(0, np.int64)
    begin_W = np.flatnonzero(begins_X)
    if not len(begin_W):
        empty = np.zeros(0, dtype=np.int64)
        return Words(np.zeros(0, dtype=np.uint64), np.zeros(len(texts) + 1, dtype=np.int64), empty, empty)
    # An odd base: its powers never become 0 modulo 2**64.
    at_Y = np.flatnonzero(inside_X)
    first_W = np.searchsorted(at_Y, begin_W)
    chars_W = np.diff(first_W, append=len(at_Y))
    place_Y = np.arange(len(at_Y)) - np.repeat(first_W, chars_W)
    powers = _powers(int(chars_W.max()))
    values_Y = mix(lower[codes_X[at_Y]].astype(np.uint64)) * powers[place_Y]
    sums_W = np.add.reduceat(values_Y, first_W)
    offsets_N1 = np.concatenate((np.zeros(1, np.int64), np.searchsorted(begin_W, text_ends_N)))
    own_W = np.repeat(text_begins_N, np.diff(offsets_N1))
    return Words(sums_W, offsets_N1, begin_W - own_W, begin_W + chars_W - own_W)


def hash_ngrams(words: Words, n: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of all runs of n words inside a text, and their offsets (N + 1); a text of fewer words has none."""
    counts_N = np.diff(words.offsets_N1)
    grams_N = np.maximum(counts_N - n + 1, 0)
    offsets_N1 = np.concatenate((np.zeros(1, np.int64), np.cumsum(grams_N)))
    total = len(words.keys_W) - n + 1
    if total <= 0:
        return np.zeros(0, dtype=np.uint64), np.zeros(len(counts_N) + 1, dtype=np.int64)
    hashes = np.zeros(total, dtype=np.uint64)
    for place in range(n):
        hashes *= GOLDEN
        hashes += words.keys_W[place : place + total]
    begin_G = np.repeat(words.offsets_N1[:-1] - offsets_N1[:-1], grams_N) + np.arange(offsets_N1[-1])
    return mix(hashes[begin_G]), offsets_N1


@cache
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint32]]:
    """Return for each code point what it is to a word, and its lower case where that is one character."""
    kinds = np.full(_LIMIT, _OTHER, dtype=np.uint8)
    kinds[0x20000:0x40000] = _ALONE
    lower = np.arange(_LIMIT, dtype=np.uint32)
    for code in range(_PLANES):
        char = chr(code)
        if char.isalnum() or unicodedata.category(char)[0] == "M":
            kinds[code] = _JOINED
            small = char.lower()
            if len(small) == 1:
                lower[code] = ord(small)
    for first, last in _SPACELESS:
        block = kinds[first : last + 1]
        block[block == _JOINED] = _ALONE
    return kinds, lower


def _powers(count: int) -> NDArray[np.uint64]:
    """Return at least `count` powers of the base modulo 2**64; one array serves every batch but those with endless words."""
    global _POWERS
    if count > _KEPT_POWERS:
        return np.multiply.accumulate(np.full(count, GOLDEN, dtype=np.uint64))
    if len(_POWERS) < count:
        _POWERS = np.multiply.accumulate(np.full(min(2 * count, _KEPT_POWERS), GOLDEN, dtype=np.uint64))
    return _POWERS


_KEPT_POWERS = 2**16
_POWERS = np.multiply.accumulate(np.full(256, GOLDEN, dtype=np.uint64))
