"""Which runs of words belong to which benchmark items: built once, opened by every worker as memory-mapped files.

A gram is a run of words that tells an item: each run of n words (13) of its texts, and the whole of a question of 8 to n - 1
words. These bounds, and that grams shared by more than ten are not told apart from ordinary text, are those of GPT-3 (Brown et
al. 2020, Appendix C), which counts the sharing in training documents; here it is counted in benchmark items, so that the verdict
on a document does not depend on the others. Runs of n words with hardly a word of letters among them (counting, tables of numbers,
alphabets) are nobody's either. An item whose long question is left without a gram (the brackets of Dyck languages are no words)
is told by the whole question, under the first item's number where several share it.

Every gram is found by the hash of its first 8 words, its anchor, whatever its length, and then compared word by word.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from pellucid.core.errors import ArtifactError
from pellucid.core.hashing import GOLDEN, mix
from pellucid.documents.decontamination.items import Item
from pellucid.documents.words import hash_words
from pellucid.recipe.documents import DecontaminateConfig

__all__ = ["NgramIndex", "build_index", "hash_runs", "load_index"]

_NAMES = "benchmarks.json"
_BITS_PER_ANCHOR = 32  # 3 % of ordinary runs pass the bitmap at most
_MAX_BITS = 28
_TEXTS_AT_ONCE = 4096
_FIRST_SPACELESS = 0x0E00  # Thai; what follows is mostly syllables and ideographs


@dataclass(frozen=True, eq=False)
class NgramIndex:
    """G grams of I items over K words.

    `anchors_G` are sorted; gram g is the words `keys_K[start_G[g]:start_G[g] + words_G[g]]` and belongs to item `item_G[g]`, which
    is number `number_I` of the benchmark `names[benchmark_I]`. `bitmap` has bit h set where an anchor's first bits are h.
    `lost` is (benchmark, number) of the items that nothing tells from ordinary text.
    """

    anchors_G: NDArray[np.uint64]
    start_G: NDArray[np.int64]
    words_G: NDArray[np.int32]
    item_G: NDArray[np.int32]
    keys_K: NDArray[np.uint64]
    benchmark_I: NDArray[np.int32]
    number_I: NDArray[np.int64]
    bitmap: NDArray[np.uint8]
    names: tuple[str, ...]
    lost: tuple[tuple[str, int], ...]
    anchor_words: int

    def save(self, folder: Path) -> None:
        """Write the index as one .npy file an array, and its names, into a new folder."""
        folder.mkdir(parents=True)
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                np.save(folder / f"{field.name}.npy", value)
        (folder / _NAMES).write_bytes(orjson.dumps({"names": self.names, "lost": self.lost, "anchor_words": self.anchor_words}))


def load_index(folder: Path) -> NgramIndex:
    """Return the index that `save` wrote, its arrays mapped into memory; `ArtifactError` when a part is missing or cut short."""
    try:
        about = orjson.loads((folder / _NAMES).read_bytes())
        arrays = {
            field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r")
            for field in fields(NgramIndex)
            if field.name not in ("names", "lost", "anchor_words")
        }
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{folder} is no whole index of benchmark items: {error}; delete it and run documents again") from error
    lost = tuple((name, number) for name, number in about["lost"])
    return NgramIndex(**arrays, names=tuple(about["names"]), lost=lost, anchor_words=about["anchor_words"])


def build_index(items: Sequence[Item], config: DecontaminateConfig) -> NgramIndex:
    """Return the index of the items' grams. Items with the same texts count once when grams are counted."""
    shortest = min(config.min_words, config.ngram_words)
    keys_K, grams = _all_grams(items, config.ngram_words, shortest)
    kept = _kept(grams, _same_items(items), config.max_items)
    # A long question without a gram of its own is told by all of its words.
    told_X = np.zeros(len(grams.count_X), dtype=bool)
    told_X[grams.text_G[kept.rare_G]] = True
    alike_X = np.flatnonzero(grams.first_X & ~told_X & (grams.count_X >= config.ngram_words))
    whole_X = _different(keys_K, grams, alike_X)
    text_G = np.concatenate((grams.text_G[kept.once_G], whole_X))
    start_G = np.concatenate((grams.start_G[kept.once_G], grams.offsets_X[whole_X]))
    words_G = np.concatenate((grams.words_G[kept.once_G], grams.count_X[whole_X]))
    item_G = grams.item_X[text_G]

    anchors_G = hash_runs(keys_K, shortest)[start_G] if len(start_G) else np.zeros(0, dtype=np.uint64)
    order_G = np.lexsort((words_G, start_G, item_G, anchors_G))
    names = tuple(dict.fromkeys(item.benchmark for item in items))
    place = {name: number for number, name in enumerate(names)}
    told_I = np.zeros(len(items), dtype=bool)
    told_I[item_G] = told_I[grams.item_X[alike_X]] = True
    return NgramIndex(
        anchors_G=anchors_G[order_G],
        start_G=start_G[order_G].astype(np.int64),
        words_G=words_G[order_G].astype(np.int32),
        item_G=item_G[order_G].astype(np.int32),
        keys_K=keys_K,
        benchmark_I=np.array([place[item.benchmark] for item in items], dtype=np.int32),
        number_I=np.array([item.number for item in items], dtype=np.int64),
        bitmap=_bitmap(anchors_G),
        names=names,
        lost=tuple((items[number].benchmark, items[number].number) for number in np.flatnonzero(~told_I).tolist()),
        anchor_words=shortest,
    )


