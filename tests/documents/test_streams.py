import bz2
import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from pellucid.core.errors import DataError, MissingExtraError
from pellucid.documents.streams import CutShortError, chunks, filesystem, is_corruption, open_raw, packing

Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": lambda data: bz2.compress(data, 1),
    ".xz": lzma.compress,
}
LINES = [b'{"text": "%d"}\n' % (n * n * 7919 % 1_000_003) for n in range(30_000)]


def delivered(path: Path, size: int) -> tuple[bytes, str]:
    data = b""
    try:
        for part in chunks(str(path), size=size):
            data += part
    except CutShortError as error:
        return data, str(error)
    return data, ""


@pytest.mark.parametrize("ending", ["", *PACKERS])
def test_plain_and_packed_files_give_the_same_bytes_also_when_several_were_joined(tmp_path: Path, ending: str) -> None:
    pack = PACKERS.get(ending, bytes)
    file = tmp_path / f"a.jsonl{ending}"
    file.write_bytes(pack(b"".join(LINES[:9])) + pack(b"".join(LINES[9:])))  # two members, as `cat a.gz b.gz` makes
    assert delivered(file, 1 << 16) == (b"".join(LINES), "")


@pytest.mark.parametrize("ending", PACKERS)
def test_all_that_a_cut_stream_still_gives_is_delivered_whatever_the_chunks(tmp_path: Path, ending: str) -> None:
    whole = b"".join(LINES)
    packed = PACKERS[ending](whole)
    file = tmp_path / f"cut.jsonl{ending}"
    file.write_bytes(packed[: len(packed) * 2 // 3])
    results = {delivered(file, size) for size in (1 << 20, 5_000)}
    ((data, message),) = results
    assert message
    assert whole.startswith(data)
    assert len(data) > len(whole) // 4  # zstd and bz2 give whole blocks of 100 kB and more; this text is a few of them


@pytest.mark.parametrize("ending", PACKERS)
def test_flipped_bytes_in_a_packed_file_are_found(tmp_path: Path, ending: str) -> None:
    packed = bytearray(PACKERS[ending](b"".join(LINES)))
    middle = len(packed) // 2
    packed[middle : middle + 40] = b"\xff" * 40
    file = tmp_path / f"bad.jsonl{ending}"
    file.write_bytes(packed)
    assert delivered(file, 1 << 20)[1]


@pytest.mark.parametrize("ending", [".gz", ".zst", ".xz"])
@pytest.mark.parametrize("count", [9, 30_000])
def test_a_wrong_checksum_shows_after_all_that_it_is_about(tmp_path: Path, ending: str, count: int) -> None:
    whole = b"".join(LINES[:count])
    if ending == ".gz":
        packed, at = bytearray(gzip.compress(whole)), -8
    elif ending == ".zst":
        packed, at = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(whole)), -1
    else:
        # The file's end is 12 bytes of footer and an index of 8 to 16; the check of 4 bytes stands before it.
        packed = bytearray(lzma.compress(whole, check=lzma.CHECK_CRC32))
        at = -12 - 4 * (int.from_bytes(packed[-8:-4], "little") + 1) - 1
    packed[at] ^= 0x55
    file = tmp_path / f"bad.jsonl{ending}"
    file.write_bytes(packed)
    for size in (1 << 20, 5_000):
        data, message = delivered(file, size)
        assert message
        assert data == whole


def test_a_file_that_is_not_packed_at_all_is_cut_short_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(b"plain text")
    data, message = delivered(tmp_path / "a.gz", 1 << 20)
    assert data == b""
    assert "header" in message


def test_a_plain_file_can_be_read_from_any_byte(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"0123456789")
    assert b"".join(chunks(str(tmp_path / "a.txt"), 4, 3)) == b"456789"


def test_a_missing_file_is_an_error_and_not_damage(tmp_path: Path) -> None:
    for name in ("none.jsonl", "none.jsonl.gz"):
        with pytest.raises(DataError, match=r"none\.jsonl.* cannot be read \(FileNotFoundError"):
            list(chunks(str(tmp_path / name)))
    assert not is_corruption(FileNotFoundError(2, "gone"))
    assert not is_corruption(ConnectionResetError())
    assert is_corruption(OSError("Truncated compressed stream"))
    assert is_corruption(EOFError())
    assert not is_corruption(pa.ArrowMemoryError("no room"))


def test_urls_are_read_in_place_from_any_byte_and_failures_are_not_taken_for_damage(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    packed = gzip.compress(b"".join(LINES))
    store.pipe({"/streams/a.jsonl": b"".join(LINES), "/streams/a.jsonl.gz": packed})
    try:
        assert b"".join(chunks("memory://streams/a.jsonl", 16)) == b"".join(LINES)[16:]
        assert b"".join(chunks("memory://streams/a.jsonl.gz")) == b"".join(LINES)
        with pytest.raises(DataError, match=r"memory://streams/gone\.jsonl cannot be read .* run again"):
            list(chunks("memory://streams/gone.jsonl"))
        with pytest.raises(DataError, match="cannot be reached"), open_raw("nosuch://a"):
            pass

        class Breaking:
            """A store's file whose connection is lost after the first bytes, which is an OSError like a decoder's."""

            def __init__(self) -> None:
                self.given = False

            def read(self, size: int) -> bytes:
                if self.given:
                    raise OSError("Connection lost")
                self.given = True
                return packed[:5000]

            def __enter__(self) -> "Breaking":
                return self

            def __exit__(self, *_: object) -> None: ...

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(store), "open", lambda *_, **__: Breaking())
            with pytest.raises(DataError, match="Connection lost"):
                list(chunks("memory://streams/a.jsonl.gz"))
    finally:
        store.rm("/streams", recursive=True)


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"reading s3://bucket/a needs the package fsspec; .*pellucid\[remote\]"):
        filesystem("s3://bucket/a")


def test_packing_goes_by_the_last_ending() -> None:
    assert [packing(name) for name in ("a.jsonl", "a.GZ", "a.tar.zst", "a.bz2", "a.xz")] == [None, "gzip", "zstd", "bz2", "xz"]
