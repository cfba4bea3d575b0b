import errno
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError, DiskFullError
from pellucid.core.files import (
    disk_full_is_explained,
    fsync_tree,
    json_object,
    read_json,
    sha256_file,
    whole_lines,
    write_bytes,
    write_json,
)


def test_a_written_file_is_whole_and_leaves_no_temporary_neighbour(tmp_path: Path) -> None:
    write_bytes(tmp_path / "deep" / "file", b"abc")
    assert (tmp_path / "deep" / "file").read_bytes() == b"abc"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]


def test_equal_values_give_equal_json_bytes(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "y": [1.5]})
    write_json(tmp_path / "b", {"y": [1.5], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert read_json(tmp_path / "a") == {"x": 1, "y": [1.5]}


def test_reading_what_is_missing_or_no_json_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"gone\.json is missing"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"bad\.json is not JSON"):
        read_json(tmp_path / "bad.json")


def test_a_line_that_is_no_json_object_is_named_with_its_place() -> None:
    assert json_object(b'{"a": [1]}\n', Path("a.jsonl"), 1) == {"a": [1]}
    for line, what in ((b'{"a": 1', "is not JSON: "), (b"[1]\n", "is no JSON object"), (b"null", "is no JSON object")):
        with pytest.raises(ArtifactError, match=f"^run/a.jsonl, line 7 {what}"):
            json_object(line, Path("run/a.jsonl"), 7)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_words_and_other_errors_pass(tmp_path: Path, code: int) -> None:
    with pytest.raises(DiskFullError, match="nothing finished before is lost"), disk_full_is_explained(tmp_path):
        raise OSError(code, "full")
    with pytest.raises(PermissionError), disk_full_is_explained(tmp_path):
        raise PermissionError(errno.EACCES, "no")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_bytes(tmp_path / "file", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(DiskFullError):
        write_bytes(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_digest_and_flush_work_on_a_tree(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a" / "b", b"abc")
    fsync_tree(tmp_path)
    assert sha256_file(tmp_path / "a" / "b") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_lines_are_numbered_and_one_cut_short_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    assert list(whole_lines(file)) == []
    file.write_bytes(b"a\n\nb\nhalf")
    assert list(whole_lines(file)) == [(1, b"a\n"), (2, b"\n"), (3, b"b\n")]
