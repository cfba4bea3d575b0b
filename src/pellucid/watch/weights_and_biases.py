"""Weights & Biases, offline: runs in files that `wandb sync` can bring to a server, or that stay where they are."""

import os
import struct
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import MissingExtraError
from pellucid.core.protobuf import wire_fields
from pellucid.watch.follow import StepValues

__all__ = ["WandbTarget", "read_history"]

_QUIET = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "WANDB_CONSOLE": "off"}
_BLOCK, _HEAD, _FILE_HEAD = 32_768, 7, 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_HISTORY = 2
_SETTLED_S, _SETTLED_BY_S = 1.5, 10.0


class WandbTarget:
    """One stage as one run. Started again, it goes on in a further file of the same id, which is how `wandb` resumes offline.

    Raises `MissingExtraError` where wandb is not installed.
    """

    def __init__(self, folder: Path, project: str, name: str) -> None:
        if find_spec("wandb") is None:
            raise MissingExtraError("wandb", "wandb", "handing metrics to Weights & Biases")
        folder.mkdir(parents=True, exist_ok=True)
        os.environ.update(_QUIET)
        self._folder, self._project, self._name = folder, project, name
        self._id = "".join(char if char.isalnum() else "-" for char in f"{project}-{name}")
        self._run: Any = None
        files = sorted(folder.glob(f"wandb/offline-run-*-{self._id}/run-{self._id}.wandb"))
        _wait_until_settled(files)
        self._last_step = max((record["_step"] for file in files for record in read_history(file)), default=0)

    @property
    def last_step(self) -> int:
        """The newest step in any of the run's files."""
        return int(self._last_step)

    def write(self, steps: Sequence[StepValues]) -> None:
        """Log the values of each step."""
        if self._run is None:
            self._run = self._begin()
        for step in steps:
            self._run.log(step.values, step=step.step)
        self._last_step = steps[-1].step

    def rewind(self, step: int) -> bool:
        """Return False: a run of Weights & Biases only goes forward."""
        return False

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None

    def _begin(self) -> Any:
        import wandb

        # Nothing but what training wrote: no figures of this machine, no code, no output.
        settings = wandb.Settings(
            x_disable_stats=True, x_disable_meta=True, x_save_requirements=False, disable_git=True, disable_code=True,
            console="off", silent=True,
        )  # fmt: skip
        return wandb.init(
            mode="offline", dir=str(self._folder), project=self._project, name=self._name, id=self._id, resume="allow",
            reinit="create_new", settings=settings,
        )  # fmt: skip


def read_history(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the logged steps of a run's file: values by name, and `_step`. What a kill left half written is passed over.

    The file is a log as LevelDB's (doc/log_format.md), its records protocol buffers (`wandb_internal.proto`).
    """
    for record in _records(path.read_bytes()):
        for number, value in wire_fields(memoryview(record)):
            if number == _HISTORY and isinstance(value, memoryview):
                yield _history(value)


def _wait_until_settled(files: Sequence[Path]) -> None:
    """Wait while a file still grows: wandb writes from a process of its own, which outlives one that was killed for a moment."""
    until = time.monotonic() + _SETTLED_BY_S
    while time.monotonic() < until and any(time.time() - file.stat().st_mtime < _SETTLED_S for file in files):
        time.sleep(0.1)


def _history(data: memoryview) -> dict[str, Any]:
    found = {}
    for number, item in wire_fields(data):
        if number == 1 and isinstance(item, memoryview):
            fields = [(place, bytes(value)) for place, value in wire_fields(item) if isinstance(value, memoryview)]
            name = next((value for place, value in fields if place in (1, 2)), b"")
            found[name.decode()] = orjson.loads(next(value for place, value in fields if place == 16))
    return found


def _records(data: bytes) -> Iterator[bytes]:
    place, whole = _FILE_HEAD, b""
    while place + _HEAD <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _HEAD:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + _HEAD])
        part = data[place + _HEAD : place + _HEAD + length]
        if len(part) < length or kind not in (_FULL, _FIRST, _MIDDLE, _LAST):
            return
        place += _HEAD + length
        whole = part if kind in (_FULL, _FIRST) else whole + part
        if kind in (_FULL, _LAST):
            yield whole
