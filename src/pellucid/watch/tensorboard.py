"""TensorBoard's event files: records of length, checksums and a protocol buffer, written without TensorBoard.

Formats: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, tensorflow/core/framework/summary.proto.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from pellucid.core.protobuf import wire_bytes, wire_fields
from pellucid.watch.crc32c import crc32c, masked
from pellucid.watch.follow import StepValues

__all__ = ["TensorBoardTarget", "read_events"]

_NAME = "events.out.tfevents.{began:010.0f}.pellucid"
_START = 1
_BATCH = 1024


class TensorBoardTarget:
    """One stage as a folder with one event file. TensorBoard takes steps back itself when a file says that it starts at one again.

    What a kill left half written is cut off when the file is opened. Values are single precision, as TensorBoard's are.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._last_step = 0
        found = sorted(folder.glob("events.out.tfevents.*.pellucid"))
        self._path = found[-1] if found else None
        if self._path is not None:
            end = 0
            for end, step, restarts in read_events(self._path):  # noqa: B007 (the last end is wanted)
                self._last_step = step - 1 if restarts else max(step, self._last_step)
            with self._path.open("rb+") as file:
                file.truncate(end)

    @property
    def last_step(self) -> int:
        """The newest step that TensorBoard shows."""
        return self._last_step

    def write(self, steps: Sequence[StepValues]) -> None:
        """Append an event with all values of each step."""
        if self._path is None:
            self._path = self._folder / _NAME.format(began=steps[0].at)
            self._append([_at(steps[0].at) + wire_bytes([(3, b"brain.Event:2")])])
        for first in range(0, len(steps), _BATCH):
            self._append([_event(step) for step in steps[first : first + _BATCH]])
        self._last_step = steps[-1].step

    def rewind(self, step: int) -> bool:
        """Say that the stage started again behind this step."""
        if self._path is not None:
            self._append([_at(0.0) + wire_bytes([(2, step + 1), (7, wire_bytes([(1, _START)]))])])
        self._last_step = step
        return True

    def close(self) -> None:
        """Do nothing: everything is written."""

    def _append(self, events: Sequence[bytes]) -> None:
        assert self._path is not None
        lengths = [struct.pack("<Q", len(event)) for event in events]
        out = bytearray()
        for event, length, sum_, sum_of_length in zip(events, lengths, crc32c(events), crc32c(lengths), strict=True):
            out += length + struct.pack("<I", masked(sum_of_length)) + event + struct.pack("<I", masked(sum_))
        with self._path.open("ab") as file:
            file.write(out)


def read_events(path: Path) -> Iterator[tuple[int, int, bool]]:
    """Yield for each whole event of a file where it ends, its step, and whether it says that steps from there on are void."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _events(data)


def _events(data: mmap.mmap) -> Iterator[tuple[int, int, bool]]:
    place = 0
    while place + 12 <= len(data):
        head = data[place : place + 8]
        (length,) = struct.unpack("<Q", head)
        end = place + 12 + length + 4
        if end > len(data) or struct.unpack("<I", data[place + 8 : place + 12])[0] != masked(crc32c([head])[0]):
            return
        fields = dict(wire_fields(memoryview(data[place + 12 : end - 4])))
        step = fields.get(2, 0)
        yield end, step if isinstance(step, int) else 0, 7 in fields
        place = end


def _event(step: StepValues) -> bytes:
    values = [(1, wire_bytes([(1, name.encode()), (2, float(value))])) for name, value in step.values.items()]
    return _at(step.at) + wire_bytes([(2, step.step), (5, wire_bytes(values))])


def _at(seconds: float) -> bytes:
    return b"\x09" + struct.pack("<d", seconds)  # field 1, 64 bits