def hash_runs(keys_W: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """Return the hash of the n words from each word on, whether or not they lie in one text; the last n - 1 words have none."""
    total = len(keys_W) - n + 1
    if total <= 0:
        return np.zeros(0, dtype=np.uint64)
    # Runs of 1, 2, 4, ... words, of which n is put together: log n passes over the words where n would be the plain way.
    base, run, size = int(GOLDEN), keys_W, 1
    result: NDArray[np.uint64] | None = None
    done = 0
    while True:
        if n & size:
            result = run[:total] if result is None else _append(result, run[done : done + total], base, size)
            done += size
        if done == n:
            assert result is not None
            return result
        run = _append(run[: len(run) - size], run[size:], base, size)
        size *= 2


def _append(front: NDArray[np.uint64], back: NDArray[np.uint64], base: int, size: int) -> NDArray[np.uint64]:
    """Return the hashes of runs with `size` words more: polynomial in the base, modulo 2**64."""
    joined = front * np.uint64(pow(base, size, 2**64))
    joined += back
    return joined


@dataclass(frozen=True, eq=False)
class _Grams:
    """Grams of X texts: gram g is the words `start_G[g]:start_G[g] + words_G[g]`, of text `text_G[g]`; `hash_G` is its hash.

    Text x begins at word `offsets_X[x]`, has `count_X[x]` words and belongs to item `item_X[x]`; `first_X` marks its question.
    """

    start_G: NDArray[np.int64]
    words_G: NDArray[np.int64]
    text_G: NDArray[np.int64]
    hash_G: NDArray[np.uint64]
    offsets_X: NDArray[np.int64]
    count_X: NDArray[np.int64]
    item_X: NDArray[np.int64]
    first_X: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Kept:
    """`rare_G`: grams that few items have. `once_G`: those of them that stand for the first time in their item."""

    rare_G: NDArray[np.bool_]
    once_G: NDArray[np.bool_]


def _all_grams(items: Sequence[Item], n: int, shortest: int) -> tuple[NDArray[np.uint64], _Grams]:
    """Return the numbers of the words of all texts and their grams, common ones and repeated ones included."""
    texts = [text for item in items for text in (*item.questions, *item.answers)]
    item_X = np.array([number for number, item in enumerate(items) for _ in (*item.questions, *item.answers)], dtype=np.int64)
    question_X = np.array(
        [mark for item in items for mark in [True] * len(item.questions) + [False] * len(item.answers)], dtype=bool
    )
    keys_K, spelt_K, offsets_X1 = _words_of(texts)
    count_X = np.diff(offsets_X1)

    runs_X = np.maximum(count_X - n + 1, 0)
    text_G = np.repeat(np.arange(len(runs_X)), runs_X)
    start_G = np.arange(len(text_G)) - (np.cumsum(runs_X) - runs_X)[text_G] + offsets_X1[:-1][text_G]
    spelt_K1 = np.concatenate((np.zeros(1, np.int64), np.cumsum(spelt_K)))
    spelt_G = spelt_K1[start_G + n] - spelt_K1[start_G] >= n // 3
    text_G, start_G = text_G[spelt_G], start_G[spelt_G]

    short_X = np.flatnonzero(question_X & (count_X < n) & (count_X >= shortest))
    words_G = np.concatenate((np.full(len(start_G), n), count_X[short_X]))
    start_G = np.concatenate((start_G, offsets_X1[short_X]))
    text_G = np.concatenate((text_G, short_X))
    hash_G = np.zeros(len(start_G), dtype=np.uint64)
    for size in np.unique(words_G).tolist():
        size_G = words_G == size
        hash_G[size_G] = mix(hash_runs(keys_K, size) + np.uint64(size))[start_G[size_G]]
    first_X = question_X & (np.diff(item_X, prepend=-1) > 0)
    return keys_K, _Grams(start_G, words_G, text_G, hash_G, offsets_X1[:-1], count_X, item_X, first_X)


def _kept(grams: _Grams, same_I: NDArray[np.int64], max_items: int) -> _Kept:
    """Tell the grams of at most `max_items` different items, and the first of each in its item."""
    item_G = grams.item_X[grams.text_G]
    _, which_G = np.unique(grams.hash_G, return_inverse=True)
    items_of = np.bincount(which_G[_firsts(grams.hash_G, same_I[item_G])])
    rare_G = items_of[which_G] <= max_items if len(which_G) else np.zeros(0, dtype=bool)
    once_G = np.zeros(len(rare_G), dtype=bool)
    once_G[_firsts(grams.hash_G, item_G)] = True
    return _Kept(rare_G, once_G & rare_G)


def _words_of(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.int64]]:
    """Return the words' numbers, whether each is spelt (two letters, or one of a script without spaces), and the offsets."""
    keys, spelt, counts = [np.zeros(0, np.uint64)], [np.zeros(0, dtype=bool)], [np.zeros(1, np.int64)]
    for begin in range(0, len(texts), _TEXTS_AT_ONCE):
        part = texts[begin : begin + _TEXTS_AT_ONCE]
        words = hash_words(part)
        codes_C = np.frombuffer("".join(part).encode("utf-32-le", errors="replace"), dtype="<u4")
        before_N = np.cumsum([0, *map(len, part[:-1])])
        first_W = codes_C[words.begin_W + np.repeat(before_N, np.diff(words.offsets_N1))]
        digit_W = (first_W >= ord("0")) & (first_W <= ord("9"))
        keys.append(words.keys_W)
        spelt.append((words.end_W - words.begin_W > 1) & ~digit_W | (first_W >= _FIRST_SPACELESS))
        counts.append(np.diff(words.offsets_N1))
    return np.concatenate(keys), np.concatenate(spelt), np.cumsum(np.concatenate(counts))


