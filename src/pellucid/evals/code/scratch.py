"""The work folder of one program on the machine's own disk: made, watched and removed from outside.

Where the program sees an own view of the machine (`namespaces`) the folder stays empty: a file system in memory lies over it, which
keeps its own limits. In the fallback the program may make and write files there and nothing else: no folders, and nothing can be
taken away again, so that whatever it holds lies in one list and is counted.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pellucid.evals.code.job import Limits

__all__ = ["give_to", "is_full", "may_be_passed", "remove", "scratch_folder"]


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give an empty folder that only this user may enter, and remove it whatever a program put into it."""
    path = Path(tempfile.mkdtemp(prefix="pellucid-sandbox-"))
    try:
        yield path
    finally:
        remove(path)


def give_to(folder: Path, user: int) -> bool:
    """Make the folder another user's, and tell whether that could be done; a link in its place is not followed."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.fchown(opened, user, user)
    except OSError:
        return False
    finally:
        os.close(opened)
    return True


def remove(folder: Path) -> None:
    """Remove the folder. Never raises: what resists is left behind."""
    try:
        shutil.rmtree(folder)
    except (OSError, RecursionError, ValueError):
        # rm goes down by descriptors, however deep it is, follows no link, and has no stack to run out of.
        with contextlib.suppress(OSError):
            subprocess.run(["rm", "-rf", "--", str(folder)], capture_output=True, check=False)


def is_full(folder: Path, limits: Limits) -> bool:
    """Tell whether the folder holds more than it may. What cannot be looked at, and any folder in it, counts as too much."""
    files = size = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                files += 1
                size += entry.stat(follow_symlinks=False).st_size
                if files > limits.files or size > limits.folder_bytes or entry.is_dir(follow_symlinks=False):
                    return True
    except OSError:
        return True
    return False


def may_be_passed(path: str) -> bool:
    """Tell whether every folder on the way to a path lets all users through."""
    return all(folder.stat().st_mode & 0o001 for folder in Path(path).resolve().parents)
