"""Protocol buffers without their library: enough to walk and to write a message that we know."""

import struct
from collections.abc import Iterable, Iterator

__all__ = ["wire_bytes", "wire_fields"]


def wire_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value) of a message in order: whole numbers for varints, the raw bytes for everything else.

    Raises `ValueError` where the bytes are no message (Protocol Buffers, "Encoding").
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {place}")
        if place + length > len(data):
            raise ValueError(f"field {number} ends {place + length - len(data)} bytes after the message")
        yield number, data[place : place + length]
        place += length


def wire_bytes(fields: Iterable[tuple[int, int | float | bytes]]) -> bytes:
    """Return the message of these (field number, value): varints for whole numbers of 0 or more, 32 bits for fractions."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _as_varint(number << 3) + _as_varint(value)
        elif isinstance(value, float):
            out += _as_varint(number << 3 | 5) + struct.pack("<f", value)
        else:
            out += _as_varint(number << 3 | 2) + _as_varint(len(value)) + value
    return bytes(out)


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError(f"a number is cut off at byte {place}")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
