import os
import sys
from pathlib import Path

import pytest

from pellucid.evals.code.job import Limits
from pellucid.evals.code.scratch import give_to, is_full, may_be_passed, remove, scratch_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
LIMITS = Limits(files=3, folder_bytes=1000)


def test_the_folder_is_for_one_user_and_gone_afterwards() -> None:
    with scratch_folder() as folder:
        assert list(folder.iterdir()) == []
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "file").touch(mode=0)
    assert not folder.exists()


def _deep(folder: Path, levels: int) -> None:
    here = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_what_is_deeper_than_any_stack_or_path_is_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    folder, other = tmp_path / "folder", tmp_path / "other"
    folder.mkdir()
    other.mkdir(mode=0o755)
    (other / "file").touch()
    (folder / "link").symlink_to(other)
    _deep(folder, 1200)
    remove(folder)
    assert not folder.exists()
    assert (other / "file").exists()
    assert other.stat().st_mode & 0o777 == 0o755


def test_removing_never_raises(tmp_path: Path) -> None:
    remove(tmp_path / "nothing")
    (tmp_path / "link").symlink_to("/")
    remove(tmp_path / "link")
    assert Path("/usr").is_dir()


def test_a_folder_is_full_by_files_by_bytes_and_by_whatever_cannot_be_counted(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}").write_bytes(bytes(300))
    assert not is_full(tmp_path, LIMITS)
    (tmp_path / "0").write_bytes(bytes(401))
    assert is_full(tmp_path, LIMITS)
    (tmp_path / "0").write_bytes(b"")
    (tmp_path / "link").symlink_to("/")
    assert is_full(tmp_path, LIMITS)
    (tmp_path / "link").unlink()
    (tmp_path / "0").unlink()
    (tmp_path / "folder").mkdir(mode=0o300)
    assert is_full(tmp_path, LIMITS)
    assert is_full(tmp_path / "nothing", LIMITS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_is_given_away_and_no_link_in_its_place_is_followed(tmp_path: Path) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir(mode=0o700)
    link.symlink_to(folder)
    assert not give_to(link, 65534)
    assert folder.stat().st_uid == 0
    assert give_to(folder, 65534)
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o777) == (65534, 0o700)


def test_a_path_is_passed_when_every_folder_on_the_way_lets_all_through(tmp_path: Path) -> None:
    assert may_be_passed("/usr/lib")
    (tmp_path / "closed").mkdir(mode=0o700)
    assert not may_be_passed(str(tmp_path / "closed/inner"))
