"""The head of a GGUF file (versions 2 and 3): its fields and where its tensors lie, read in one pass without unpacking any weight.

The format owner's package reads weights; for a vocabulary of a hundred thousand tokens its head alone takes it seconds.
"""

import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import ArtifactError

__all__ = ["GgufHead", "GgufTensor", "read_gguf"]

# gguf_metadata_value_type of the format's description (ggml, docs/gguf.md); 8 is text, 9 a list.
_SCALARS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
# Of a type, values in a block and bytes of one (ggml.h, ggml-common.h); llama.cpp knows at most four axes.
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip
_MOST_KIND, _MOST_AXES, _MOST_ALIGNMENT = 255, 4, 2**16
# The shortest field: an empty name, a type, a byte.
_LEAST_BYTES = 13
_FLOATS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor lies: `shape` in our order, `kind` as ggml numbers its types, and its bytes with what pads them."""

    file: Path
    shape: tuple[int, ...]
    kind: int
    start: int
    padded_bytes: int

    def raw(self) -> npt.NDArray[np.uint8]:
        """Return the bytes as they lie in the file, not copied."""
        return np.memmap(self.file, np.uint8, "r", self.start, (self.padded_bytes,)) if self.padded_bytes else np.empty(0, np.uint8)

    def values(self) -> npt.NDArray[Any] | None:
        """Return the numbers in a row when they are plain F32 or F16; None for any other type."""
        dtype = _FLOATS.get(self.kind)
        return None if dtype is None else self.raw()[: prod(self.shape) * dtype.itemsize].view(dtype)


@dataclass(frozen=True)
class GgufHead:
    """The fields of a file by name, and its tensors."""

    fields: dict[str, Any]
    tensors: dict[str, GgufTensor]


def read_gguf(file: Path) -> GgufHead:
    """Read the head of a file. Raises `ArtifactError` naming the file when it is cut short or no GGUF file."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(file, data).head()
    except (OSError, ValueError, struct.error) as error:
        raise ArtifactError(f"{file} cannot be read; it is cut short or no GGUF file ({type(error).__name__}: {error})") from error


class _Reader:
    def __init__(self, file: Path, data: mmap.mmap) -> None:
        self._file, self._data, self._place = file, data, 4

    def head(self) -> GgufHead:
        if self._data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        (version,) = self._take("I")
        if version not in (2, 3):
            raise ValueError(f"version {version}; known are 2 and 3, in little-endian")
        tensors, count = self._take("QQ")
        if tensors + count > len(self._data) // _LEAST_BYTES:
            raise ValueError(f"{tensors} tensors and {count} fields do not fit into {len(self._data)} bytes")
        fields: dict[str, Any] = {}
        for _ in range(count):
            name = self._text()
            try:
                fields[name] = self._field(self._take("I")[0])
            except (ValueError, struct.error) as error:
                raise ValueError(f"field {name!r:.80}: {error}") from error
        entries = [(self._text(), self._take(f"{self._axes()}Q"), *self._take("IQ")) for _ in range(tensors)]
        alignment = fields.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > _MOST_ALIGNMENT:
            raise ValueError(f"general.alignment is {alignment!r}; it must be a power of two up to {_MOST_ALIGNMENT}")
        begin, end = -(-self._place // alignment) * alignment, len(self._data)
        for name, shape, kind, offset in entries:
            _check_tensor(name, shape, kind, (offset, alignment, end - begin))
        starts = sorted({begin + entry[3] for entry in entries} | {end})
        if entries and starts[-1] > end:
            raise ValueError(f"its tensors end after byte {starts[-1]}, it has {end}")
        following = dict(zip(starts, [*starts[1:], end], strict=True))
        return GgufHead(
            fields,
            {
                name: GgufTensor(self._file, shape[::-1], kind, begin + offset, following[begin + offset] - begin - offset)
                for name, shape, kind, offset in entries
            },
        )

    def _axes(self) -> int:
        (axes,) = self._take("I")
        if axes > _MOST_AXES:
            raise ValueError(f"a tensor with {axes} axes at byte {self._place}; at most {_MOST_AXES} are known")
        return int(axes)

    def _take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._place)
        self._place += struct.calcsize(f"<{layout}")
        return values

    def _text(self) -> str:
        (length,) = self._take("Q")
        if self._place + length > len(self._data):
            raise ValueError(f"a text of {length} bytes at byte {self._place}")
        self._place += length
        return self._data[self._place - length : self._place].decode()

    def _field(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._take(_SCALARS[kind])[0]
        if kind == _TEXT:
            return self._text()
        inner, count = self._take("IQ") if kind == _LIST else (kind, 0)
        if inner == _TEXT:
            return [self._text() for _ in range(count)]
        if inner not in _SCALARS or count > len(self._data):
            raise ValueError(f"a list of {count} values of type {inner} at byte {self._place}")
        return list(self._take(f"{count}{_SCALARS[inner]}"))


def _check_tensor(name: str, shape: tuple[int, ...], kind: int, place: tuple[int, int, int]) -> None:
    """Refuse a tensor that does not lie where the file has room: `place` is its offset, the alignment and the bytes of all tensors.

    What opens the file afterwards is written in C, and may go by what the head says.
    """
    offset, alignment, room = place
    if not all(0 < size < 2**63 for size in shape) or kind > _MOST_KIND:
        raise ValueError(f"tensor {name!r:.80} has shape {shape} and type {kind}")
    block, block_bytes = _BLOCKS.get(kind, (1, 0))
    if shape and shape[0] % block:
        raise ValueError(f"tensor {name!r:.80} has rows of {shape[0]}, its type {kind} wants a multiple of {block}")
    needed = prod(shape) // block * block_bytes
    if offset % alignment or offset + needed > room:
        raise ValueError(f"tensor {name!r:.80} has {needed} bytes at {offset}; there are {room} in all, in steps of {alignment}")
