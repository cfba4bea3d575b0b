"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), as the records of TensorBoard's event files and of LevelDB's logs carry it."""

from collections.abc import Sequence

import numpy as np

__all__ = ["crc32c", "masked"]

_POLYNOMIAL = 0x82F63B78
_FEW = 32


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
        table.append(byte)
    return table


_TABLE = _table()
_TABLE_256 = np.array(_TABLE, dtype=np.uint32)


def crc32c(blobs: Sequence[bytes]) -> list[int]:
    """Return the checksum of each; many are worked out side by side, a byte of all of them at a time."""
    if len(blobs) < _FEW:
        return [_one(blob) for blob in blobs]
    longest = max(map(len, blobs))
    bytes_BN = np.zeros((longest, len(blobs)), dtype=np.uint8)
    lengths_N = np.array([len(blob) for blob in blobs])
    for number, blob in enumerate(blobs):
        bytes_BN[: len(blob), number] = np.frombuffer(blob, dtype=np.uint8)
    crc_N = np.full(len(blobs), 0xFFFFFFFF, dtype=np.uint32)
    shortest = int(lengths_N.min())
    for place in range(longest):
        next_N = _TABLE_256[(crc_N ^ bytes_BN[place]) & 0xFF] ^ (crc_N >> np.uint32(8))
        crc_N = next_N if place < shortest else np.where(place < lengths_N, next_N, crc_N)
    found: list[int] = (crc_N ^ np.uint32(0xFFFFFFFF)).tolist()
    return found


def masked(crc: int) -> int:
    """Return a checksum as it is stored beside what it is of: turned and moved, so that a checksum of checksums still tells."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _one(blob: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in blob:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
