import json
from hashlib import sha256
from pathlib import Path

import pytest

from pellucid.core.errors import ArtifactError, UsageError
from pellucid.release.folder import building_release, copy_checked


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = tmp_path / "runs" / "x"
    run.mkdir(parents=True)
    return run


def make(out: Path, run: Path, identity: str = "a", *, force: bool = False, text: str = "new") -> None:
    with building_release(out, run, identity, force=force) as part:
        (part / "release.json").write_text(json.dumps({"run": identity}))
        (part / "file").write_text(text)


def test_a_release_is_there_whole_or_not_at_all(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "deep" / "out"
    with pytest.raises(RuntimeError), building_release(out, run, "a", force=False) as part:
        (part / "half").write_text("x")
        raise RuntimeError
    assert not out.exists() and list(out.parent.iterdir()) == []
    make(out, run)
    assert (out / "file").read_text() == "new" and [one.name for one in out.parent.iterdir()] == ["out"]


def test_a_failed_second_release_leaves_the_first(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "out"
    make(out, run, text="first")
    with pytest.raises(RuntimeError), building_release(out, run, "a", force=False):
        raise RuntimeError
    assert (out / "file").read_text() == "first"
    make(out, run, text="second")
    assert (out / "file").read_text() == "second"


def test_what_is_no_release_of_this_run_is_not_replaced(tmp_path: Path, run: Path) -> None:
    out = tmp_path / "out"
    make(out, run, "another")
    with pytest.raises(UsageError, match="release of another run"):
        make(out, run, "a")
    make(out, run, "a", force=True)
    (tmp_path / "home").mkdir()
    make(tmp_path / "home", run)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    with pytest.raises(UsageError, match="no release"):
        make(tmp_path / "letters", run, force=True)
    (tmp_path / "plain").write_text("x")
    with pytest.raises(UsageError, match="no folder"):
        make(tmp_path / "plain", run, force=True)


@pytest.mark.parametrize("where", ["inside", ".", ".."])
def test_a_release_lies_neither_in_its_run_nor_around_it(run: Path, where: str) -> None:
    with pytest.raises(UsageError, match="outside the run"):
        make(run / where, run, force=True)


def test_copies_are_compared_with_the_manifest(tmp_path: Path, run: Path) -> None:
    (run / "a").mkdir()
    (run / "a" / "file").write_text("text")
    known = {"sha256": sha256(b"text").hexdigest(), "bytes": 4}
    copied: list[int] = []
    assert copy_checked(run, tmp_path / "out", {"a/file": known}, copied.append) == {"a/file": known["sha256"]}
    assert sum(copied) == 4 and (tmp_path / "out" / "a" / "file").read_text() == "text"
    (run / "a" / "file").write_text("texT")
    with pytest.raises(ArtifactError, match="not what its manifest says"):
        copy_checked(run, tmp_path / "out", {"a/file": known}, copied.append)
