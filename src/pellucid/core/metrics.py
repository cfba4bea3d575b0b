"""`metrics.jsonl`: one JSON object per line, flushed each time; the truth that plots and reports are made from."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError
from pellucid.core.files import disk_full_is_explained, whole_lines, write_bytes

__all__ = ["MetricsLog", "read_metrics"]


class MetricsLog:
    """Append records that carry a `step`. Opening it at a step forgets later records: they will be made again."""

    def __init__(self, path: Path, resume_step: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [record for record in read_metrics(path) if record["step"] <= resume_step]
        write_bytes(path, b"".join(orjson.dumps(record) + b"\n" for record in kept))
        self._path = path
        self._file = path.open("ab")

    def append(self, record: dict[str, Any]) -> None:
        """Write one record and hand it to the operating system, so that a kill loses at most the line being written."""
        with disk_full_is_explained(self._path):
            self._file.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            self._file.flush()

    def sync(self) -> None:
        """Have the disk hold what was written so far."""
        with disk_full_is_explained(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a metrics file in order; nothing when there is none. A last line cut short is passed over.

    Raises `ArtifactError` naming a line that is damaged.
    """
    for number, line in whole_lines(path):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ArtifactError(f"{path}, line {number} is damaged ({error}): restore the file, or delete the line") from error
        yield record
