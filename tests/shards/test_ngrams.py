from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.core.errors import ArtifactError
from pellucid.shards import ngrams
from pellucid.shards.ngrams import GRAM_TOKENS, NgramIndex, NotWantedError, build_index, hash_grams
from pellucid.shards.stream import TokenStream

TEXTS = [f"document {n} says {n * n % 97} words and {'no' * (n % 5)} more, " * (n % 7) for n in range(200)]


@pytest.fixture
def stream(tmp_path: Path, write_texts: Callable[..., Any]) -> TokenStream:
    write_texts(TEXTS, tmp_path / "train")
    return TokenStream(tmp_path / "train")


def places_by_gram(stream: TokenStream) -> dict[tuple[int, ...], list[int]]:
    """Every fourth place by its five tokens, said plainly."""
    tokens = stream.read(0, stream.tokens).tolist()
    found: dict[tuple[int, ...], list[int]] = {}
    for at in range(0, len(tokens) - 4, 4):
        found.setdefault(tuple(tokens[at : at + 5]), []).append(at)
    return found


@pytest.mark.parametrize("in_memory", [1 << 22, 100], ids=["one part", "many parts"])
def test_every_place_is_found_by_its_tokens_however_many_parts_were_sorted(
    stream: TokenStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(ngrams, "_IN_MEMORY", in_memory)
    monkeypatch.setattr(ngrams, "_CHUNK", 999)
    assert len(stream.index.files) > 10
    done: list[float] = []
    build_index(stream, tmp_path / "index", done.append)
    assert sum(done) == pytest.approx(stream.tokens, abs=8)
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["buckets.u4", "places.u4"]
    index = NgramIndex.open(tmp_path / "index", stream)
    expected = places_by_gram(stream)
    assert sorted(index.places.tolist()) == list(range(sum(map(len, expected.values()))))
    false = 0
    for gram, places in expected.items():
        first, end = index.ranges(hash_grams(np.array(gram)))
        found = index.tokens_at(int(first[0]), int(end[0])).tolist()
        assert found == sorted(found) and set(places) <= set(found)
        false += len(found) - len(places)
    assert false < 4 * len(expected), "a bucket holds a few places of other tokens, not many"


def test_parts_and_chunks_change_no_byte(stream: TokenStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_index(stream, tmp_path / "one")
    monkeypatch.setattr(ngrams, "_IN_MEMORY", 64)
    monkeypatch.setattr(ngrams, "_CHUNK", 77)
    build_index(stream, tmp_path / "many")
    for name in ("buckets.u4", "places.u4"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


@pytest.mark.parametrize("texts", [[], ["abc"], ["abcd"], ["abcdefgh"]])
def test_splits_of_next_to_nothing_have_an_index(tmp_path: Path, write_texts: Callable[..., Any], texts: list[str]) -> None:
    write_texts([*texts, "", "x"], tmp_path / "train")
    stream = TokenStream(tmp_path / "train")
    build_index(stream, tmp_path / "index")
    index = NgramIndex.open(tmp_path / "index", stream)
    assert len(index.places) == max(0, (stream.tokens - GRAM_TOKENS) // 4 + 1)


def test_hashes_are_of_the_window_alone() -> None:
    tokens = np.random.default_rng(0).integers(0, 1 << 17, 1000).astype(np.uint32)
    hashes = hash_grams(tokens)
    assert len(hashes) == len(np.unique(hashes)) == 996
    assert np.array_equal(hashes[::4], hash_grams(tokens, 4))
    assert all(hashes[at] == hash_grams(tokens[at : at + 5].astype(np.int64))[0] for at in (0, 7, 995))
    assert len(hash_grams(tokens[:4])) == 0


def test_a_damaged_index_or_one_of_another_split_is_refused(
    stream: TokenStream, tmp_path: Path, write_texts: Callable[..., Any]
) -> None:
    build_index(stream, tmp_path / "index")
    write_texts(TEXTS[:100], tmp_path / "other")
    with pytest.raises(ArtifactError, match="bytes; the index of"):
        NgramIndex.open(tmp_path / "index", TokenStream(tmp_path / "other"))
    (tmp_path / "index" / "places.u4").unlink()
    with pytest.raises(ArtifactError, match=r"places\.u4 is missing"):
        NgramIndex.open(tmp_path / "index", stream)


def test_an_index_that_nobody_wants_is_given_up_and_leaves_no_parts(stream: TokenStream, tmp_path: Path) -> None:
    with pytest.raises(NotWantedError):
        build_index(stream, tmp_path / "index", is_wanted=lambda: False)
    assert not list((tmp_path / "index").glob(".*"))
