from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import UsageError
from pellucid.shards.ngrams import NgramIndex, NotWantedError, build_index
from pellucid.shards.stream import TokenStream
from pellucid.shards.verbatim import find_runs

Write = Callable[..., Any]


def index_of(texts: list[str], folder: Path, write_texts: Write, **more: Any) -> NgramIndex:
    write_texts(texts, folder / "train", **more)
    stream = TokenStream(folder / "train")
    build_index(stream, folder / "index")
    return NgramIndex.open(folder / "index", stream)


def naive(ids: list[int], splits: list[list[list[int]]], shortest: int) -> list[tuple[int, int, list[tuple[int, int]]]]:
    """All maximal runs by trying everything: (begin, end, [(split, token), …]), tokens counted as the shards have them."""
    held = {}  # (begin, end) → places, for the longest at each begin
    for begin in range(len(ids)):
        best, places = 0, []
        for split, documents in enumerate(splits):
            start = 0
            for document in documents:
                for at in range(len(document)):
                    length = 0
                    while (
                        begin + length < len(ids) and at + length < len(document) and ids[begin + length] == document[at + length]
                    ):
                        length += 1
                    if length > best:
                        best, places = length, []
                    if length == best and length:
                        places.append((split, start + at))
                start += len(document) + 1
        if best >= shortest:
            held[begin, begin + best] = sorted(places)
    inside = {one for one in held for other in held if other != one and other[0] <= one[0] and one[1] <= other[1]}
    return [(*span, places) for span, places in sorted(held.items()) if span not in inside]


def found(
    ids: list[int], indexes: list[NgramIndex], shortest: int = 8, **more: Any
) -> list[tuple[int, int, list[tuple[int, int]]]]:
    runs = find_runs(ids, indexes, shortest, **more).runs
    return [(run.begin, run.end, [(split, at) for split, places in run.places for at in places.tolist()]) for run in runs]


# Few letters and pieces that come again, so that texts have much in common.
PIECE = st.sampled_from(["abcdefgh", "hgfedcba", "aaaaaaaaaaa", "abab", "the river is ", "é", "x", "abcdefghi", " \n"])
TEXT = st.lists(PIECE | st.text("abc", max_size=6), max_size=9).map("".join)


@settings(max_examples=120, deadline=None)
@given(
    splits=st.lists(st.lists(TEXT, min_size=1, max_size=6), min_size=1, max_size=2),
    answer=TEXT,
    shortest=st.integers(8, 12),
    shard_tokens=st.sampled_from([1024, 1_000_000]),
)
def test_what_is_found_is_what_trying_everything_finds(
    write_texts: Write, splits: list[list[str]], answer: str, shortest: int, shard_tokens: int
) -> None:
    with TemporaryDirectory() as folder:
        indexes = [index_of(texts, Path(folder, str(n)), write_texts, shard_tokens=shard_tokens) for n, texts in enumerate(splits)]
        ids = list(answer.encode())
        plain = [[list(text.encode()) for text in texts] for texts in splits]
        assert found(ids, indexes, shortest) == naive(ids, plain, shortest)


def test_a_cut_from_any_place_of_any_document_is_found_whole(tmp_path: Path, write_texts: Write) -> None:
    draw = np.random.default_rng(1)
    texts = ["".join(map(chr, draw.integers(33, 126, size))) for size in draw.integers(0, 900, 60)]
    index = index_of(texts, tmp_path, write_texts)
    assert len(index.stream.index.files) > 10, "what is looked for lies in many files"
    starts = index.stream.document_starts.tolist()
    for number, text in enumerate(texts):
        for begin, size in ((0, 8), (1, 8), (2, 9), (3, 11), (len(text) - 8, 8), (0, len(text))):
            if begin >= 0 and begin + size <= len(text) and size >= 8:
                cut = list(text[begin : begin + size].encode())
                assert found(cut, [index]) == [(0, size, [(0, starts[number] + begin)])]


def test_nothing_is_found_across_the_end_of_a_document_nor_through_its_end_mark(tmp_path: Path, write_texts: Write) -> None:
    texts = ["abcdefg", "hijklmn", "abcdefgh"]
    index = index_of(texts, tmp_path, write_texts)
    everything = index.stream.read(0, index.stream.tokens).tolist()
    assert [end - begin for begin, end in pairwise(index.stream.document_starts.tolist())] == [8, 8, 9]
    assert found(everything, [index]) == [(16, 24, [(0, 16)])]
    assert found(list(b"abcdefghijklmn"), [index]) == [(0, 8, [(0, 16)])]


def test_common_phrases_are_passed_over_when_there_are_too_many_and_it_is_said(tmp_path: Path, write_texts: Write) -> None:
    index = index_of(["a" * 3000, "the one rare phrase"], tmp_path, write_texts)
    answer = list(b"a" * 20 + b"the one rare phrase")
    told = find_runs(answer, [index], most_places=2000)
    assert not told.complete and (20, 39) in [(run.begin, run.end) for run in told.runs]
    whole = find_runs(answer, [index])
    assert whole.complete and [(run.begin, run.end) for run in whole.runs] == [(0, 20), (20, 39)]
    assert len(whole.runs[0].places[0][1]) == 3000 - 20 + 1


def test_many_matches_are_thinned_on_the_way(tmp_path: Path, write_texts: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    index = index_of(["ab" * 40, "a" * 200, "cab" * 30] * 3, tmp_path, write_texts)
    ids = list(b"abababababababab" + b"aaaaaaaaaaaa" + b"cabcabcabcab")
    expected = found(ids, [index])
    monkeypatch.setattr("pellucid.shards.verbatim._COMPACT_FROM", 10)
    monkeypatch.setattr("pellucid.shards.verbatim._CHUNK", 7)
    assert found(ids, [index]) == expected and len(expected) >= 3


def test_runs_too_short_for_the_index_and_look_ups_that_nobody_wants_are_refused(tmp_path: Path, write_texts: Write) -> None:
    index = index_of(["abcdefghij"], tmp_path, write_texts)
    with pytest.raises(UsageError, match="at least 8"):
        find_runs(list(b"abcdefghij"), [index], 7)
    with pytest.raises(NotWantedError):
        find_runs(list(b"abcdefghij"), [index], is_wanted=lambda: False)
    assert find_runs([], [index]).runs == find_runs([1, 2], [index]).runs == ()


def test_a_look_up_that_would_take_long_can_be_given_up_in_the_middle(tmp_path: Path, write_texts: Write) -> None:
    index = index_of(["a" * 4000], tmp_path, write_texts)
    asked = []

    def is_wanted() -> bool:
        asked.append(None)
        return len(asked) < 10

    with pytest.raises(NotWantedError):
        find_runs(list(b"a" * 3000), [index], is_wanted=is_wanted)
    assert len(asked) == 10
