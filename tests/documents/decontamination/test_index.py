"""Which runs of words belong to which items, and that an index on disk is the index in memory."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.core.hashing import GOLDEN
from pellucid.documents.decontamination.index import NgramIndex, build_index, hash_runs, load_index
from pellucid.documents.decontamination.items import Item
from pellucid.recipe.documents import DecontaminateConfig

CONFIG = DecontaminateConfig(benchmarks=("x",), ngram_words=5, min_words=3, max_items=2)


def grams(index: NgramIndex) -> list[tuple[int, int]]:
    return sorted(zip(index.item_G.tolist(), index.words_G.tolist(), strict=True))


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(1, 15))
def test_the_hash_of_a_run_is_the_polynomial_of_its_words(keys: list[int], n: int) -> None:
    base = int(GOLDEN)
    expected = [
        sum(key * base ** (n - 1 - place) for place, key in enumerate(keys[at : at + n])) % 2**64 for at in range(len(keys) - n + 1)
    ]
    assert hash_runs(np.array(keys, dtype=np.uint64), n).tolist() == expected


def test_long_texts_have_their_runs_short_questions_themselves_and_short_answers_nothing() -> None:
    items = [
        Item("b", 0, ("one two three four five six seven", "alpha beta gamma"), ("short of words",)),
        Item("b", 1, ("too short",)),
    ]
    index = build_index(items, CONFIG)
    assert grams(index) == [(0, 3), (0, 5), (0, 5), (0, 5)]
    assert index.lost == (("b", 1),)


def test_words_that_many_items_share_are_nobodys_unless_nothing_else_is_left_of_a_long_question() -> None:
    prompt = "the following are multiple choice questions"
    items = [
        Item("b", number, (f"{prompt} {name} {name} {name} {name} {name}",)) for number, name in enumerate(["red", "blue", "green"])
    ]
    index = build_index([*items, Item("c", 0, (f"{prompt} (",))], CONFIG)
    # Five runs of each end with a name; the two runs of the prompt itself are shared by all four.
    assert grams(index) == [*((item, 5) for item in range(3) for _ in range(5)), (3, 6)]
    assert not index.lost


def test_a_long_question_that_many_items_are_is_told_once_and_none_of_them_is_lost() -> None:
    items = [
        Item("dyck", number, (f"complete the rest of the sequence {bracket}",), (f"row {number}",))
        for number, bracket in enumerate("([{<")
    ]
    index = build_index(items, CONFIG)
    assert grams(index) == [(0, 6)]
    assert not index.lost


def test_items_that_are_the_same_in_two_files_count_once() -> None:
    items = [Item(f"copy {number}", 0, ("never train on these words please",)) for number in range(5)]
    assert grams(build_index(items, CONFIG)) == [(item, 5) for item in range(5) for _ in range(2)]


def test_counting_and_alphabets_are_nobodys_but_ideographs_are_words() -> None:
    index = build_index(
        [Item("b", 0, ("answer",), ("1 2 3 4 5 6 7 8 a b c d e f g",)), Item("b", 1, ("为什么天空是蓝色的",))], CONFIG
    )
    assert grams(index) == [(1, 5)] * 5


def test_an_index_read_back_is_the_same_and_mapped(tmp_path: Path) -> None:
    index = build_index([Item("b/ü", 3, ("one two three four five six",)), Item("b", 1, ("x",))], CONFIG)
    index.save(tmp_path / "index")
    loaded = load_index(tmp_path / "index")
    for field in dataclasses.fields(NgramIndex):
        mine, other = getattr(index, field.name), getattr(loaded, field.name)
        if isinstance(mine, np.ndarray):
            assert isinstance(other, np.memmap)
            assert mine.dtype == other.dtype
            assert np.array_equal(mine, other)
        else:
            assert mine == other


def test_an_index_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    build_index([Item("b", 0, ("one two three four five six",))], CONFIG).save(tmp_path / "index")
    file = tmp_path / "index" / "keys_K.npy"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match="no whole index"):
        load_index(tmp_path / "index")


def test_an_index_without_items_is_empty() -> None:
    assert len(build_index([], CONFIG).anchors_G) == 0
