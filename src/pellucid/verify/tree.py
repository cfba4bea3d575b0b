"""The files of a folder as they are found: one walk that follows no link, and each file's digest, made once, by several threads."""

import os
import stat
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import json_object
from pellucid.core.processes import available_cores
from pellucid.core.progress import progress

__all__ = ["MAX_READ_BYTES", "Tree", "is_hidden", "plain"]

MAX_READ_BYTES = 1 << 26
"""A file that is read as a whole, and a line, may have so many bytes: no run comes near it, and a hostile one takes no more."""

_HIDDEN = (".part", ".old", ".dropped")


def plain(text: str) -> str:
    """Return a text on one line without what a terminal would obey, and without halves of characters: names may be anybody's."""
    shown = text.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in shown)


def is_hidden(name: str) -> bool:
    """Tell whether a file lies in what is only there while something is written, replaced or dropped."""
    return any(part.startswith(".") and part.endswith(_HIDDEN) for part in name.split("/"))


class Tree:
    """The regular files under `root` with their bytes, by name (posix, relative); links and whatever else lies there, by name.

    Folders at the top whose names are in `without` are passed over. Names that cannot be looked at are in `unreadable`, with why.
    """

    def __init__(self, root: Path, without: Collection[str] = ()) -> None:
        self.root = root
        self.files: dict[str, int] = {}
        self.links: list[str] = []
        self.others: list[str] = []
        self.unreadable: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        left = [""]
        while left:
            folder = left.pop()
            try:
                with os.scandir(root / folder) as entries:
                    for entry in entries:
                        name = f"{folder}/{entry.name}" if folder else entry.name
                        if name not in without and (below := self._add(name, entry)):
                            left.append(below)
            except OSError as error:
                self.unreadable[folder] = error.strerror or type(error).__name__
        self.files = dict(sorted(self.files.items()))

    def _add(self, name: str, entry: "os.DirEntry[str]") -> str | None:
        """Note one entry; return its name when it is a folder."""
        if entry.is_symlink():
            self.links.append(name)
            return None
        if entry.is_dir(follow_symlinks=False):
            return name
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            self.files[name] = found.st_size
        else:
            self.others.append(name)
        return None

    def path(self, name: str) -> Path:
        """Return where a name lies."""
        return self.root / name

    def digest(self, name: str) -> str:
        """Return a file's sha256; nothing ("") where it cannot be read, which `unreadable` then says."""
        if name not in self._digests:
            self._digests[name] = self._digest(name)
        return self._digests[name]

    def digest_all(self) -> None:
        """Make the digests of all files, on every core."""
        wanted = sorted((name for name in self.files if name not in self._digests), key=lambda name: -self.files[name])
        total = sum(self.files[name] for name in wanted)
        with progress("digests", total, "B") as bar, ThreadPoolExecutor(max_workers=min(16, available_cores())) as pool:
            running = {pool.submit(self._digest, name): name for name in wanted}
            for done in as_completed(running):
                self._digests[running[done]] = done.result()
                bar.advance(self.files[running[done]])

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raise `ArtifactError` naming it when it is missing, a link, or above `MAX_READ_BYTES`."""
        if name not in self.files:
            raise ArtifactError(f"{self.path(name)} is {'a link' if name in self.links else 'missing'}")
        if self.files[name] > MAX_READ_BYTES:
            raise ArtifactError(
                f"{self.path(name)} has {self.files[name]} bytes; a file like it has at most {MAX_READ_BYTES}, and no more is read"
            )
        try:
            with os.fdopen(os.open(self.path(name), os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return file.read(MAX_READ_BYTES)
        except OSError as error:
            raise ArtifactError(f"{self.path(name)} cannot be read: {error.strerror}") from error

    def json(self, name: str) -> Any:
        """Return a JSON file's value; raise `ArtifactError` naming it when it cannot be had."""
        try:
            return orjson.loads(self.read(name))
        except orjson.JSONDecodeError as error:
            raise ArtifactError(f"{self.path(name)} is not JSON: {error}") from error

    def lines(self, name: str) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of a file with their numbers from 1; a last one without an end is passed over, as a kill leaves it."""
        if name not in self.files:
            raise ArtifactError(f"{self.path(name)} is {'a link' if name in self.links else 'missing'}")
        with os.fdopen(os.open(self.path(name), os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            number = 0
            while line := file.readline(MAX_READ_BYTES):
                number += 1
                if len(line) == MAX_READ_BYTES:
                    raise ArtifactError(f"{self.path(name)}, line {number} has {MAX_READ_BYTES} bytes or more, and is not read")
                if line.endswith(b"\n"):
                    yield number, line

    def records(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of a `.jsonl` file; raise `ArtifactError` naming a line that is none."""
        path = self.path(name)
        for number, line in self.lines(name):
            yield json_object(line, path, number)

    def _digest(self, name: str) -> str:
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY | os.O_NOFOLLOW)
            with os.fdopen(descriptor, "rb", buffering=0) as file:
                return file_digest(file, sha256).hexdigest()
        except OSError as error:
            self.unreadable[name] = error.strerror or type(error).__name__
            return ""
