"""Files that are either whole or absent: atomic writes, fsync, digests, and a plain word when the disk is full."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import orjson

from pellucid.core.errors import ArtifactError, DiskFullError

__all__ = [
    "disk_full_is_explained",
    "fsync_directory",
    "fsync_file",
    "fsync_tree",
    "is_inside",
    "json_bytes",
    "json_object",
    "read_bytes",
    "read_json",
    "sha256_file",
    "whole_lines",
    "write_bytes",
    "write_json",
    "writing",
]


@contextmanager
def disk_full_is_explained(path: Path) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT under this block into a `DiskFullError` that names the folder and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DiskFullError(
            f"no room left while writing {path}; nothing finished before is lost. "
            "Free space (or choose another folder with --runs DIR) and give the same command again."
        ) from error


def fsync_directory(path: Path) -> None:
    """Make the names in a folder durable: a rename is only safe after its folder is on the disk."""
    _fsync(path)


def fsync_file(path: Path) -> None:
    """Flush a file and its name to the disk."""
    _fsync(path)
    fsync_directory(path.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(path: Path) -> None:
    """Flush every file under `path`, then every folder, deepest first."""
    for folder, _, names in os.walk(path, topdown=False):
        for name in names:
            _fsync(Path(folder, name))
        fsync_directory(Path(folder))


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Give an open file that gets its name when the block ends well: a temporary neighbour, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_full_is_explained(path):
        try:
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        fsync_directory(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically, as `writing` does."""
    with writing(path) as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    """Write a value as `json_bytes` gives it, atomically."""
    write_bytes(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return indented JSON with sorted keys and a last newline; the same value gives the same bytes."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
    return orjson.dumps(value, option=options)


def is_inside(name: object) -> bool:
    """Tell whether a name that somebody wrote into a file stays below the folder that it is joined to, whatever lies there."""
    if not isinstance(name, str) or "\0" in name or "\\" in name:
        return False
    parts = PurePosixPath(name).parts
    return bool(parts) and ".." not in parts and not PurePosixPath(name).is_absolute()


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes; raise `ArtifactError` naming it when it is missing, or a pipe or a device, which may never end."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ArtifactError(f"{path} is no regular file: a folder, a pipe or a device is not read")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing") from error
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """Read one JSON file; raise `ArtifactError` naming the file when it is missing, no file, or not JSON."""
    try:
        return orjson.loads(read_bytes(path))
    except orjson.JSONDecodeError as error:
        raise ArtifactError(f"{path} is not JSON: {error}") from error


def json_object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """Return the JSON object that a line of a `.jsonl` file is; raise `ArtifactError` naming file and line when it is none."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ArtifactError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path}, line {number} is no JSON object")
    return value


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that grows line by line, with their numbers from 1; nothing when there is none.

    A last line without an end was cut short by a kill, and is passed over.
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                yield number, line


def sha256_file(path: Path) -> str:
    """Return the hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
