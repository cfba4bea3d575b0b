import gzip
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from pellucid.core.errors import DataError
from pellucid.documents.files import find_files, not_utf8, open_bytes, reading_is_explained, shown_name
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]


def test_a_glob_finds_files_in_the_order_of_their_names_and_only_once(tmp_path: Path, make_source: MakeSource) -> None:
    for name in ("b/2.txt", "a/10.txt", "a/9.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = find_files(make_source("**/*.txt"), tmp_path)
    assert [shown_name(file, tmp_path) for file in found] == ["a/10.txt", "a/9.txt", "b/2.txt"]
    assert find_files(make_source(str(tmp_path / "a" / "*.txt")), Path("/")) == found[:2]


def test_a_name_that_looks_like_a_glob_but_exists_is_taken_as_a_name(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "notes [1].txt").write_text("x")
    assert find_files(make_source("notes [1].txt"), tmp_path) == [tmp_path / "notes [1].txt"]


def test_a_file_outside_the_recipes_folder_shows_its_name_alone(tmp_path: Path) -> None:
    assert shown_name(Path("/elsewhere/deep/a.txt"), tmp_path) == "a.txt"


def test_no_match_names_the_source_the_pattern_and_the_folder(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(DataError, match=r"source 'wiki' is empty: no file matches '\*\.parquet'") as caught:
        find_files(make_source("*.parquet", name="wiki"), tmp_path)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=r"give path as folder/\*\.parquet"):
        find_files(make_source("folder/"), tmp_path)


def test_a_source_without_a_path_is_told_where_its_text_is(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(DataError, match="on the hub as owner/name"):
        find_files(make_source(None, hub="owner/name"), tmp_path)


def test_a_file_of_an_unknown_kind_names_the_kinds_that_are_known(tmp_path: Path, make_source: MakeSource) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(DataError, match=r"no reader for .*a\.csv; known are \.txt, \.jsonl"):
        find_files(make_source("a.*"), tmp_path)


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_plain_and_packed_files_give_the_same_lines(tmp_path: Path, ending: str) -> None:
    lines = [b"%d\n" % n for n in range(10_000)]
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[ending]
    half = len(lines) // 2
    file = tmp_path / f"a.jsonl{ending}"
    file.write_bytes(pack(b"".join(lines[:half])) + pack(b"".join(lines[half:])))  # two members, as `cat a.gz b.gz` makes
    with open_bytes(file) as stream:
        assert list(stream) == lines


@pytest.mark.parametrize(("ending", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_a_packed_file_that_was_cut_short_is_named(
    tmp_path: Path, make_source: MakeSource, ending: str, pack: Callable[[bytes], bytes]
) -> None:
    data = pack(b"".join(b'{"text": "%d"}\n' % (n * n) for n in range(10_000)))
    file = tmp_path / f"cut.jsonl{ending}"
    file.write_bytes(data[: len(data) // 2])
    with (
        pytest.raises(DataError, match=rf"source 'web': .*cut\.jsonl{ending} cannot be read"),
        reading_is_explained(make_source("*"), file),
        open_bytes(file) as stream,
    ):
        list(stream)


@pytest.mark.parametrize(("ending", "pack"), [("", bytes), (".gz", gzip.compress)])
@pytest.mark.parametrize(("encoding", "wide"), [("WINDOWS-1252", False), ("UTF-16", True)])
def test_the_command_that_is_offered_makes_the_file_utf8(
    tmp_path: Path, make_source: MakeSource, ending: str, pack: Callable[[bytes], bytes], encoding: str, wide: bool
) -> None:
    if shutil.which("iconv") is None:
        pytest.skip("iconv is not installed")
    file = tmp_path / f"a file.jsonl{ending}"
    file.write_bytes(pack("Grüße".encode(encoding.lower())))
    error = not_utf8(make_source("*"), file, 3, 17, 0xFC, wide=wide)
    assert "line 3, byte offset 17" in str(error)
    assert "0xfc" in str(error)
    subprocess.run(str(error).rpartition("is another): ")[2], shell=True, check=True)
    with open_bytes(file.with_name(f"utf8.{file.name}")) as stream:
        assert stream.read().decode() == "Grüße"
