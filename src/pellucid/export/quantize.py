"""Weights → the bytes that a GGUF file holds of them, equal to what llama.cpp's own quantiser writes.

Types with blocks of 32 are computed by `gguf`, the format owner's package, those with blocks of 256 by `libgguf`; both claim
llama.cpp's bytes.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from pellucid.core.errors import ArtifactError, MissingExtraError
from pellucid.core.processes import available_cores
from pellucid.export.gguf_types import TensorType, block_weights, stored_bytes
from pellucid.export.half import FLOAT16_LARGEST, not_finite

__all__ = ["encode", "quantizer"]

_CHUNK_WEIGHTS = 1 << 20


def encode(
    name: str, array: npt.NDArray[np.float32], kind: TensorType, *, done: Callable[[float], None] = lambda _: None
) -> npt.NDArray[Any]:
    """Return the tensor as the file holds it: float32, or [rows, bytes of a row]. `done` is told of weights as they are finished.

    Rows are computed apart, on all cores, so beside the result only a little memory is needed.
    Raises `ArtifactError` for values that are not finite or that the type cannot hold (half-precision numbers, which the scales of
    blocks are too, end at 65504), and `MissingExtraError` without the package that computes the type.
    """
    low, high = float(array.min(initial=0.0)), float(array.max(initial=0.0))
    if not np.isfinite([low, high]).all():
        raise not_finite(name)
    if kind == "F32":
        done(array.size)
        return array
    if kind != "BF16" and max(-low, high) > FLOAT16_LARGEST:
        what = "F16 ends" if kind == "F16" else f"{kind} has F16 scales, which end"
        raise ArtifactError(f"{name} reaches {max(-low, high):.4g}, {what} at {FLOAT16_LARGEST:g}: set export.gguf_types: [F32]")
    rows = array.reshape(-1, array.shape[-1])
    step = max(1, _CHUNK_WEIGHTS // rows.shape[1])
    quantize = quantizer(kind)
    found = np.empty((rows.shape[0], stored_bytes(kind, rows.shape) // rows.shape[0]), np.uint8)

    def fill(start: int) -> int:
        part = rows[start : start + step]
        found[start : start + step] = quantize(part)
        return part.size

    with ThreadPoolExecutor(available_cores()) as pool:
        for size in pool.map(fill, range(0, rows.shape[0], step)):
            done(size)
    return found.reshape(*array.shape[:-1], -1)


def quantizer(kind: TensorType) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.uint8]]:
    """Return the function of rows [N, width] to bytes [N, bytes of a row]. Raises `MissingExtraError` without its package."""
    package = "libgguf" if block_weights(kind) == 256 else "gguf"
    try:
        import gguf

        if package == "libgguf":
            import libgguf
    except ImportError as error:
        raise MissingExtraError(package, "gguf", f"a GGUF export with {kind}") from error
    number = gguf.GGMLQuantizationType[kind]
    if package == "libgguf":
        return lambda rows: np.asarray(libgguf.quantize_rows(np.ascontiguousarray(rows), int(number)))

    def in_blocks(rows: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
        # A block so near to zero that its scale is zero in half precision decodes to zeros, whatever its codes overflow to.
        with np.errstate(all="ignore"):
            return np.ascontiguousarray(gguf.quants.quantize(rows, number)).view(np.uint8)

    return in_blocks
