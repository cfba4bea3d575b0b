"""Snapshots in a folder of a RAM file system: two slots for each part, written in turn, each with its manifest last.

A kill at any moment leaves one whole older slot: a slot's manifest is taken away before its bytes are touched and comes back, with
their sha256, after the last of them. Nothing is flushed to a disk: what outlives the process here is the system's own memory.
"""

import os
import re
import shutil
import stat
import sys
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import orjson
import torch
from torch import Tensor

from pellucid.core.errors import ArtifactError
from pellucid.core.files import read_json

__all__ = ["Held", "SlotWriter", "Slots", "is_own_folder", "open_own_folder", "ram_folder", "read_slot"]

_SLOTS = (0, 1)


@dataclass(frozen=True)
class Held:
    """What a slot holds: which part of which step, of whose training (`identity`), and how to tell that it is whole."""

    part: int
    step: int
    identity: str
    bytes: int
    sha256: str


class Slots:
    """The two slots of one part: `slot-K.safetensors` and its manifest `slot-K.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, slot: int) -> Path:
        """The file of a slot's bytes."""
        return self.folder / f"slot-{slot}.safetensors"

    def manifest(self, slot: int) -> Path:
        """The file that says what the slot holds; absent while it is written."""
        return self.folder / f"slot-{slot}.json"

    def held(self) -> list[tuple[Path, Held]]:
        """Return the file and manifest of each slot that has one. Whether the bytes agree, `read_slot` finds out."""
        return [(self.file(slot), held) for slot in _SLOTS if (held := self._read(slot)) is not None]

    def forget(self, keep: int | None) -> None:
        """Take away the manifests of all steps but `keep`."""
        for slot in _SLOTS:
            held = self._read(slot)
            if held is None or held.step != keep:
                self.manifest(slot).unlink(missing_ok=True)

    def free(self, keep: int | None) -> int:
        """Return a slot that does not hold step `keep`; any when both do."""
        held = [self._read(slot) for slot in _SLOTS]
        return next((slot for slot in _SLOTS if (what := held[slot]) is None or what.step != keep), _SLOTS[0])

    def _read(self, slot: int) -> Held | None:
        try:
            return Held(**read_json(self.manifest(slot)))
        except (ArtifactError, TypeError):
            return None


class SlotWriter:
    """Writes one snapshot into the slot that does not hold step `keep`, after room for both slots has been reserved.

    Opening raises `OSError` when there is no room or no permission. Afterwards nothing is raised before `finish`, because whoever
    sends the bytes has to be heard to the end.
    """

    def __init__(self, slots: Slots, size_bytes: int, keep: int | None) -> None:
        self._failure: OSError | None = None
        open_own_folder(slots.folder)
        for slot in _SLOTS:
            _reserve(slots.file(slot), size_bytes)
        slot = slots.free(keep)
        self._manifest = slots.manifest(slot)
        self._manifest.unlink(missing_ok=True)
        self._file = slots.file(slot).open("r+b", buffering=0)

    def append(self, chunk: Tensor) -> None:
        """Write the next bytes (uint8)."""
        left = chunk.numpy().data
        try:
            while self._failure is None and len(left):
                left = left[self._file.write(left) :]
        except OSError as error:
            self._failure = error

    def finish(self, held: Held) -> None:
        """Write the manifest; raise the `OSError` that any write met."""
        if self._failure is not None:
            raise self._failure
        self._file.truncate(held.bytes)
        part = self._manifest.with_suffix(".part")
        part.write_bytes(orjson.dumps(asdict(held)))
        part.replace(self._manifest)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_slot(file: Path, held: Held) -> Tensor | None:
    """Return a slot's bytes (uint8), or None when they are not the ones that its manifest tells of."""
    data = torch.empty(held.bytes, dtype=torch.uint8)
    left = data.numpy().data
    try:
        with file.open("rb", buffering=0) as opened:
            while len(left) and (count := opened.readinto(left)):
                left = left[count:]
    except OSError:
        return None
    return data if not len(left) and sha256(data.numpy().data).hexdigest() == held.sha256 else None


def ram_folder(stage: Path) -> Path:
    """Return the folder of a training stage's snapshots, named after the stage's own: in `PELLUCID_MEMORY_DIR`, or in /dev/shm."""
    base, place = Path(os.environ.get("PELLUCID_MEMORY_DIR", "/dev/shm")), stage.resolve()
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", f"{place.parent.name[:60]}-{place.name[:60]}")
    return base / f"pellucid-{os.geteuid()}-{readable}-{sha256(os.fsencode(place)).hexdigest()[:16]}"


def open_own_folder(folder: Path) -> None:
    """Make a folder that only this user may enter; raise `PermissionError` when what is there is another's, or open to others."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not is_own_folder(folder):
        raise PermissionError(f"{folder} is not a folder that only this user may read")


def is_own_folder(folder: Path) -> bool:
    """Tell whether a path is a folder, and no link to one, that this user owns and nobody else may enter."""
    try:
        about = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o077


def _reserve(file: Path, size_bytes: int) -> None:
    """Make a file of at least `size_bytes` whose pages exist, so that writing it cannot find the file system full."""
    with file.open("ab") as opened:
        if sys.platform != "linux":  # elsewhere the write itself finds out
            return
        try:
            os.posix_fallocate(opened.fileno(), 0, size_bytes)
        except OSError as error:
            free = shutil.disk_usage(file.parent).free
            raise OSError(error.errno, f"{error.strerror}: {size_bytes:,} bytes asked for, {free:,} free", str(file)) from error
