"""The run's ledger: one line per event, each holding the digest of the line before, so that a removed or edited line shows."""

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained

__all__ = ["Ledger", "read_ledger"]

_FIRST = "0" * 64


class Ledger:
    """Append events (a stage's start, end, skip, stop or failure) to `ledger.jsonl` of one run."""

    def __init__(self, run: Path) -> None:
        self.path = run / "ledger.jsonl"

    def append(self, event: str, **fields: Any) -> None:
        """Write one event durably. A line cut short by a kill is dropped first: it never happened."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with disk_full_is_explained(self.path), self.path.open("a+b") as file:
            file.seek(0)
            lines = file.read().splitlines(keepends=True)
            if lines and not lines[-1].endswith(b"\n"):
                file.truncate(sum(len(line) for line in lines[:-1]))
                lines.pop()
            previous = sha256(lines[-1]).hexdigest() if lines else _FIRST
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            file.write(orjson.dumps({"event": event, "at": now, "previous": previous, **fields}) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read_ledger(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the events in order; raise `ArtifactError` at the first line whose chain does not hold."""
    previous = _FIRST
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):
            return  # the one line that a kill may cut short
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ArtifactError(f"{path}:{number} is not JSON: {error}") from error
        if event.get("previous") != previous:
            raise ArtifactError(f"{path}:{number} does not follow from the line before: a line was edited, added or removed")
        previous = sha256(line).hexdigest()
        yield event
