import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.core.artifacts import Key, building, find_faults
from pellucid.core.errors import DataError, DiskFullError
from pellucid.shards import part_files, writer
from pellucid.shards.index import ShardIndex
from pellucid.shards.stream import TokenStream

Write = Callable[..., ShardIndex]
Expect = Callable[[list[str]], list[int]]


def append_eos_too(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    lengths = [len(text) + 1 for text in texts]
    ids = np.array([token for text in texts for token in (*text.encode(), 256)], np.uint32)
    return ids, np.cumsum([0, *lengths], dtype=np.int64)


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(alphabet="aé", max_size=3000) | st.text(max_size=5), max_size=12),
    batch_chars=st.sampled_from([1, 100, 5000]),
)
def test_every_document_is_in_the_shards_once_in_order_with_one_eos(
    write_texts: Write, expected_tokens: Expect, texts: list[str], batch_chars: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "_BATCH_CHARS", batch_chars)
        out = Path(folder) / "web" / "train"
        index = write_texts(texts, out)
        expected = expected_tokens(texts)
        assert index == ShardIndex.read(out)
        assert (index.tokens, index.documents) == (len(expected), len(texts))
        assert index.special_counts == {"<|endoftext|>": len(texts), "<|im_start|>": 0}
        assert index.text_bytes == sum(len(text.encode()) for text in texts) == index.tokens - index.documents
        stored = [np.fromfile(out / file.name, "<u2") for file in index.files]
        assert np.concatenate([np.empty(0, np.uint16), *stored]).tolist() == expected
        ends = np.cumsum([len(text.encode()) + 1 for text in texts])
        assert np.load(out / "document_starts.npy").tolist() == [0, *ends.tolist()]
        closed = np.cumsum([len(file) for file in stored])
        assert set(closed.tolist()) <= set(ends.tolist()), "files end where documents end"
        longest = max((len(text.encode()) + 1 for text in texts), default=0)
        assert all(1024 <= len(file) < 1024 + longest for file in stored[:-1])
        assert pq.read_table(out / "documents.parquet").column("id").to_pylist() == [str(n) for n in range(len(texts))]


def test_batches_do_not_show_in_the_tokens_and_writing_twice_gives_the_same_bytes(
    tmp_path: Path, write_texts: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [f"document {n} " * (n % 7) for n in range(500)]
    for name, chars in (("a", 1 << 22), ("b", 1 << 22), ("c", 50)):
        monkeypatch.setattr(writer, "_BATCH_CHARS", chars)
        write_texts(texts, tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


def test_a_vocabulary_over_65536_is_stored_in_four_bytes(tmp_path: Path, write_texts: Write) -> None:
    def encode_high(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
        return np.full(3 * len(texts), 100_000, np.uint32), np.arange(len(texts) + 1, dtype=np.int64) * 3

    index = write_texts(["a", "b"], tmp_path / "web" / "train", encode_high, vocab=100_352)
    assert index.dtype == "uint32"
    assert TokenStream(tmp_path / "web" / "train").read(0, 8).tolist() == [100_000] * 3 + [256] + [100_000] * 3 + [256]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encode": append_eos_too}, "inside 3 encoded documents.*the encoder appends EOS itself"),
        ({"vocab": 258, "max_special_frac": 0.05}, r"web/train: 25\.00 % of 12 tokens are special .* the limit is 5\.00 %"),
        (
            {"encode": lambda texts: (np.full(len(texts), 999, np.uint32), np.arange(len(texts) + 1))},
            "document '0' has token id 999; the vocabulary has 258 ids",
        ),
    ],
)
def test_implausible_tokens_are_refused_and_leave_no_index(
    tmp_path: Path, write_texts: Write, settings: dict[str, Any], message: str
) -> None:
    out = tmp_path / "web" / "train"
    with pytest.raises(DataError, match=message):
        write_texts(["abc", "def", "ghi"], out, **settings)
    assert not (out / "index.json").exists()


def test_special_token_text_in_a_document_is_plain_text(tmp_path: Path, write_texts: Write) -> None:
    index = write_texts(["a <|endoftext|> b"], tmp_path / "web" / "train")
    assert index.special_counts["<|endoftext|>"] == 1


def test_documents_of_one_byte_and_of_fifty_megabytes_are_written_whole(tmp_path: Path, write_texts: Write) -> None:
    index = write_texts(["x", "y" * 50_000_000, "z"], tmp_path / "web" / "train", shard_tokens=1_000_000)
    assert [file.tokens for file in index.files] == [50_000_003, 2]
    stream = TokenStream(tmp_path / "web" / "train")
    assert stream.read(0, 4).tolist() == [ord("x"), 256, ord("y"), ord("y")]
    assert stream.read(stream.tokens - 3, 3).tolist() == [256, ord("z"), 256]


def test_what_a_killed_call_left_is_replaced(tmp_path: Path, write_texts: Write) -> None:
    out = tmp_path / "web" / "train"
    out.mkdir(parents=True)
    (out / "00007.bin").write_bytes(b"left over")
    write_texts(["abc"], out)
    assert sorted(path.name for path in out.iterdir()) == ["00000.bin", "document_starts.npy", "documents.parquet", "index.json"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, where the tests may mount one."""
    mount = shutil.which("mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [mount or "", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if mount is None or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_explained_and_nothing_looks_whole(small_disk: Path, write_texts: Write) -> None:
    path = small_disk / "shards"
    with (
        pytest.raises(DiskFullError, match=r"no room left while writing .*shards; nothing finished before is lost"),
        building(path, Key("shards", 1, 0, {})) as build,
    ):
        write_texts(["x" * 1000 for _ in range(2000)], build.path / "web" / "train")
    assert not path.exists()
    assert not (build.path / "web" / "train" / "index.json").exists()


def test_a_disk_that_fills_up_is_explained_where_no_small_one_can_be_mounted(
    tmp_path: Path, write_texts: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, ids: np.ndarray, ends: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(part_files.TokenFiles, "write", full)
    with pytest.raises(DiskFullError), building(tmp_path / "shards", Key("shards", 1, 0, {})) as build:
        write_texts(["abc"], build.path / "web" / "train")


def test_an_altered_byte_is_found_by_the_artifacts_own_digests(tmp_path: Path, write_texts: Write) -> None:
    path = tmp_path / "shards"
    with building(path, Key("shards", 1, 0, {})) as build:
        write_texts(["abc", "def"], build.path / "web" / "train")
    assert find_faults(path) == []
    file = path / "web" / "train" / "00000.bin"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    assert [str(file) in fault for fault in find_faults(path)] == [True]
