"""The header of a safetensors file, read before the format owner's package opens it: bounded, and with the file's name in errors.

The package refuses what is malformed, but only after it has parsed up to 100 MB of names, which takes minutes of Python afterwards.
"""

import struct
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import Any

import orjson

from pellucid.core.errors import ArtifactError

__all__ = ["read_safetensors_header"]

# A hundred thousand tensors, each with a name of a hundred letters.
_MOST_HEADER_BYTES = 2**24
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16,
         "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64}  # fmt: skip


def read_safetensors_header(file: Path) -> dict[str, Mapping[str, Any]]:
    """Return each tensor's `dtype`, `shape` and `data_offsets` (from the end of the header), all of them inside of the file.

    Raises `ArtifactError` naming file, tensor and reason.
    """
    try:
        about = file.stat()
        if not S_ISREG(about.st_mode):
            raise ArtifactError(f"{file} is no regular file: a folder, a pipe or a device is not read")
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > min(_MOST_HEADER_BYTES, about.st_size - 8):
                raise ArtifactError(
                    f"{file} cannot be read as safetensors: a header of {length} bytes; at most {_MOST_HEADER_BYTES} are taken, "
                    f"and the file has {about.st_size}"
                )
            values = orjson.loads(opened.read(length))
    except FileNotFoundError as error:
        raise ArtifactError(f"{file} is missing") from error
    except (OSError, struct.error, orjson.JSONDecodeError) as error:
        raise ArtifactError(f"{file} cannot be read as safetensors: {error}") from error
    if not isinstance(values, dict):
        raise ArtifactError(f"{file} cannot be read as safetensors: its header is no mapping")
    values.pop("__metadata__", None)
    for name, entry in values.items():
        if (fault := _fault(entry, about.st_size - 8 - length)) is not None:
            raise ArtifactError(f"{file} cannot be read as safetensors: {name!r:.80}: {fault}")
    placed = sorted((tuple(entry["data_offsets"]), name) for name, entry in values.items())
    for ((_, end), before), ((start, _), name) in pairwise(placed):
        if start < end:
            raise ArtifactError(f"{file} cannot be read as safetensors: {name!r:.80} lies over {before!r:.80}")
    return values


def _fault(entry: Any, room: int) -> str | None:
    """Return what is wrong with a tensor's entry; None for nothing."""
    if not isinstance(entry, dict):
        return "no mapping of dtype, shape and data_offsets"
    kind: Any = entry.get("dtype")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    if not isinstance(kind, str):
        return f"dtype: got {kind!r:.40}"
    if kind not in _BITS:
        return f"dtype: got {kind!r:.40}; known are {', '.join(_BITS)}"
    if not _whole_numbers(shape):
        return f"shape: got {shape!r:.80}; must be whole numbers of 0 or more"
    if not _whole_numbers(offsets) or len(offsets) != 2 or not offsets[0] <= offsets[1] <= room:
        return f"data_offsets: got {offsets!r:.80}; must be two places in the {room} bytes after the header"
    if prod(shape) * _BITS[kind] != (offsets[1] - offsets[0]) * 8:
        return f"shape {shape!r:.80} of {kind} does not fill {offsets[1] - offsets[0]} bytes"
    return None


def _whole_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in values)
