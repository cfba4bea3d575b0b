import ctypes
import mmap
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.errors import ArtifactError
from pellucid.shards.index import ShardFile, ShardIndex
from pellucid.shards.stream import TokenStream

Write = Callable[..., ShardIndex]
Expect = Callable[[list[str]], list[int]]

TEXTS = [f"{n} " * (n % 600) for n in range(120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_texts: Write) -> Path:
    out = tmp_path_factory.mktemp("shards") / "web" / "train"
    write_texts(TEXTS, out, shard_tokens=2000)
    return out


@pytest.fixture(scope="module")
def expected(expected_tokens: Expect) -> np.ndarray:
    return np.array(expected_tokens(TEXTS), np.uint16)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_window_equals_the_same_slice_of_all_tokens(folder: Path, expected: np.ndarray, data: st.DataObject) -> None:
    stream = TokenStream(folder)
    assert len(stream.index.files) > 5
    assert stream.tokens == len(expected)
    count = data.draw(st.integers(1, 20_000))
    starts = data.draw(st.lists(st.integers(0, len(expected) - count), max_size=9))
    many = stream.read_many(np.array(starts, np.int64), count)
    assert many.shape == (len(starts), count)
    assert many.dtype == np.uint16
    for row, start in zip(many, starts, strict=True):
        assert np.array_equal(row, expected[start : start + count])
        assert np.array_equal(stream.read(start, count), expected[start : start + count])


def test_one_file_gives_the_same_windows_as_many(tmp_path: Path, write_texts: Write, folder: Path) -> None:
    write_texts(TEXTS, tmp_path / "one", shard_tokens=10**9)
    one, many = TokenStream(tmp_path / "one"), TokenStream(folder)
    assert len(one.index.files) == 1
    starts = np.arange(0, one.tokens - 512, 511, dtype=np.int64)
    windows = one.read_many(starts, 512)
    assert np.array_equal(windows, many.read_many(starts, 512))
    windows[:] = 0  # a copy: the file is not touched
    assert np.array_equal(one.read_many(starts, 512), many.read_many(starts, 512))


def test_what_is_read_from_one_file_is_a_view_that_cannot_be_written(folder: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        TokenStream(folder).read(0, 10)[0] = 1


def test_every_token_knows_its_document(folder: Path) -> None:
    stream = TokenStream(folder)
    starts = stream.document_starts
    assert (stream.documents, len(starts), starts[-1]) == (len(TEXTS), len(TEXTS) + 1, stream.tokens)
    for number in (0, 1, 59, len(TEXTS) - 1):
        assert stream.document_at(int(starts[number])) == number
        assert stream.document_at(int(starts[number + 1]) - 1) == number
    assert stream.document_at(starts[:-1]).tolist() == list(range(len(TEXTS)))


def test_metadata_comes_in_the_order_that_was_asked_for(
    tmp_path: Path, write_texts: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.shards.part_files._GROUP_ROWS", 7)
    write_texts(TEXTS, tmp_path / "web" / "train")
    found = TokenStream(tmp_path / "web" / "train").metadata([100, 3, 3, 0])
    assert [document["id"] for document in found] == ["100", "3", "3", "0"]
    assert found[0]["text_bytes"] == len(TEXTS[100].encode())
    assert set(found[0]) == {"id", "language", "source", "licence", "origin", "digest", "text_bytes"}
    assert TokenStream(tmp_path / "web" / "train").metadata([]) == []


def test_a_stream_without_tokens_opens_and_says_so(tmp_path: Path, write_texts: Write) -> None:
    write_texts([], tmp_path / "web" / "heldout")
    stream = TokenStream(tmp_path / "web" / "heldout")
    assert (stream.tokens, stream.documents, stream.document_starts.tolist()) == (0, 0, [0])
    assert stream.read(0, 0).tolist() == []
    assert stream.read_many(np.empty(0, np.int64), 4).shape == (0, 4)
    with pytest.raises(AssertionError):
        stream.read(0, 1)


def test_reading_past_the_end_is_never_silent(folder: Path) -> None:
    stream = TokenStream(folder)
    for start, count in ((stream.tokens - 3, 4), (-1, 2)):
        with pytest.raises(AssertionError):
            stream.read(start, count)
        with pytest.raises(AssertionError):
            stream.read_many(np.array([0, start]), count)


@pytest.mark.parametrize("change", [-2, -1, 2])
def test_a_file_of_another_size_is_named_with_both_sizes_and_what_to_do(tmp_path: Path, write_texts: Write, change: int) -> None:
    out = tmp_path / "shards" / "web" / "train"
    write_texts(["abc", "def"], out)
    os.truncate(out / "00000.bin", 16 + change)
    with pytest.raises(
        ArtifactError, match=rf"00000\.bin has {16 + change} bytes; its index says 16 bytes; delete .*shards and run"
    ):
        TokenStream(out)
    (out / "00000.bin").unlink()
    with pytest.raises(ArtifactError, match=r"00000\.bin is missing; its index says 16 bytes"):
        TokenStream(out)


def test_document_starts_and_document_list_that_do_not_fit_are_named(tmp_path: Path, write_texts: Write) -> None:
    out = tmp_path / "shards" / "web" / "train"
    write_texts(["abc", "def"], out)
    starts = (out / "document_starts.npy").read_bytes()
    (out / "document_starts.npy").write_bytes(starts[:-8])
    with pytest.raises(ArtifactError, match=r"document_starts\.npy cannot be read"):
        _ = TokenStream(out).document_starts
    np.save(out / "document_starts.npy", np.array([0, 4, 9]))
    with pytest.raises(ArtifactError, match=r"holds 3 entries that end at 9; expected 3 that end at 8"):
        _ = TokenStream(out).document_starts
    (out / "documents.parquet").write_bytes(b"damaged")
    with pytest.raises(ArtifactError, match=r"documents\.parquet cannot be read"):
        TokenStream(out).metadata([0])


def test_opening_reads_no_tokens(tmp_path: Path) -> None:
    """Of a terabyte (a sparse file) only what is asked for is read, or this test would take an hour."""
    tokens = 1 << 39
    with (tmp_path / "00000.bin").open("wb") as file:
        file.truncate(2 * tokens)
    ShardIndex("uint16", (ShardFile("00000.bin", tokens),), tokens, 1, {"<|endoftext|>": 1}, tokens).write(tmp_path)
    stream = TokenStream(tmp_path)
    assert stream.read_many(np.array([0, tokens - 4096]), 4096).sum() == 0


def resident_frac(file: Path) -> float:
    """The share of a file's pages that are in memory (mincore), without touching them."""
    libc = ctypes.CDLL(None, use_errno=True)
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        pages = -(-len(mapped) // mmap.PAGESIZE)
        flags, start = (ctypes.c_ubyte * pages)(), ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        assert libc.mincore(ctypes.c_void_p(start), ctypes.c_size_t(len(mapped)), flags) == 0
        return sum(flag & 1 for flag in flags) / pages


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux which pages are in memory")
def test_what_is_announced_is_in_memory_before_it_is_read(tmp_path: Path, write_texts: Write) -> None:
    out = tmp_path / "web" / "train"
    write_texts([f"{n} " * 2000 for n in range(200)], out, shard_tokens=10**9)
    stream = TokenStream(out)
    file = out / stream.index.files[0].name
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    if resident_frac(file) > 0.1:
        pytest.skip("this file system keeps its pages in memory")
    stream.will_read(7, stream.tokens - 7)
    for _ in range(500):
        if resident_frac(file) > 0.9:
            break
        time.sleep(0.01)
    assert resident_frac(file) > 0.9


def test_any_window_may_be_announced(folder: Path) -> None:
    stream = TokenStream(folder)
    for start in (0, 1, 1999, 2000, stream.tokens - 1):
        stream.will_read(start, min(5000, stream.tokens - start))


def test_the_languages_of_all_documents_are_read_at_once(tmp_path: Path, folder: Path) -> None:
    codes, languages = TokenStream(folder).document_languages
    assert languages == ("en",) and codes.dtype == np.int16 and codes.shape == (len(TEXTS),)
    mixed = shutil.copytree(folder, tmp_path / "web" / "train")
    spoken = [("de", "en", None, "pt")[n % 4] if n < 90 else "" for n in range(len(TEXTS))]
    table = pq.read_table(mixed / "documents.parquet")
    table = table.set_column(table.schema.get_field_index("language"), "language", pa.array(spoken, pa.string()))
    pq.write_table(table, mixed / "documents.parquet", row_group_size=13)
    codes, languages = TokenStream(mixed).document_languages
    assert [languages[code] for code in codes] == [language or "" for language in spoken]
    assert len(set(languages)) == len(languages) == 4
    pq.write_table(table.slice(0, 50), mixed / "documents.parquet")
    with pytest.raises(ArtifactError, match="has 50 documents; expected 120"):
        _ = TokenStream(mixed).document_languages


def test_more_files_than_a_process_may_hold_open_are_read_by_letting_go_of_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pellucid.shards.stream._descriptors", lambda: 6)
    plain = TokenStream(folder)
    assert len(plain.index.files) > 6
    kept = [plain.read(start, 100) for start in range(0, plain.tokens - 100, 100)]
    descriptors = Path("/proc/self/fd")
    open_before = len(list(descriptors.iterdir())) if descriptors.is_dir() else 0
    stream = TokenStream(folder)
    again = [stream.read(start, 100).copy() for start in range(0, stream.tokens - 100, 100)]
    assert sum(file is not None for file in stream._maps) <= 3
    stream.will_read(0, 1000)
    assert all(np.array_equal(one, two) for one, two in zip(kept, again, strict=True))
    if open_before:
        assert len(list(descriptors.iterdir())) <= open_before + 4