def _different(keys_K: NDArray[np.uint64], grams: _Grams, texts_X: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of the texts whose words no earlier one has."""
    first: dict[bytes, int] = {}
    for text in texts_X.tolist():
        begin = grams.offsets_X[text]
        first.setdefault(keys_K[begin : begin + grams.count_X[text]].tobytes(), text)
    return np.array(list(first.values()), dtype=np.int64)


def _firsts(hash_G: NDArray[np.uint64], item_G: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places at which a gram stands for the first time in an item."""
    return np.unique(mix(hash_G + mix(item_G.astype(np.uint64))), return_index=True)[1]


def _same_items(items: Sequence[Item]) -> NDArray[np.int64]:
    """Return for each item the first one that has the same texts."""
    first: dict[tuple[tuple[str, ...], tuple[str, ...]], int] = {}
    return np.array([first.setdefault((item.questions, item.answers), number) for number, item in enumerate(items)], dtype=np.int64)


def _bitmap(anchors_G: NDArray[np.uint64]) -> NDArray[np.uint8]:
    bits = min(_MAX_BITS, max(10, (_BITS_PER_ANCHOR * len(anchors_G)).bit_length()))
    bitmap = np.zeros(2 ** (bits - 3), dtype=np.uint8)
    place_G = anchors_G >> np.uint64(64 - bits)
    np.bitwise_or.at(bitmap, place_G >> np.uint64(3), (1 << (place_G & np.uint64(7))).astype(np.uint8))
    return bitmap
