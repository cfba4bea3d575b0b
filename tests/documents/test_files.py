import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pellucid.core.errors import DataError
from pellucid.core.files import sha256_file
from pellucid.documents import files
from pellucid.documents.files import InputFile, file_digests, file_format, find_files, shown_name
from pellucid.recipe.data import SourceConfig

MakeSource = Callable[..., SourceConfig]


def names(source: SourceConfig, base: Path) -> list[str]:
    return [file.name for file in find_files(source, base)]


def touch(base: Path, *paths: str) -> None:
    for path in paths:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_text("x")


def test_a_glob_finds_files_in_the_order_of_their_names_and_only_once(tmp_path: Path, make_source: MakeSource) -> None:
    touch(tmp_path, "b/2.txt", "a/10.txt", "a/9.txt")
    assert names(make_source("**/*.txt"), tmp_path) == ["a/10.txt", "a/9.txt", "b/2.txt"]
    assert names(make_source(str(tmp_path / "a" / "*.txt")), tmp_path) == ["a/10.txt", "a/9.txt"]


def test_a_name_that_looks_like_a_glob_but_exists_is_taken_as_a_name(tmp_path: Path, make_source: MakeSource) -> None:
    touch(tmp_path, "notes [1].txt")
    (file,) = find_files(make_source("notes [1].txt"), tmp_path)
    assert (file.path, file.name, file.bytes) == (str(tmp_path / "notes [1].txt"), "notes [1].txt", 1)


def test_a_folder_stands_for_its_data_without_what_lies_beside_it(tmp_path: Path, make_source: MakeSource) -> None:
    touch(tmp_path, "d/b/1.jsonl", "d/a.parquet", "d/README.md", "d/LICENSE.txt", "d/_SUCCESS", "d/.git/x.txt", "d/_tmp/y.txt")
    touch(tmp_path, "d/dataset_info.json", "d/.a.parquet.crc")
    assert names(make_source("d"), tmp_path) == ["d/a.parquet", "d/b/1.jsonl"]
    touch(tmp_path, "d/c.exe")
    with pytest.raises(DataError, match=r"no reader for .*c\.exe"):
        find_files(make_source("d/"), tmp_path)


def test_a_file_outside_the_recipes_folder_is_named_from_where_its_source_begins(tmp_path: Path, make_source: MakeSource) -> None:
    assert shown_name(Path("/elsewhere/deep/a.txt"), tmp_path) == "a.txt"
    touch(tmp_path, "out/deep/a.txt", "out/deep/b/a.txt", "recipes/r.yaml")
    base = tmp_path / "recipes"
    assert names(make_source("../out/*/a.txt"), base) == ["../out/deep/a.txt"]
    out = tmp_path / "out"
    assert names(make_source(str(out / "deep/a.txt")), base) == ["a.txt"]
    assert names(make_source(str(out / "*/a.txt")), base) == ["deep/a.txt"]
    for path in (out / "deep", out / "deep/**/*.txt"):
        assert sorted(names(make_source(str(path)), base)) == ["a.txt", "b/a.txt"], path


def test_no_match_names_the_source_the_pattern_and_the_folder(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(DataError, match=r"source 'wiki' is empty: no file matches '\*\.parquet'") as caught:
        find_files(make_source("*.parquet", name="wiki"), tmp_path)
    assert str(tmp_path) in str(caught.value)
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="put files into it"):
        find_files(make_source("folder/"), tmp_path)


def test_a_source_without_a_path_is_told_where_its_text_is(tmp_path: Path, make_source: MakeSource) -> None:
    with pytest.raises(DataError, match="on the hub as owner/name"):
        find_files(make_source(None, hub="owner/name"), tmp_path)


def test_a_file_of_an_unknown_kind_names_the_kinds_that_are_known(tmp_path: Path, make_source: MakeSource) -> None:
    touch(tmp_path, "a.docx")
    with pytest.raises(DataError, match=r"no reader for .*a\.docx; known are \.txt, .*\.jsonl"):
        find_files(make_source("a.*"), tmp_path)


def test_the_format_goes_by_the_ending_also_of_what_is_packed_and_of_urls() -> None:
    kinds = {"a.TXT": "txt", "a.md.gz": "txt", "a.jsonl.zst": "jsonl", "a.ndjson.bz2": "jsonl", "a.json.xz": "json", "a.tsv": "csv"}
    kinds |= {"a.feather": "arrow", "a.HTM": "html", "https://x.org/a.csv?download=true": "csv"}
    assert {name: file_format(name) for name in kinds} == kinds
    assert file_format("a.parquet.gz") is None
    assert file_format("gz") is None


def test_a_change_of_a_file_shows_in_what_it_is_known_by(
    tmp_path: Path, make_source: MakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.txt")
    (file,) = find_files(make_source("a.txt"), tmp_path)
    assert file_digests({"n": file}) == {"n": sha256_file(tmp_path / "a.txt")}
    monkeypatch.setattr(files, "DIGEST_LIMIT_BYTES", 0)
    before = file_digests({"n": file})
    os.utime(tmp_path / "a.txt", ns=(1, 1))
    assert file_digests({"n": find_files(make_source("a.txt"), tmp_path)[0]}) == {"n": "1@1"} != before


def test_files_behind_urls_are_found_by_name_folder_and_glob(tmp_path: Path, make_source: MakeSource) -> None:
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.pipe({"/files/b/2.jsonl": b"{}", "/files/a/1.jsonl": b"{}\n", "/files/README.md": b"x", "/files/a/_log/x.txt": b"x"})
    try:
        both = ["memory:///files/a/1.jsonl", "memory:///files/b/2.jsonl"]
        for path in ("memory://files", "memory://files/*/*.jsonl"):
            assert [file.path for file in find_files(make_source(path), tmp_path)] == both
        (file,) = find_files(make_source("memory://files/a/1.jsonl"), tmp_path)
        assert (file.name, file.bytes) == (both[0], 3)
        before = file_digests({"n": file})
        store.pipe("/files/a/1.jsonl", b"{}\n\n")
        assert file_digests({"n": find_files(make_source("memory://files/a/1.jsonl"), tmp_path)[0]}) != before
        with pytest.raises(DataError, match=r"source 'web' is empty: nothing is at memory://files/\*\.txt"):
            find_files(make_source("memory://files/*.txt"), tmp_path)
        with pytest.raises(DataError, match="nosuch://x cannot be reached"):
            find_files(make_source("nosuch://x"), tmp_path)
    finally:
        store.rm("/files", recursive=True)
    touch(tmp_path, "a.txt")
    (local,) = find_files(make_source(f"file://{tmp_path}/a.txt"), tmp_path)
    assert local.path == f"file://{tmp_path}/a.txt"


def test_an_input_file_is_a_small_value() -> None:
    assert InputFile("/a", "a", 1) == InputFile("/a", "a", 1, "")


@pytest.mark.parametrize("path", ["caf*", "file://{base}/caf*"])
def test_a_name_that_is_not_utf8_is_shown_with_its_bytes_written_out(tmp_path: Path, make_source: MakeSource, path: str) -> None:
    if "://" in path:
        pytest.importorskip("fsspec")
    try:
        Path(tmp_path, os.fsdecode(b"caf\xe9.jsonl")).write_bytes(b"{}")
    except OSError:
        pytest.skip("this file system takes no such names")
    touch(tmp_path, "caf\u00e9.jsonl")
    shown = [file.name.rpartition("/")[2] for file in find_files(make_source(path.format(base=tmp_path)), tmp_path)]
    assert sorted(shown) == ["caf\\xe9.jsonl", "caf\u00e9.jsonl"]
