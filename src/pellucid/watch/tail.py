"""A file that grows line by line, read as it grows: each byte once, and from the beginning again when the file is another."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["Tail"]

_MARK_BYTES = 64
"""So many bytes before the place that was reached are compared at every look: a file rewritten in place differs there."""
_LONGEST_LINE_BYTES = 16 * 2**20


class Tail:
    """The lines of a file, which need not exist yet.

    A last line without its end is left for the next call. When the file is replaced, cut short or gone, reading begins at the front
    again and `generation` counts up: what was read before is void. A resumed stage replaces its metrics file, so this is usual.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = 0
        self.offset = 0
        """Where the next line begins, in bytes."""
        self.size = 0
        """Bytes of the file at the last look."""
        self.bytes_read = 0
        """How much was read in all, for those who want to know what watching costs."""
        self.modified = 0.0
        """When the file was last written, in seconds since the epoch."""
        self._file: BinaryIO | None = None
        self._mark = b""

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def is_at_end(self) -> bool:
        """Whether no whole line is known to be left. A half line counts as nothing."""
        return self.offset >= self.size

    def look(self) -> bool:
        """See what the file is now; return whether there is one. Begin again where it is another than before.

        The file is held open, so that no other file can get its inode number in the meantime.
        """
        try:
            found = self.path.stat()
        except OSError:
            found = None
        if found is None or not stat.S_ISREG(found.st_mode):
            self.begin_again()
            return False
        if self._file is not None:
            held = os.fstat(self._file.fileno())
            is_same = (held.st_ino, held.st_dev) == (found.st_ino, found.st_dev)
            if not is_same or found.st_size < self.offset or self._bytes_before() != self._mark:
                self.begin_again()
        if self._file is None:
            try:
                self._file = self.path.open("rb", buffering=0)
            except OSError:
                return False
        self.size, self.modified = found.st_size, found.st_mtime
        return True

    def read(self, limit_bytes: int = 2**20) -> list[bytes]:
        """Return the next whole lines without their ends, at most about so many bytes; none when there are none yet."""
        if not self.look():
            return []
        assert self._file is not None
        want = limit_bytes
        while True:
            self._file.seek(self.offset)
            data = self._file.read(want)
            self.bytes_read += len(data)
            end = data.rfind(b"\n") + 1
            if end or len(data) < want or want >= _LONGEST_LINE_BYTES:
                break
            want *= 4  # one line is longer than what was asked for
        if not end and len(data) >= _LONGEST_LINE_BYTES:
            end = len(data)  # no line of ours is so long; what is left of it will be no JSON, and be counted as damaged
        if not end:
            self.size = self.offset  # a half line: nothing to be had until it ends
            return []
        self.offset += end
        self._mark = data[max(0, end - _MARK_BYTES) : end]
        return data[:end].removesuffix(b"\n").split(b"\n")

    def lines_at(self, place: int, window_bytes: int = 2**16) -> list[bytes]:
        """Return the whole lines among `window_bytes` from `place` on, without moving. At place 0 the first is whole too."""
        if self._file is None:
            return []
        self._file.seek(place)
        data = self._file.read(window_bytes)
        self.bytes_read += len(data)
        lines = data.split(b"\n")
        return lines[:-1] if place == 0 else lines[1:-1]

    def begin_again(self) -> None:
        """Read from the front again at the next call."""
        if self.offset:
            self.generation += 1
        self.close()
        self.offset = self.size = 0
        self._mark = b""

    def _bytes_before(self) -> bytes:
        if not self._mark or self._file is None:
            return b""
        self._file.seek(self.offset - len(self._mark))
        return self._file.read(len(self._mark))
