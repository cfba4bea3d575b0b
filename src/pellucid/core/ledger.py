"""The run's ledger: one line per event, each holding the digest of the line before and its own, so that any edit shows.

A line is one JSON object: `event`, `at` (UTC), `previous` (sha256 of the whole line before it, newline included), the event's
fields, and last `sha256`, that of the line's own bytes without it. Ledgers from before that have lines without their own digest.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained, fsync_directory, json_object
from pellucid.core.lock import hold_file

__all__ = ["LEDGER", "Ledger", "read_ledger"]

LEDGER = "ledger.jsonl"

_FIRST = "0" * 64
_BLOCK_BYTES = 1 << 16
_SEAL_BYTES = 77
_SEAL = re.compile(rb',"sha256":"([0-9a-f]{64})"\}')
_BEGINNING = re.compile(rb'\{"event":"[^"]*","at":"[^"]*","previous":"([^"]*)')
# All that lines held before they had a digest of their own: one byte more or less in a key of a newer line is none of these.
_OLD_FIELDS = {"event", "at", "previous", "stage", "inputs", "recipe", "seconds", "summary", "message"}
_QUOTED_BYTES = 200


class Ledger:
    """Append events to `ledger.jsonl` of one run. Several processes and threads may append to the same file."""

    def __init__(self, run: Path) -> None:
        self.path = run / LEDGER

    def append(self, event: str, **fields: Any) -> None:
        """Write one event durably; only the end of the file is read for it.

        A line that a kill has cut short is taken out first, and an event `repaired` says what it was. Raises `DiskFullError` when
        there is no room; the file is then as it was. Raises `ArtifactError` where the file is a link: a run of somebody else's may
        have one that leads elsewhere; and where the file system has no locks.
        """
        with self.alone() as append:
            append(event, **fields)

    @contextmanager
    def alone(self) -> Iterator[Callable[..., None]]:
        """Keep all others from writing, and yield what writes as `append` does: for lines that follow from what was there before.

        Raises as `append` does.
        """
        if not self.path.parent.is_dir():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.is_symlink():
            raise ArtifactError(f"{self.path} is a link; the ledger of a run must be a file of its own")
        with disk_full_is_explained(self.path):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                hold_file(descriptor, self.path, wait=True)
                yield lambda event, **fields: self._append(descriptor, event, fields)
            finally:
                os.close(descriptor)

    def _append(self, descriptor: int, event: str, fields: dict[str, Any]) -> None:
        end, last = _last_line(descriptor)
        cut = os.pread(descriptor, _BLOCK_BYTES, end)
        new, previous = b"", sha256(last).hexdigest() if last else _FIRST
        if cut:
            lost = os.fstat(descriptor).st_size - end
            new = _line("repaired", previous, {"bytes": lost, "begins": cut[:_QUOTED_BYTES].decode(errors="replace")})
            previous = sha256(new).hexdigest()
        new += _line(event, previous, fields)
        if cut:
            os.ftruncate(descriptor, end)
        try:
            written = 0
            while written < len(new):
                written += os.write(descriptor, new[written:])
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, end)
            raise
        os.fsync(descriptor)
        if not last:
            fsync_directory(self.path.parent)


def read_ledger(path: Path, *, whole: bool = False, checked: bool = True) -> Iterator[dict[str, Any]]:
    """Yield the events in order; raise `ArtifactError` at the first line whose chain or own digest does not hold.

    A last line that a kill has cut short is passed over; with `whole`, for a run that nobody writes to, it is a fault. Not
    `checked`, nothing of this is: an empty event stands for a line that cannot be read.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} is missing")
    previous, digested = _FIRST, False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not checked:
                if line.endswith(b"\n"):
                    yield _readable(path, number, line)
                continue
            if not line.endswith(b"\n"):
                if whole or not _may_be_cut(line, previous):
                    raise ArtifactError(f"{path}, line {number} does not end: the line was cut short, or its end was altered")
                return
            event = json_object(line, path, number)
            if event.get("previous") != previous:
                raise ArtifactError(
                    f"{path}, line {number} does not follow from the line before: a line was edited, added or removed"
                )
            digested = _check_digest(path, number, line, event, digested)
            previous = sha256(line).hexdigest()
            yield event


def _line(event: str, previous: str, fields: dict[str, Any]) -> bytes:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    text = orjson.dumps({"event": event, "at": at, "previous": previous, **fields}, option=orjson.OPT_SERIALIZE_NUMPY)
    return text[:-1] + b',"sha256":"' + sha256(text).hexdigest().encode() + b'"}\n'


def _last_line(descriptor: int) -> tuple[int, bytes]:
    """Return where the last whole line ends, and that line; 0 and nothing when there is none."""
    start, tail = os.fstat(descriptor).st_size, b""
    while start > 0:
        step = min(_BLOCK_BYTES, start)
        start -= step
        tail = os.pread(descriptor, step, start) + tail
        end = tail.rfind(b"\n")
        before = tail.rfind(b"\n", 0, end) if end >= 0 else -1
        if end >= 0 and (before >= 0 or start == 0):
            return start + end + 1, tail[before + 1 : end + 1]
    return 0, b""


def _readable(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return json_object(line, path, number)
    except ArtifactError:
        return {}


def _check_digest(path: Path, number: int, line: bytes, event: dict[str, Any], digested: bool) -> bool:
    """Compare a line with its own digest, and return whether it has one. Once lines have one, all that follow must."""
    if _is_digested(line[:-1]):
        return True
    if "sha256" in event:
        raise ArtifactError(f"{path}, line {number} was altered: its sha256 is not the one that it holds")
    if digested or not event.keys() <= _OLD_FIELDS or not line.endswith(b"}\n"):
        raise ArtifactError(f"{path}, line {number} has no digest of its own: it was altered")
    return False


def _may_be_cut(line: bytes, previous: str) -> bool:
    """Tell whether this can be the beginning of the next line: everything else at the end was not left there by a kill."""
    start, found = b'{"event":"', _BEGINNING.match(line)
    if not (line.startswith(start) or start.startswith(line)) or (found and not previous.encode().startswith(found[1])):
        return False
    # All of a line and then something else than its newline.
    return not _is_digested(line[:-1])


def _is_digested(line: bytes) -> bool:
    """Tell whether a line, without its newline, ends with its own digest."""
    seal = _SEAL.fullmatch(line, max(0, len(line) - _SEAL_BYTES))
    return seal is not None and sha256(line[: seal.start()] + b"}").hexdigest().encode() == seal[1]
